#include "driver/dev/dirs.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "driver/dev/alloc.h"
#include "driver/dev/job.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_there(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

Test(dirs, a_temporary_data_directory_is_gone_at_the_end)
{
    struct dirs d = DIRS_NONE;
    struct err err = { 0 };
    cr_assert(dirs_make(NULL, NULL, &d, &err), "%s", err.msg);
    CLEANUP(str_freep) char *data = str_copy(d.data);
    CLEANUP(str_freep) char *run = str_copy(d.run);
    cr_assert(d.is_temporary);
    struct dirs other = DIRS_NONE;
    cr_assert_not(dirs_make(data, NULL, &other, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    cr_assert(is_there(d.store));
    cr_assert(is_there(run));
    dirs_remove(&d);
    cr_assert_not(is_there(data));
    cr_assert_not(is_there(run));
    dirs_remove(&d);
}

Test(dirs, a_cut_node_no_longer_reaches_the_store_and_others_do)
{
    struct dirs d = DIRS_NONE;
    struct node_dirs one = { 0 }, two = { 0 };
    struct err err = { 0 };
    cr_assert(dirs_make(NULL, NULL, &d, &err), "%s", err.msg);
    CLEANUP(str_freep) char *marker = str_format("%s/marker", d.store);
    cr_assert(file_publish(AT_FDCWD, marker, view_str("x"), 0600, FILE_EXCLUSIVE, &err));
    cr_assert(node_dirs_make(&d, 1, &one, &err), "%s", err.msg);
    cr_assert(node_dirs_make(&d, 2, &two, &err), "%s", err.msg);
    CLEANUP(str_freep) char *through_one = str_format("%s/marker", one.store);
    CLEANUP(str_freep) char *through_two = str_format("%s/marker", two.store);
    cr_assert(is_there(through_one));
    cr_assert(node_dirs_cut(&one, &err), "%s", err.msg);
    cr_assert_not(is_there(through_one));
    cr_assert_not(is_there(one.store));
    cr_assert_neq(mkdir(one.store, 0700), 0, "a cut store can be made anew");
    cr_assert(is_there(through_two));
    node_dirs_fini(&one);
    node_dirs_fini(&two);
    dirs_remove(&d);
}

Test(dirs, a_store_of_the_user_stays)
{
    char store[] = "/tmp/dirs-store.XXXXXX";
    cr_assert_not_null(mkdtemp(store));
    struct dirs d = DIRS_NONE;
    struct err err = { 0 };
    cr_assert(dirs_make(NULL, store, &d, &err), "%s", err.msg);
    cr_assert_str_eq(d.store, store);
    dirs_remove(&d);
    cr_assert(is_there(store));
    cr_assert(dir_remove_tree(store, &err));
}

Test(dirs, a_runtime_directory_that_is_too_long_says_length_and_limit)
{
    struct dirs d = DIRS_NONE;
    struct err err = { 0 };
    if (geteuid() == 0)
        cr_skip_test("root uses /run");
    char base[120];
    memset(base, 'r', sizeof base - 1);
    base[0] = '/';
    base[sizeof base - 1] = '\0';
    setenv("XDG_RUNTIME_DIR", base, 1);
    cr_assert_not(dirs_make(NULL, NULL, &d, &err));
    cr_assert_not_null(strstr(err.msg, "at most 78 fit"), "%s", err.msg);
}

Test(dirs, templates_are_written_below_the_allocation)
{
    static const char text[] =
        "job \"j\" {\n group \"g\" {\n  task \"t\" {\n   driver = \"agent\"\n"
        "   template {\n    data = \"hi $${x}\\n\"\n"
        "    destination = \"local/bin/a.sh\"\n    perms = \"755\"\n   }\n"
        "   template {\n    data = \"s\"\n"
        "    destination = \"${NOMAD_ALLOC_DIR}/data/s\"\n   }\n"
        "  }\n }\n}\n";
    struct dirs d = DIRS_NONE;
    struct node_dirs node = { 0 };
    struct err err = { 0 };
    CLEANUP(job_freep) struct job *job = NULL;
    CLEANUP(vars_fini) struct vars vars = { 0 };
    CLEANUP(buf_fini) struct buf data = { 0 };
    cr_assert(job_read("j", view_str(text), &job, &err), "%s", err.msg);
    cr_assert(dirs_make(NULL, NULL, &d, &err));
    cr_assert(node_dirs_make(&d, 1, &node, &err));
    CLEANUP(str_freep) char *alloc_dir = str_format("%s/a1", node.alloc);
    const char *const none[] = { NULL };
    const struct alloc_place place = { 1, "n", "i", "a1", alloc_dir, false, none, none };
    cr_assert(alloc_vars(job, &place, &vars, &err));
    cr_assert(alloc_dirs_make(job, &place, &vars, &err), "%s", err.msg);
    CLEANUP(str_freep) char *script = str_format("%s/t/local/bin/a.sh", alloc_dir);
    CLEANUP(str_freep) char *shared = str_format("%s/alloc/data/s", alloc_dir);
    cr_assert(file_read(AT_FDCWD, script, 100, &data, &err), "%s", err.msg);
    cr_assert_str_eq(buf_borrow_str(&data), "hi ${x}\n");
    struct stat st;
    cr_assert_eq(stat(script, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0755);
    cr_assert(is_there(shared));
    node_dirs_fini(&node);
    dirs_remove(&d);
}
