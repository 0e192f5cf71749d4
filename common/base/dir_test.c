#include "common/base/dir.h"

#include "common/base/file.h"
#include "common/base/own.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void setup(void)
{
    struct err err;
    (void)snprintf(root, sizeof(root), "/tmp/dir-test-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    cr_assert_eq(chdir(root), 0);
    cr_assert(dir_make("real/deep", 0755, &err), "%s", err.msg);
}
static void teardown(void)
{
    struct err err;
    cr_assert(dir_remove_tree(root, &err), "%s", err.msg);
}
TestSuite(dir, .init = setup, .fini = teardown);

static enum err_kind kind_of(const char *path)
{
    struct err err;
    CLEANUP(fd_closep) struct fd fd = FD_NONE;
    return dir_open(path, &fd, &err) ? ERR_NONE : err.kind;
}

/* True when `path` leads to the directory `where`. */
static bool leads_to(const char *path, const char *where)
{
    struct err err;
    struct stat a, b;
    CLEANUP(fd_closep) struct fd fd = FD_NONE;
    cr_assert(dir_open(path, &fd, &err), "%s", err.msg);
    cr_assert(fstat(fd.raw, &a) == 0 && stat(where, &b) == 0);
    return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

Test(dir, paths_lead_where_the_kernel_leads)
{
    CLEANUP(str_freep) char *whole = str_format("%s//real/./deep/", root);
    cr_assert(leads_to(whole, "real/deep") && leads_to("real/deep", "real/deep"));
    cr_assert(leads_to("real/deep/..", "real") && leads_to("/", "/") && leads_to(".", "."));
}

Test(dir, our_own_links_are_followed_but_not_at_the_end)
{
    CLEANUP(str_freep) char *whole = str_format("%s/real", root);
    cr_assert(symlink("real", "near") == 0 && symlink(whole, "far") == 0);
    cr_assert(leads_to("near/deep", "real/deep") && leads_to("far/deep", "real/deep"));
    cr_assert(leads_to("near/.", "real") && leads_to("far/", "real"));
    cr_assert_eq(kind_of("near"), ERR_INVALID);
}

Test(dir, link_of_another_user_leads_nowhere)
{
    if (geteuid() != 0)
        cr_skip_test("needs root");
    cr_assert(symlink("real", "theirs") == 0 && lchown("theirs", 65534, 65534) == 0);
    cr_assert_eq(kind_of("theirs/deep"), ERR_DENIED);
    cr_assert_eq(kind_of("theirs/."), ERR_DENIED);
    cr_assert_eq(kind_of("theirs"), ERR_INVALID);
}

Test(dir, absent_is_not_found_and_a_file_is_invalid)
{
    struct err err;
    cr_assert(file_publish(AT_FDCWD, "file", view_str(""), 0600, FILE_REPLACE, &err));
    cr_assert_eq(kind_of("real/nothing"), ERR_NOT_FOUND);
    cr_assert_eq(kind_of("file"), ERR_INVALID);
    cr_assert_eq(kind_of("file/x"), ERR_INVALID);
}

Test(dir, links_in_a_circle_end)
{
    cr_assert(symlink("two/.", "one") == 0 && symlink("one/.", "two") == 0);
    cr_assert_eq(kind_of("one/x"), ERR_SYSTEM);
}
