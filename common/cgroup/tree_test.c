#include "common/cgroup/tree.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/cgroup/layout.h"

#define ROUNDS 200 /* of 10 ms */

static char root[] = "/tmp/tree-XXXXXX";
static struct err err;

static void setup(void) { cr_assert_not_null(mkdtemp(root)); }
static void teardown(void) { cr_assert(dir_remove_tree(root, &err), "%s", err.msg); }

TestSuite(tree, .init = setup, .fini = teardown);

static void make(const char *path)
{
    CLEANUP(str_freep) char *full = str_format("%s/%s", root, path);
    cr_assert(dir_make(full, 0755, &err), "%s", err.msg);
}

static void put(const char *path, const char *text)
{
    CLEANUP(str_freep) char *full = str_format("%s/%s", root, path);
    cr_assert(file_publish(AT_FDCWD, full, view_str(text), 0644, FILE_REPLACE, &err), "%s",
              err.msg);
}

static bool has(const char *path)
{
    CLEANUP(str_freep) char *full = str_format("%s/%s", root, path);
    return access(full, F_OK) == 0;
}

Test(tree, keyed_numbers_are_found_at_the_start_of_a_line)
{
    static const char text[] = "anon 1\nfile_anon 2\nfile 3\nlast -4";
    cr_expect_eq(cgroup_keyed(text, "anon", 0), 1);
    cr_expect_eq(cgroup_keyed(text, "file", 0), 3);
    cr_expect_eq(cgroup_keyed(text, "last", 0), -4);
    cr_expect_eq(cgroup_keyed(text, "las", 7), 7);
    cr_expect_eq(cgroup_keyed("", "anon", 7), 7);
    cr_expect_eq(cgroup_keyed("anon 1\n", "file", 7), 7);
}

static bool clear(const char *path)
{
    bool is_empty = false;
    CLEANUP(str_freep) char *full = str_format("%s/%s", root, path);
    cr_assert(cgroup_clear(full, &is_empty, &err), "%s", err.msg);
    return is_empty;
}

static pid_t sleeper(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            (void)pause();
    return pid;
}

