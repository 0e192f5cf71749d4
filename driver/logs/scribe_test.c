#include "driver/logs/scribe.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base/file.h"
#include "common/base/own.h"

struct desk {
    char path[64];
    struct fd dir;
    struct fd in[2]; /* what a task writes to */
    struct fd out[2];
    struct scribe scribe;
    struct err err;
};

static void seat(struct desk *d, uint64_t max_bytes)
{
    static const char *const stems[] = { "web.stdout", "web.stderr" };
    memset(&d->scribe, 0, sizeof(d->scribe));
    for (int i = 0; i < 2; i++) {
        d->scribe.streams[i].pipe_fd = d->out[i].raw;
        rotation_init(&d->scribe.streams[i].rotation, d->dir.raw, stems[i], max_bytes, 1000);
    }
}

static void desk_open(struct desk *d, const char *path, uint64_t max_bytes)
{
    *d = (struct desk){ .dir = { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) } };
    (void)snprintf(d->path, sizeof(d->path), "%s", path);
    for (int i = 0; i < 2; i++) {
        int ends[2];
        cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
        d->out[i].raw = ends[0];
        d->in[i].raw = ends[1];
        cr_assert(fd_set_nonblock(d->out[i].raw, true, &d->err));
    }
    seat(d, max_bytes);
}

static void desk_close(struct desk *d)
{
    for (int i = 0; i < 2; i++) {
        rotation_fini(&d->scribe.streams[i].rotation);
        fd_closep(&d->in[i]);
        fd_closep(&d->out[i]);
    }
    fd_closep(&d->dir);
}

static void make_dir(char path[64])
{
    (void)snprintf(path, 64, "/tmp/scribe-XXXXXX");
    cr_assert_not_null(mkdtemp(path));
}

static void say(struct desk *d, int stream, const char *text)
{
    cr_assert(fd_write_all(d->in[stream].raw, text, strlen(text), &d->err), "%s", d->err.msg);
}

static void expect(struct desk *d, const char *name, const char *text)
{
    CLEANUP(buf_fini) struct buf got = { 0 };
    cr_assert(file_read(d->dir.raw, name, 1 << 20, &got, &d->err), "%s", d->err.msg);
    buf_put_u8(&got, 0);
    cr_expect_str_eq((const char *)got.data, text);
}

Test(scribe, writes_each_stream_into_its_own_file)
{
    struct desk d;
    char path[64];
    make_dir(path);
    desk_open(&d, path, 1000);
    say(&d, 0, "hello\n");
    say(&d, 1, "oh no\n");
    cr_expect(scribe_turn(&d.scribe, 0));
    expect(&d, "web.stdout.0", "hello\n");
    expect(&d, "web.stderr.0", "oh no\n");
    desk_close(&d);
    cr_expect(dir_remove_tree(path, &d.err));
}

Test(scribe, both_ends_are_its_end)
{
    struct desk d;
    char path[64];
    make_dir(path);
    desk_open(&d, path, 1000);
    say(&d, 0, "last words");
    fd_closep(&d.in[1]);
    cr_expect(scribe_turn(&d.scribe, 0), "one stream lives");
    fd_closep(&d.in[0]);
    cr_expect(scribe_turn(&d.scribe, 0) == false);
    expect(&d, "web.stdout.0", "last words");
    desk_close(&d);
    cr_expect(dir_remove_tree(path, &d.err));
}

Test(scribe, no_file_grows_beyond_its_size)
{
    struct desk d;
    char path[64];
    make_dir(path);
    desk_open(&d, path, 4);
    say(&d, 0, "0123456789");
    cr_expect(scribe_turn(&d.scribe, 0));
    expect(&d, "web.stdout.0", "0123");
    expect(&d, "web.stdout.1", "4567");
    expect(&d, "web.stdout.2", "89");
    desk_close(&d);
    cr_expect(dir_remove_tree(path, &d.err));
}

/* A disk of our own that holds 64 KiB: in a mount namespace, so that it goes with us. */
static bool mount_small(const char *path)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("logs", path, "tmpfs", 0, "size=64k") == 0;
}

Test(scribe, a_full_disk_stops_nobody_and_is_told_afterwards)
{
    struct desk d;
    char path[64], block[16384];
    memset(block, 'x', sizeof(block) - 1);
    block[sizeof(block) - 1] = '\n';
    make_dir(path);
    if (!mount_small(path))
        cr_skip_test("needs the right to mount");
    desk_open(&d, path, 1 << 20);
    for (int i = 0; i < 8; i++) { /* twice what fits; a pipe holds half of it */
        cr_assert(fd_write_all(d.in[0].raw, block, sizeof(block), &d.err), "%s", d.err.msg);
        cr_expect(scribe_turn(&d.scribe, 0));
    }
    const uint64_t missing = d.scribe.streams[0].missing;
    cr_expect_geq(missing, 4 * sizeof(block));
    cr_expect_eq(missing + d.scribe.streams[0].rotation.size, 8 * sizeof(block));
    cr_assert_eq(mount(NULL, path, NULL, MS_REMOUNT, "size=1m"), 0);
    say(&d, 0, "again\n");
    cr_expect(scribe_turn(&d.scribe, 0));
    cr_expect_eq(d.scribe.streams[0].missing, 0);
    CLEANUP(buf_fini) struct buf got = { 0 };
    cr_assert(file_read(d.dir.raw, "web.stdout.0", 1 << 20, &got, &d.err), "%s", d.err.msg);
    buf_put_u8(&got, 0);
    char line[128];
    (void)snprintf(line, sizeof(line),
                   "agent-shim: %llu bytes of the log are missing here: No space"
                   " left on device\nagain\n",
                   (unsigned long long)missing);
    cr_expect_not_null(strstr((const char *)got.data, line));
    desk_close(&d);
    cr_expect_eq(umount(path), 0);
    cr_expect_eq(rmdir(path), 0);
}

