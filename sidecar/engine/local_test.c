#include "sidecar/engine/local.h"

#include "common/base/file.h"
#include "common/base/own.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

/* A directory of the test's own, removed at its end. */
static char root[64];
static char path[96];

static void setup(void)
{
    (void)snprintf(root, sizeof root, "/tmp/local-test-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
    (void)snprintf(path, sizeof path, "%s/task/state", root);
}
static void teardown(void)
{
    struct err err;
    cr_assert(dir_remove_tree(root, &err), "%s", err.msg);
}
TestSuite(local, .init = setup, .fini = teardown);

static bool open_first(struct local *l, enum local_found *out, struct err *err)
{
    struct local_wish wish = { .head = "" };
    struct restore_report report;
    return local_open(l, &wish, out, &report, err);
}

Test(local, absent_directory_is_made_with_its_parents)
{
    struct local l;
    struct err err;
    enum local_found found;
    local_init(&l, path);
    cr_assert(open_first(&l, &found, &err), "%s", err.msg);
    cr_assert_eq(found, LOCAL_FRESH);
    struct stat st;
    cr_assert(stat(path, &st) == 0 && S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700);
    local_fini(&l);
}

Test(local, empty_directory_is_a_fresh_one_and_content_is_kept)
{
    struct local l;
    struct err err;
    enum local_found found;
    cr_assert(dir_make(path, 0700, &err));
    local_init(&l, path);
    cr_assert(open_first(&l, &found, &err) && found == LOCAL_FRESH);
    CLEANUP(str_freep) char *file = str_format("%s/x", path);
    cr_assert(file_publish(AT_FDCWD, file, view_str("kept"), 0600, FILE_REPLACE, &err));
    cr_assert(open_first(&l, &found, &err) && found == LOCAL_FILLED);
    cr_assert_eq(access(file, F_OK), 0);
    local_fini(&l);
}

Test(local, slash_at_the_end_is_the_same_directory)
{
    struct local a, b;
    struct err err;
    enum local_found found;
    CLEANUP(str_freep) char *slashed = str_format("%s//", path);
    local_init(&a, path);
    local_init(&b, slashed);
    cr_assert(open_first(&a, &found, &err));
    cr_assert_not(open_first(&b, &found, &err));
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
    local_fini(&a);
    local_fini(&b);
}

Test(local, directory_in_use_is_unavailable_until_it_is_given_back)
{
    struct local a, b;
    struct err err;
    enum local_found found;
    local_init(&a, path);
    local_init(&b, path);
    cr_assert(open_first(&a, &found, &err));
    cr_assert(open_first(&a, &found, &err), "our own lock does not stop us");
    cr_assert_not(open_first(&b, &found, &err));
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
    local_fini(&a);
    cr_assert(open_first(&b, &found, &err), "%s", err.msg);
    local_fini(&b);
}

Test(local, file_or_symlink_in_its_place_is_invalid)
{
    struct local l;
    struct err err;
    enum local_found found;
    CLEANUP(str_freep) char *parent = str_format("%s/task", root);
    cr_assert(dir_make(parent, 0700, &err));
    cr_assert_eq(symlink("/", path), 0);
    local_init(&l, path);
    cr_assert_not(open_first(&l, &found, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_eq(unlink(path), 0);
    cr_assert(file_publish(AT_FDCWD, path, view_str(""), 0600, FILE_REPLACE, &err));
    cr_assert_not(open_first(&l, &found, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    local_fini(&l);
    local_init(&l, "/");
    cr_assert_not(open_first(&l, &found, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    local_fini(&l);
}

/* The agent's user owns the parent's parent and may exchange the parent between two starts. */
Test(local, link_of_another_user_leads_nowhere)
{
    struct local l;
    struct err err;
    enum local_found found;
    if (geteuid() != 0)
        cr_skip_test("needs root");
    CLEANUP(str_freep) char *link = str_format("%s/task", root);
    CLEANUP(str_freep) char *elsewhere = str_format("%s/elsewhere", root);
    cr_assert(dir_make(elsewhere, 0700, &err), "%s", err.msg);
    cr_assert(symlink(elsewhere, link) == 0 && lchown(link, 65534, 65534) == 0);
    local_init(&l, path);
    cr_assert_not(open_first(&l, &found, &err));
    cr_assert_eq(err.kind, ERR_DENIED, "%s", err.msg);
    cr_assert_eq(rmdir(elsewhere), 0, "nothing was made there");
    local_fini(&l);
}

/* An opened directory, and what is wrong with it now: "" nothing. */
static void open_one(struct local *l)
{
    struct err err = { 0 };
    enum local_found found;
    local_init(l, path);
    cr_assert(open_first(l, &found, &err), "%s", err.msg);
    cr_assert(local_check_use(l, &err), "%s", err.msg);
}

static void expect_bad(const struct local *l, bool is_lost, const char *text)
{
    struct err err = { 0 };
    cr_assert_eq(local_check(l, &err), !is_lost, "%s", err.msg);
    cr_assert_not(local_check_use(l, &err));
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
    cr_assert_not_null(strstr(err.msg, text), "%s", err.msg);
}

Test(local, directory_that_goes_away_after_the_start_is_noticed)
{
    struct local l;
    struct err err = { 0 };
    open_one(&l);
    CLEANUP(str_freep) char *away = str_format("%s/away", root);
    CLEANUP(str_freep) char *parent = str_format("%s/task", root);
    CLEANUP(str_freep) char *aside = str_format("%s/aside", root);
    cr_assert_eq(rename(path, away), 0);
    expect_bad(&l, true, "is gone");
    cr_assert_eq(symlink(away, path), 0);
    expect_bad(&l, true, "Not a directory");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rename(parent, aside), 0);
    cr_assert(file_publish(AT_FDCWD, parent, view_str(""), 0600, FILE_REPLACE, &err));
    expect_bad(&l, true, "Not a directory");
    cr_assert(unlink(parent) == 0 && rename(aside, parent) == 0);
    cr_assert_eq(mkdir(path, 0700), 0); /* an agent may begin anew */
    cr_assert(local_check_use(&l, &err), "%s", err.msg);
    local_fini(&l);
}

/* Mounts of this test's own. */
static void private_mounts(void)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        cr_skip_test("mounts need root");
}

Test(local, directory_that_is_mounted_over_or_unmounted_is_noticed)
{
    struct local l;
    struct err err = { 0 };
    CLEANUP(str_freep) char *parent = str_format("%s/task", root);
    CLEANUP(str_freep) char *same = str_format("%s/same", root);
    private_mounts();
    cr_assert(dir_make(parent, 0700, &err) && dir_make(same, 0700, &err));
    cr_assert_eq(mount("none", parent, "tmpfs", 0, NULL), 0);
    open_one(&l);
    cr_assert_eq(mount(same, path, NULL, MS_BIND, NULL), 0);
    expect_bad(&l, true, "another mount");
    cr_assert_eq(umount(path), 0);
    cr_assert_eq(mount(path, path, NULL, MS_BIND, NULL), 0); /* the same file system */
    expect_bad(&l, true, "another mount");
    cr_assert_eq(umount(path), 0);
    cr_assert(local_check_use(&l, &err), "%s", err.msg);
    cr_assert_eq(umount2(parent, MNT_DETACH), 0);
    expect_bad(&l, true, "is gone");
    cr_assert_eq(mkdir(path, 0700), 0); /* what lies below the mount point, empty */
    expect_bad(&l, true, "another mount");
    local_fini(&l);
}

Test(local, directory_that_becomes_read_only_is_noticed_but_can_be_saved)
{
    struct local l;
    struct err err = { 0 };
    CLEANUP(str_freep) char *parent = str_format("%s/task", root);
    private_mounts();
    cr_assert(dir_make(parent, 0700, &err));
    cr_assert_eq(mount("none", parent, "tmpfs", 0, NULL), 0);
    open_one(&l);
    fd_closep(&l.lock); /* an error of the disk does not ask who writes; a remount does */
    cr_assert_eq(mount(NULL, parent, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    expect_bad(&l, false, "Read-only");
    cr_assert_eq(mount(NULL, parent, NULL, MS_REMOUNT | MS_BIND, NULL), 0);
    cr_assert(local_check_use(&l, &err), "%s", err.msg);
    local_fini(&l);
    cr_assert_eq(umount(parent), 0);
}