static void expect_killed(pid_t pid)
{
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

Test(tree, what_is_hidden_wide_or_deep_is_removed_too)
{
    CLEANUP(str_freep) char *top = str_format("%s/top", root);
    make("top/.hidden/..below");
    for (int i = 0; i < 300; i++) {
        CLEANUP(str_freep) char *path = str_format("top/wide/%d/inner", i);
        make(path);
    }
    CLEANUP(fd_closep) struct fd at = { open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    for (int i = 0; i < 2000; i++) { /* longer than any path may be, deeper than descriptors go */
        cr_assert_eq(mkdirat(at.raw, "further", 0755), 0);
        struct fd below = { openat(at.raw, "further", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
        cr_assert(fd_is_open(below));
        fd_closep(&at);
        at = below;
    }
    cr_assert(cgroup_remove_tree(top, &err), "%s", err.msg);
    cr_expect_not(has("top"));
    cr_expect(cgroup_remove_tree(top, &err), "absent is fine");
}

Test(tree, one_that_is_in_use_is_a_conflict_and_its_neighbours_go)
{
    CLEANUP(str_freep) char *top = str_format("%s/top", root);
    for (int i = 0; i < 20; i++) {
        CLEANUP(str_freep) char *path = str_format("top/%d/inner", i);
        make(path);
    }
    put("top/7/inner/held", "");
    cr_assert_not(cgroup_remove_tree(top, &err));
    cr_expect_eq(err.kind, ERR_CONFLICT, "%s", err.msg);
    for (int i = 0; i < 20; i++) {
        CLEANUP(str_freep) char *path = str_format("top/%d", i);
        cr_expect_eq(has(path), i == 7, "%s", path);
    }
}

Test(tree, everybody_at_every_depth_is_killed)
{
    static const char *const dirs[] = { "top", "top/a", "top/.b/c/d", "top/e" };
    pid_t pids[COUNT(dirs)];
    for (size_t i = 0; i < COUNT(dirs); i++) {
        CLEANUP(str_freep) char *list = str_format("%s/cgroup.procs", dirs[i]);
        pids[i] = sleeper();
        CLEANUP(str_freep) char *text = str_format("0\n%d\n", (int)pids[i]);
        make(dirs[i]);
        put(list, text);
    }
    cr_expect_not(clear("top"));
    for (size_t i = 0; i < COUNT(dirs); i++)
        expect_killed(pids[i]);
}

Test(tree, empty_is_said_only_of_what_is_empty)
{
    bool is_empty = true;
    make("top/a/b");
    cr_expect_not(clear("top"), "it was not empty when the round began");
    cr_expect_not(has("top/a"));
    cr_expect(has("top"));
    cr_expect(clear("top"));
    cr_expect(clear("absent"));
    make("top/held");
    put("top/held/file", "");
    cr_expect_not(clear("top"));
    cr_expect_not(clear("top"));
    make("unreadable/cgroup.procs"); /* reading a directory fails as a broken file does */
    CLEANUP(str_freep) char *path = str_format("%s/unreadable", root);
    cr_expect_not(cgroup_clear(path, &is_empty, &err));
    cr_expect_not(is_empty);
    cr_expect_eq(err.kind, ERR_SYSTEM);
    cr_expect(strstr(err.msg, "unreadable"), "%s", err.msg);
}

Test(tree, a_link_is_not_followed)
{
    bool is_empty = true;
    CLEANUP(str_freep) char *link = str_format("%s/link", root);
    make("target/kept");
    cr_assert_eq(symlink("target", link), 0);
    cr_expect_not(cgroup_clear(link, &is_empty, &err));
    cr_expect_not(cgroup_remove_tree(link, &err));
    cr_expect(has("target/kept"));
}

Test(tree, what_stays_in_use_may_be_asked_again)
{
    CLEANUP(str_freep) char *busy = str_format("%s/busy", root);
    CLEANUP(str_freep) char *held = str_format("%s/held", busy);
    make("busy");
    put("busy/held", "");
    cr_expect_not(cgroup_remove_tree_soon(busy, &err));
    cr_expect_eq(err.kind, ERR_UNAVAILABLE);
    cr_expect(strstr(err.msg, "busy\": still in use") != NULL, "%s", err.msg);
    cr_assert_eq(unlink(held), 0);
    cr_expect(cgroup_remove_tree_soon(busy, &err), "%s", err.msg);
    cr_expect_not(has("busy"));
}

static void clear_until_empty(const char *path)
{
    bool is_empty = false;
    for (int i = 0; i < ROUNDS && !is_empty; i++) {
        cr_assert(cgroup_clear(path, &is_empty, &err), "%s", err.msg);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
        if (!is_empty)
            (void)usleep(10000);
    }
    cr_expect(is_empty);
    bool is_gone = false;
    for (int i = 0; i < ROUNDS && !is_gone; i++) {
        is_gone = cgroup_remove_tree(path, &err);
        if (!is_gone)
            (void)usleep(10000); /* a dead process holds its cgroup for a moment */
    }
    cr_expect(is_gone, "%s", err.msg);
    cr_expect_neq(access(path, F_OK), 0);
}

static void fill_and_clear(const char *mount)
{
    CLEANUP(str_freep) char *top = str_format("%s/agent-tree-%d", mount, (int)getpid());
    static const char *const dirs[] = { "", "/a", "/a/.b", "/a/.b/c", "/d" };
    if (mount[0] == '\0' || access(mount, W_OK) < 0 || mkdir(top, 0755) < 0)
        cr_skip_test("no hierarchy \"%s\" that we may use", mount);
    for (size_t i = 0; i < COUNT(dirs); i++) {
        CLEANUP(str_freep) char *dir = str_format("%s%s", top, dirs[i]);
        CLEANUP(str_freep) char *list = str_format("%s/cgroup.procs", dir);
        cr_assert(i == 0 || mkdir(dir, 0755) == 0);
        FILE *procs = fopen(list, "we");
        cr_assert_not_null(procs);
        (void)fprintf(procs, "%d\n", (int)sleeper());
        cr_assert_eq(fclose(procs), 0, "%s: %s", list, strerror(errno));
    }
    cr_expect_not(cgroup_remove_tree(top, &err));
    cr_expect_eq(err.kind, ERR_CONFLICT, "%s", err.msg);
    clear_until_empty(top);
}

Test(tree, a_real_one_of_version_1)
{
    struct cgroup_layout layout;
    cgroup_layout_read("", &layout);
    fill_and_clear(layout.v1[CGROUP_PIDS]);
}

Test(tree, a_real_one_of_version_2)
{
    struct cgroup_layout layout;
    cgroup_layout_read("", &layout);
    fill_and_clear(layout.unified);
}