Test(scribe, what_is_missing_at_the_end_is_told_if_the_disk_lets_it)
{
    struct desk d;
    char path[64];
    make_dir(path);
    desk_open(&d, path, 1000);
    d.scribe.streams[0].missing = 7;
    d.scribe.streams[0].why = EDQUOT;
    fd_closep(&d.in[0]);
    cr_expect(scribe_turn(&d.scribe, 0), "the other stream lives");
    expect(&d, "web.stdout.0",
           "agent-shim: 7 bytes of the log are missing here: Disk quota exceeded\n");
    desk_close(&d);
    cr_expect(dir_remove_tree(path, &d.err));
}

Test(scribe, a_directory_that_goes_away_stops_nobody)
{
    struct desk d;
    char path[64];
    make_dir(path);
    desk_open(&d, path, 1000);
    cr_assert_eq(rmdir(path), 0);
    say(&d, 0, "into the void");
    cr_expect(scribe_turn(&d.scribe, 0));
    cr_expect_eq(d.scribe.streams[0].missing, strlen("into the void"));
    desk_close(&d);
}

Test(scribe, copies_where_splice_is_not_to_be_had)
{
    struct desk d;
    char path[64];
    make_dir(path);
    desk_open(&d, path, 6);
    d.scribe.streams[0].cannot_splice = true;
    say(&d, 0, "hello\nworld\n");
    cr_expect(scribe_turn(&d.scribe, 0));
    expect(&d, "web.stdout.0", "hello\n");
    expect(&d, "web.stdout.1", "world\n");
    desk_close(&d);
    cr_expect(dir_remove_tree(path, &d.err));
}

/* The child is killed at some point of its work; another one goes on with the same pipes. */
static void work_until_killed(struct desk *d, int round)
{
    const pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        fd_closep(&d->in[0]);
        fd_closep(&d->in[1]);
        scribe_run(&d->scribe);
        _exit(0);
    }
    for (int i = 0; i < round * 37 % 1000; i++)
        (void)sched_yield();
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

static pid_t count_into(struct desk *d, int lines)
{
    const pid_t pid = fork();
    cr_assert_geq(pid, 0);
    if (pid > 0)
        return pid;
    fd_closep(&d->out[0]);
    for (int i = 0; i < lines; i++) {
        char line[32];
        const int len = snprintf(line, sizeof(line), "line %d\n", i);
        if (!fd_write_all(d->in[0].raw, line, (size_t)len, &d->err))
            _exit(1);
    }
    _exit(0);
}

/* Appends the files in order. */
static void read_all(struct desk *d, struct buf *out)
{
    char name[32] = "web.stdout.0";
    for (int i = 0; file_read(d->dir.raw, name, 1 << 20, out, &d->err); i++)
        (void)snprintf(name, sizeof(name), "web.stdout.%d", i + 1);
}

Test(scribe, killed_anywhere_it_loses_and_repeats_nothing)
{
    enum { LINES = 100000, ROUNDS = 100 };
    struct desk d;
    char path[64];
    make_dir(path);
    desk_open(&d, path, 10000);
    const pid_t writer = count_into(&d, LINES);
    fd_closep(&d.in[0]);
    for (int round = 0; round < ROUNDS; round++) {
        seat(&d, 10000);
        work_until_killed(&d, round);
    }
    fd_closep(&d.in[1]);
    seat(&d, 10000);
    scribe_run(&d.scribe);
    int status = 0;
    cr_assert_eq(waitpid(writer, &status, 0), writer);
    cr_expect_eq(status, 0);
    CLEANUP(buf_fini) struct buf got = { 0 };
    read_all(&d, &got);
    buf_put_u8(&got, 0);
    const char *at = (const char *)got.data;
    for (int i = 0; i < LINES; i++) {
        char line[32];
        const int len = snprintf(line, sizeof(line), "line %d\n", i);
        cr_assert_eq(strncmp(at, line, (size_t)len), 0, "%s is not at byte %td", line,
                     at - (const char *)got.data);
        at += len;
    }
    cr_expect_eq(*at, '\0');
    desk_close(&d);
    cr_expect(dir_remove_tree(path, &d.err));
}
