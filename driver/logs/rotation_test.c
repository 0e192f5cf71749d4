#include "driver/logs/rotation.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/own.h"

struct place { /* a directory of logs */
    char path[64];
    struct fd dir;
    struct rotation rotation;
    struct err err;
};

static void place_open(struct place *p, uint64_t max_bytes, uint32_t max_files)
{
    *p = (struct place){ .path = "/tmp/rotation-XXXXXX" };
    cr_assert_not_null(mkdtemp(p->path));
    p->dir.raw = open(p->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rotation_init(&p->rotation, p->dir.raw, "web.stdout", max_bytes, max_files);
}

static void place_close(struct place *p)
{
    rotation_fini(&p->rotation);
    fd_closep(&p->dir);
    cr_expect(dir_remove_tree(p->path, &p->err), "%s", p->err.msg);
}

static void put(struct place *p, const char *text)
{
    cr_assert(rotation_ready(&p->rotation, &p->err), "%s", p->err.msg);
    cr_assert_eq(write(p->rotation.file.raw, text, strlen(text)), (ssize_t)strlen(text));
    rotation_wrote(&p->rotation, strlen(text));
}

static void make(struct place *p, const char *name, const char *text)
{
    CLEANUP(fd_closep)
    struct fd file = { openat(p->dir.raw, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) };
    cr_assert(fd_write_all(file.raw, text, strlen(text), &p->err), "%s", p->err.msg);
}

/* "" for a file that is not there. */
static void expect(struct place *p, const char *name, const char *text)
{
    CLEANUP(buf_fini) struct buf got = { 0 };
    const bool is_there = file_read(p->dir.raw, name, 1 << 20, &got, &p->err);
    buf_put_u8(&got, 0);
    cr_expect_str_eq(is_there ? (const char *)got.data : "", text, "%s", name);
}

Test(rotation, touches_nothing_before_it_is_needed)
{
    struct place p;
    place_open(&p, 10, 3);
    expect(&p, "web.stdout.0", "");
    place_close(&p);
}

Test(rotation, begins_the_next_file_when_one_is_full_and_removes_the_oldest)
{
    struct place p;
    place_open(&p, 10, 3);
    make(&p, "web.stdout.txt", "not a number");
    make(&p, "web.stderr.0", "of the other stream");
    for (int i = 0; i < 5; i++)
        put(&p, "0123456789");
    put(&p, "the end");
    expect(&p, "web.stdout.2", "");
    expect(&p, "web.stdout.3", "0123456789");
    expect(&p, "web.stdout.4", "0123456789");
    expect(&p, "web.stdout.5", "the end");
    expect(&p, "web.stdout.txt", "not a number");
    expect(&p, "web.stderr.0", "of the other stream");
    place_close(&p);
}

Test(rotation, goes_on_in_the_newest_file_of_an_earlier_run)
{
    struct place p;
    place_open(&p, 10, 3);
    make(&p, "web.stdout.8", "old");
    make(&p, "web.stdout.11", "abc");
    put(&p, "def");
    expect(&p, "web.stdout.11", "abcdef");
    place_close(&p);
}

Test(rotation, a_full_file_of_an_earlier_run_is_followed_by_the_next)
{
    struct place p;
    place_open(&p, 3, 2);
    make(&p, "web.stdout.11", "abc");
    put(&p, "def");
    expect(&p, "web.stdout.11", "abc");
    expect(&p, "web.stdout.12", "def");
    place_close(&p);
}

/* What a task that may write in the directory could put in the way. */
Test(rotation, writes_in_nothing_that_is_not_ours)
{
    struct place p;
    place_open(&p, 10, 3);
    make(&p, "victim", "precious");
    cr_assert_eq(symlinkat("victim", p.dir.raw, "web.stdout.0"), 0);
    cr_assert_eq(linkat(p.dir.raw, "victim", p.dir.raw, "web.stdout.1", 0), 0);
    cr_assert_eq(mkfifoat(p.dir.raw, "web.stdout.2", 0666), 0);
    cr_assert_eq(mkdirat(p.dir.raw, "web.stdout.3", 0777), 0);
    cr_assert_eq(symlinkat("nowhere", p.dir.raw, "web.stdout.4"), 0);
    put(&p, "log");
    expect(&p, "victim", "precious");
    expect(&p, "nowhere", "");
    expect(&p, "web.stdout.5", "log");
    place_close(&p);
}

Test(rotation, a_file_that_another_scribe_writes_is_left_to_it)
{
    struct place p;
    struct rotation older;
    place_open(&p, 10, 3);
    rotation_init(&older, p.dir.raw, "web.stdout", 10, 3);
    cr_assert(rotation_ready(&older, &p.err), "%s", p.err.msg);
    put(&p, "new");
    expect(&p, "web.stdout.0", "");
    expect(&p, "web.stdout.1", "new");
    rotation_fini(&older);
    place_close(&p);
}

Test(rotation, a_file_of_another_user_is_not_ours)
{
    struct place p;
    if (geteuid() != 0)
        cr_skip_test("needs root to give a file away");
    place_open(&p, 10, 3);
    make(&p, "web.stdout.7", "theirs");
    cr_assert_eq(fchownat(p.dir.raw, "web.stdout.7", 65534, 65534, 0), 0);
    put(&p, "log");
    expect(&p, "web.stdout.0", "log");
    expect(&p, "web.stdout.7", "theirs");
    place_close(&p);
}

Test(rotation, numbers_that_we_would_not_write_are_nobodys)
{
    struct place p;
    place_open(&p, 10, 3);
    make(&p, "web.stdout.18446744073709551615", "x");
    make(&p, "web.stdout.1000000000", "x");
    make(&p, "web.stdout.007", "x");
    make(&p, "web.stdout.", "x");
    make(&p, "web.stdout.-1", "x");
    put(&p, "log");
    expect(&p, "web.stdout.0", "log");
    place_close(&p);
}

Test(rotation, the_last_number_is_written_for_ever)
{
    struct place p;
    place_open(&p, 3, 2);
    make(&p, "web.stdout.999999999", "abc");
    put(&p, "def");
    put(&p, "ghi");
    expect(&p, "web.stdout.999999999", "abcdefghi");
    place_close(&p);
}

Test(rotation, a_removed_file_is_not_written_any_more)
{
    struct place p;
    place_open(&p, 10, 3);
    put(&p, "lost");
    cr_assert_eq(unlinkat(p.dir.raw, "web.stdout.0", 0), 0);
    put(&p, "kept");
    expect(&p, "web.stdout.0", "kept");
    place_close(&p);
}

Test(rotation, says_which_log_cannot_be_opened)
{
    struct place p;
    place_open(&p, 10, 3);
    cr_assert_eq(rmdir(p.path), 0);
    cr_expect_not(rotation_ready(&p.rotation, &p.err));
    cr_expect_eq(p.err.kind, ERR_SYSTEM);
    cr_expect_not_null(strstr(p.err.msg, "web.stdout.0"));
    cr_expect_not(fd_is_open(p.rotation.file));
    rotation_fini(&p.rotation);
    fd_closep(&p.dir);
}

/* Another task of the allocation that wants to silence this one. */
Test(rotation, goes_behind_whoever_has_taken_many_numbers_and_gives_up_at_the_last)
{
    struct place p;
    place_open(&p, 10, 3);
    for (int i = 0; i < 100; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "web.stdout.%d", i);
        cr_assert_eq(symlinkat("nowhere", p.dir.raw, name), 0);
    }
    put(&p, "heard");
    expect(&p, "web.stdout.100", "heard");
    cr_assert_eq(unlinkat(p.dir.raw, "web.stdout.100", 0), 0);
    cr_assert_eq(symlinkat("nowhere", p.dir.raw, "web.stdout.999999999"), 0);
    cr_expect_not(rotation_ready(&p.rotation, &p.err));
    place_close(&p);
}
