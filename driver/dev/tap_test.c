#include "driver/dev/tap.h"

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/loop/loop.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

struct fixture {
    struct loop *loop;
    char dir[32], path[64];
    struct buf got;
    const char *until; /* the line that ends the loop */
};

static void on_line(void *arg, const char *line)
{
    struct fixture *f = arg;
    buf_put_fmt(&f->got, "[%s]", line);
    if (f->until && strcmp(line, f->until) == 0)
        loop_quit(f->loop);
}

static struct fixture *set_up(void)
{
    struct fixture *f = mem_new(struct fixture);
    f->loop = loop_new();
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/tap.XXXXXX");
    cr_assert_not_null(mkdtemp(f->dir));
    (void)snprintf(f->path, sizeof f->path, "%s/fifo", f->dir);
    return f;
}

static void tear_down(struct fixture *f)
{
    struct err err;
    loop_free(f->loop);
    buf_fini(&f->got);
    cr_assert(dir_remove_tree(f->dir, &err));
    free(f);
}

static void write_text(const struct fixture *f, const char *text)
{
    struct err err;
    CLEANUP(fd_closep) struct fd out = { open(f->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC) };
    cr_assert(fd_is_open(out));
    cr_assert(fd_write_all(out.raw, text, strlen(text), &err));
}

Test(tap, lines_come_whole_and_the_last_piece_at_the_close)
{
    struct fixture *f = set_up();
    struct tap *tap = NULL;
    struct err err = { 0 };
    f->until = "two";
    cr_assert(tap_open(f->loop, f->path, on_line, f, &tap, &err), "%s", err.msg);
    write_text(f, "one\n\ntwo\nhalf");
    loop_run(f->loop);
    cr_assert_str_eq(buf_borrow_str(&f->got), "[one][][two]");
    tap_close(tap);
    cr_assert_str_eq(buf_borrow_str(&f->got), "[one][][two][half]");
    tear_down(f);
}

Test(tap, a_second_start_finds_the_fifo_and_what_was_left_is_read_at_the_close)
{
    struct fixture *f = set_up();
    struct tap *tap = NULL;
    struct err err = { 0 };
    cr_assert(tap_open(f->loop, f->path, on_line, f, &tap, &err));
    tap_close(tap);
    cr_assert(tap_open(f->loop, f->path, on_line, f, &tap, &err));
    write_text(f, "late\n");
    tap_close(tap);
    cr_assert_str_eq(buf_borrow_str(&f->got), "[late]");
    tap_close(NULL);
    tear_down(f);
}

Test(tap, a_line_that_is_too_long_comes_in_pieces)
{
    struct fixture *f = set_up();
    struct tap *tap = NULL;
    struct err err = { 0 };
    char text[TAP_LINE_MAX + 10];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cr_assert(tap_open(f->loop, f->path, on_line, f, &tap, &err));
    write_text(f, text);
    tap_close(tap);
    cr_assert_eq(f->got.len, sizeof text - 1 + 4);
    tear_down(f);
}

Test(tap, what_is_not_a_fifo_is_refused)
{
    struct fixture *f = set_up();
    struct tap *tap = NULL;
    struct err err = { 0 };
    cr_assert(file_publish(AT_FDCWD, f->path, view_str("x"), 0600, FILE_EXCLUSIVE, &err));
    cr_assert_not(tap_open(f->loop, f->path, on_line, f, &tap, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not(tap_open(f->loop, "/nonexistent/fifo", on_line, f, &tap, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    tear_down(f);
}
