#include "common/base/file.h"

#include "common/base/own.h"
#include "common/base/refuse_test.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static void setup(void)
{
    strncat(dir, "/tmp/file-test-XXXXXX", sizeof(dir) - 1);
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
}

static void teardown(void)
{
    struct err err = { 0 };
    cr_assert(dir_remove_tree(dir, &err), "%s", err.msg);
}

TestSuite(file, .init = setup, .fini = teardown);

static int entries(void)
{
    int count = 0;
    DIR *d = opendir(dir);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count - 2;
}

Test(file, published_bytes_are_read_back_with_their_mode)
{
    struct err err = { 0 };
    struct buf got = { 0 };
    cr_assert(file_publish(AT_FDCWD, "a", view_str("one"), 0640, FILE_REPLACE, &err));
    cr_assert(file_publish(AT_FDCWD, "a", view_str("two"), 0600, FILE_REPLACE, &err));
    cr_assert(file_read(AT_FDCWD, "a", 100, &got, &err));
    cr_assert(view_is_equal(buf_view(&got), view_str("two")));
    struct stat st;
    cr_assert_eq(stat("a", &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(entries(), 1);
    buf_fini(&got);
}

Test(file, exclusive_refuses_an_existing_name_and_leaves_no_temporary)
{
    struct err err = { 0 };
    cr_assert(file_publish(AT_FDCWD, "a", view_str("1"), 0600, FILE_EXCLUSIVE, &err));
    cr_assert_not(file_publish(AT_FDCWD, "a", view_str("2"), 0600, FILE_EXCLUSIVE, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    cr_assert_eq(entries(), 1);
}

Test(file, absent_is_not_found_and_too_large_is_corrupt)
{
    struct err err = { 0 };
    struct buf got = { 0 };
    cr_assert_not(file_read(AT_FDCWD, "none", 10, &got, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert(file_publish(AT_FDCWD, "a", view_str("12345678901"), 0600, FILE_REPLACE, &err));
    cr_assert_not(file_read(AT_FDCWD, "a", 10, &got, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    buf_fini(&got);
}

Test(file, a_fifo_or_a_link_is_refused_and_never_blocks)
{
    struct err err = { 0 };
    struct buf got = { 0 };
    cr_assert_eq(mkfifo("fifo", 0600), 0);
    cr_assert_not(file_read(AT_FDCWD, "fifo", 10, &got, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_eq(symlink("/etc/passwd", "link"), 0);
    cr_assert_not(file_read(AT_FDCWD, "link", 10000, &got, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    buf_fini(&got);
}

/* As a ConfigMap is mounted: the file leads through "..data" to the directory of today. */
Test(file, a_path_that_an_operator_names_may_be_a_link)
{
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf got = { 0 };
    cr_assert(mkdir("today", 0755) == 0 && symlink("today", "..data") == 0 &&
              symlink("..data/agent.hcl", "agent.hcl") == 0);
    cr_assert(
        file_publish(AT_FDCWD, "today/agent.hcl", view_str("x = 1"), 0644, FILE_REPLACE, &err));
    cr_assert(file_read_named("agent.hcl", 100, &got, &err), "%s", err.msg);
    cr_assert(view_is_equal(buf_view(&got), view_str("x = 1")));
    cr_assert_not(file_read(AT_FDCWD, "agent.hcl", 100, &got, &err), "others are not followed");
    cr_assert_not(file_read_named("agent.hcl", 4, &got, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_not(file_read_named("today", 100, &got, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert(unlink("today/agent.hcl") == 0 && !file_read_named("agent.hcl", 100, &got, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
}

Test(file, a_directory_that_is_gone_is_named)
{
    struct err err = { 0 };
    cr_assert_not(file_publish(AT_FDCWD, "no/a", view_str("1"), 0600, FILE_REPLACE, &err));
    cr_assert_eq(err.os_errno, ENOENT);
}

Test(file, trees_are_made_and_removed_without_following_links)
{
    struct err err = { 0 };
    cr_assert(dir_make("t/a/b", 0755, &err));
    cr_assert(dir_make("keep", 0755, &err));
    cr_assert(file_publish(AT_FDCWD, "keep/x", view_str("1"), 0600, FILE_REPLACE, &err));
    cr_assert_eq(symlink("../keep", "t/link"), 0);
    cr_assert_eq(chmod("t/a", 0), 0);
    cr_assert(dir_remove_tree("t", &err), "%s", err.msg);
    cr_assert(dir_remove_tree("t", &err), "%s", err.msg);
    struct buf got = { 0 };
    cr_assert(file_read(AT_FDCWD, "keep/x", 10, &got, &err));
    buf_fini(&got);
}

/* Far beyond PATH_MAX, and beyond the descriptors of a process. */
Test(file, deep_tree_is_removed_with_few_descriptors)
{
    struct err err = { 0 };
    struct rlimit few = { 20, 20 };
    cr_assert_eq(mkdir("deep", 0755), 0);
    int at = open("deep", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 2500; i++) {
        cr_assert_eq(mkdirat(at, "d", i % 7 == 0 ? 0 : 0755), 0);
        cr_assert_eq(symlinkat("/etc", at, "l"), 0);
        cr_assert_eq(fchmodat(at, "d", 0755, 0), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert_geq(next, 0);
        (void)close(at);
        at = next;
    }
    (void)close(at);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    cr_assert(dir_remove_tree("deep/", &err), "%s", err.msg);
    cr_assert_neq(access("deep", F_OK), 0);
}

Test(file, depth_beyond_the_limit_is_refused_and_named)
{
    struct err err = { 0 };
    cr_assert_eq(mkdir("deep", 0755), 0);
    int at = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 4096; i++) {
        int next = openat(at, i == 0 ? "deep" : "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert(next >= 0 && mkdirat(next, "d", 0755) == 0);
        (void)close(at);
        at = next;
    }
    cr_assert_eq(mkdirat(at, "d/x", 0755), 0);
    cr_assert_not(dir_remove_tree("deep", &err));
    cr_assert_eq(err.os_errno, ELOOP, "%s", err.msg);
    cr_assert_not_null(strstr(err.msg, "\"d\""), "%s", err.msg);
    cr_assert_eq(unlinkat(at, "d/x", AT_REMOVEDIR), 0); /* so that the test can be cleaned up */
    (void)close(at);
    cr_assert(dir_remove_tree("deep", &err), "%s", err.msg);
}

Test(file, many_entries_of_all_kinds_are_removed)
{
    struct err err = { 0 };
    char name[64];
    cr_assert(dir_make("many", 0755, &err));
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "many/%d", i);
        if (i % 50 == 0) {
            (void)snprintf(name, sizeof(name), "many/%d/in/side", i);
            cr_assert(dir_make(name, 0755, &err));
        } else if (i % 3 == 0) {
            cr_assert_eq(mkfifo(name, 0600), 0);
        } else {
            cr_assert_eq(close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0)), 0);
        }
    }
    cr_assert(dir_remove_tree("many", &err), "%s", err.msg);
    cr_assert_neq(access("many", F_OK), 0);
    cr_assert(file_publish(AT_FDCWD, "one", view_str("1"), 0600, FILE_REPLACE, &err));
    cr_assert(dir_remove_tree("one", &err) && access("one", F_OK) != 0, "a file is a tree, too");
    cr_assert(dir_remove_tree("no/where", &err), "%s", err.msg);
}

/* Somebody exchanges a directory of the tree with a link out of it, again and again. */
Test(file, whoever_swaps_in_links_meanwhile_leads_nowhere)
{
    struct err err = { 0 };
    cr_assert(dir_make("keep/a/b", 0755, &err));
    cr_assert(file_publish(AT_FDCWD, "keep/a/b/x", view_str("1"), 0600, FILE_REPLACE, &err));
    for (int round = 0; round < 30; round++) {
        cr_assert(dir_make("t/a/b", 0755, &err));
        for (int i = 0; i < 50; i++) {
            char name[32];
            (void)snprintf(name, sizeof(name), "t/a/b/%d", i);
            cr_assert_eq(mkdir(name, 0755), 0);
        }
        (void)unlink("swap");
        (void)!dir_remove_tree("swap", &err);
        cr_assert_eq(symlink("../keep/a", "swap"), 0);
        pid_t child = fork();
        if (child == 0)
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        while (child == 0)
            (void)renameat2(AT_FDCWD, "t/a", AT_FDCWD, "swap", RENAME_EXCHANGE);
        (void)!dir_remove_tree("t", &err); /* may fail: its entries come and go */
        cr_assert(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
        cr_assert_eq(access("keep/a/b/x", F_OK), 0);
        cr_assert(dir_remove_tree("t", &err), "%s", err.msg);
    }
}

Test(file, mount_point_below_is_refused_and_kept)
{
    struct err err = { 0 };
    struct buf got = { 0 };
    cr_assert(dir_make("t/m", 0755, &err) && dir_make("source", 0755, &err));
    cr_assert(file_publish(AT_FDCWD, "source/x", view_str("1"), 0600, FILE_REPLACE, &err));
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        cr_skip_test("mounts need root");
    cr_assert_eq(mount("source", "t/m", NULL, MS_BIND, NULL), 0); /* the same file system */
    cr_assert_not(dir_remove_tree("t", &err));
    cr_assert_eq(err.os_errno, EBUSY, "%s", err.msg);
    cr_assert(file_read(AT_FDCWD, "source/x", 10, &got, &err), "%s", err.msg);
    buf_fini(&got);
    cr_assert_eq(umount("t/m"), 0);
}

Test(file, new_directories_are_in_place_with_all_their_parents)
{
    struct err err = { 0 };
    struct stat st;
    cr_assert(dir_make("p//q/./r/", 0750, &err), "%s", err.msg);
    cr_assert(dir_make("p/q/r", 0750, &err), "%s", err.msg);
    cr_assert(stat("p/q/r", &st) == 0 && S_ISDIR(st.st_mode));
    cr_assert_not(dir_make("/proc/no-such/x", 0755, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
}

Test(file, a_directory_whose_name_cannot_be_synced_is_taken_back)
{
    struct err err = { 0 };
    struct rlimit old, none;
    struct stat st;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    none = (struct rlimit){ 0, old.rlim_max };
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    const bool is_made = dir_make("d", 0755, &err);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    cr_expect_not(is_made);
    cr_expect_eq(err.os_errno, EMFILE);
    cr_expect_eq(stat("d", &st), -1);
}

static int make_in_child(void *arg)
{
    struct err err = { 0 };
    return dir_make(arg, 0755, &err) ? 0 : (int)err.kind;
}

static int make_at_in_child(void *arg)
{
    struct err err = { 0 };
    return dir_make_at(AT_FDCWD, arg, 0755, &err) ? 0 : (int)err.kind;
}

/* Killed between mkdir and the sync: the next one may not take the directory for durable. */
Test(file, a_directory_that_is_there_is_synced_by_the_next_maker)
{
    static char whole[] = "d", below[] = "d/e/f";
    struct err err = { 0 };
    struct stat st;
    cr_assert_eq(refused(SYS_fsync, EIO, make_in_child, whole), ERR_SYSTEM);
    cr_assert_eq(refused(SYS_fsync, EIO, make_at_in_child, whole), ERR_SYSTEM);
    cr_assert_eq(stat("d", &st), -1, "taken back");
    cr_assert_eq(mkdir("d", 0755), 0);
    cr_assert_eq(refused(SYS_fsync, EIO, make_in_child, whole), ERR_SYSTEM);
    cr_assert_eq(refused(SYS_fsync, EIO, make_in_child, below), ERR_SYSTEM);
    cr_assert_eq(refused(SYS_fsync, EIO, make_at_in_child, whole), ERR_SYSTEM);
    cr_assert_eq(stat("d/e", &st), -1, "nothing is built on it");
    cr_assert_eq(stat("d", &st), 0, "what was there stays");
    cr_assert(dir_make(below, 0755, &err) && dir_make_at(AT_FDCWD, "d", 0755, &err), "%s", err.msg);
    cr_assert(dir_make("/proc/self/fd", 0755, &err), "where syncing means nothing: %s", err.msg);
    cr_assert_eq(refused(SYS_fsync, EROFS, make_in_child, below), 0);
}

Test(file, a_file_in_the_way_of_a_directory_is_said)
{
    struct err err = { 0 };
    cr_assert(file_publish(AT_FDCWD, "f", view_str("1"), 0600, FILE_REPLACE, &err));
    cr_assert_not(dir_make("f", 0755, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}
