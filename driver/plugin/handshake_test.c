#include "driver/plugin/handshake.h"

#include "common/base/file.h"
#include "common/base/own.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static char base[] = "/tmp/handshake-test-XXXXXX";
static char dir[128];
static struct handshake one, two;
static struct err err;

static void set_up(void)
{
    one = two = (struct handshake){ .listener = FD_NONE };
    cr_assert_not_null(mkdtemp(base));
    snprintf(dir, sizeof(dir), "%s/nomad-driver-agent-%u", base, (unsigned)geteuid());
    setenv("TMPDIR", base, 1);
    unsetenv("PLUGIN_UNIX_SOCKET_DIR");
    unsetenv("PLUGIN_CLIENT_CERT");
}
static void tear_down(void)
{
    handshake_fini(&one);
    handshake_fini(&two);
    cr_assert(dir_remove_tree(base, &err), "%s", err.msg);
}
TestSuite(handshake, .init = set_up, .fini = tear_down);

Test(handshake, refuses_whoever_is_not_the_agent)
{
    unsetenv("NOMAD_PLUGIN_MAGIC_COOKIE");
    cr_assert_not(handshake_check(&err));
    setenv("NOMAD_PLUGIN_MAGIC_COOKIE", "wrong", 1);
    cr_assert_not(handshake_check(&err));
    cr_assert_eq(err.kind, ERR_INVALID);
    setenv("NOMAD_PLUGIN_MAGIC_COOKIE",
           "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255", 1);
    cr_assert(handshake_check(&err));
    setenv("PLUGIN_CLIENT_CERT", "-----BEGIN", 1);
    cr_assert_not(handshake_check(&err));
}

Test(handshake, listens_at_a_fresh_path_each_time)
{
    cr_assert(handshake_listen(&one, &err), "%s", err.msg);
    cr_assert(handshake_listen(&two, &err), "%s", err.msg);
    cr_assert_str_neq(one.path, two.path);
    struct fd client = FD_NONE;
    cr_assert(socket_connect(one.path, &client, &err));
    fd_closep(&client);
    cr_assert(socket_connect(two.path, &client, &err));
    fd_closep(&client);
}

Test(handshake, writes_the_one_line)
{
    int ends[2];
    char got[512], expected[512];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert(handshake_listen(&one, &err));
    cr_assert(handshake_tell(&one, ends[1], &err));
    ssize_t len = read(ends[0], got, sizeof(got) - 1);
    got[len > 0 ? len : 0] = '\0';
    snprintf(expected, sizeof(expected), "1|2|unix|%s|grpc|\n", one.path);
    cr_assert_str_eq(got, expected);
    close(ends[0]);
    close(ends[1]);
}

Test(handshake, leaves_nothing_behind)
{
    struct stat found;
    cr_assert(handshake_listen(&one, &err));
    cr_assert(handshake_listen(&two, &err));
    handshake_fini(&one);
    cr_assert_eq(stat(two.path, &found), 0);
    handshake_fini(&two);
    cr_assert_neq(stat(dir, &found), 0);
    cr_assert_not(fd_is_open(one.listener));
}

static void age(const char *path, time_t seconds)
{
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = time(NULL) - seconds } };
    cr_assert_eq(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

Test(handshake, removes_old_sockets_of_dead_processes_and_nothing_else)
{
    char dead[200], young[200], file[200];
    struct stat found;
    struct fd gone = FD_NONE;
    cr_assert(handshake_listen(&one, &err));
    age(one.path, 3600); /* alive and old */
    snprintf(dead, sizeof(dead), "%s/dead", dir);
    snprintf(young, sizeof(young), "%s/young", dir);
    snprintf(file, sizeof(file), "%s/file", dir);
    cr_assert(socket_listen(dead, &gone, &err));
    fd_closep(&gone);
    age(dead, 3600);
    cr_assert(socket_listen(young, &gone, &err));
    fd_closep(&gone);
    close(open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    age(file, 3600);
    cr_assert(handshake_listen(&two, &err));
    cr_assert_neq(lstat(dead, &found), 0);
    cr_assert_eq(lstat(young, &found), 0);
    cr_assert_eq(lstat(file, &found), 0);
    cr_assert_eq(lstat(one.path, &found), 0);
}

Test(handshake, does_not_use_a_directory_that_others_can_write)
{
    cr_assert_eq(mkdir(dir, 0700), 0);
    cr_assert_eq(chmod(dir, 0777), 0);
    cr_assert(handshake_listen(&one, &err), "%s", err.msg);
    char inside[sizeof(dir) + 1];
    snprintf(inside, sizeof(inside), "%s/", dir);
    cr_assert_neq(strncmp(one.path, inside, strlen(inside)), 0);
    cr_assert_str_eq(one.dir, "");
}

Test(handshake, does_not_follow_a_link_in_place_of_its_directory)
{
    cr_assert_eq(symlink("/tmp", dir), 0);
    cr_assert(handshake_listen(&one, &err), "%s", err.msg);
    cr_assert_str_eq(one.dir, "");
}

Test(handshake, falls_back_to_tmp_when_the_path_would_not_fit)
{
    char deep[300];
    snprintf(deep, sizeof(deep), "%s/%0100d", base, 0);
    cr_assert_eq(mkdir(deep, 0700), 0);
    setenv("TMPDIR", deep, 1);
    setenv("PLUGIN_UNIX_SOCKET_DIR", "relative", 1);
    cr_assert(handshake_listen(&one, &err), "%s", err.msg);
    cr_assert_eq(strncmp(one.path, "/tmp/nomad-driver-agent-", 24), 0);
    cr_assert_leq(strlen(one.path), SOCKET_PATH_MAX);
}
