#include "driver/exec/input.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "common/base/own.h"
#include "common/loop/loop.h"
#include "driver/exec/pty.h"

struct rig {
    struct loop *loop;
    struct exec_input input;
    struct fd reader;
    int rooms; /* times that on_room was called */
};

static void quit(void *loop) { loop_quit(loop); }

static void on_room(void *arg)
{
    struct rig *rig = arg;
    rig->rooms++;
    loop_quit(rig->loop);
}

static void rig_init(struct rig *rig)
{
    *rig = (struct rig){ .loop = loop_new(), .input = { .fd = FD_NONE } };
    cr_assert_neq(signal(SIGPIPE, SIG_IGN), SIG_ERR);
}

static void rig_open(struct rig *rig)
{
    struct err err = { 0 };
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    rig->reader.raw = ends[0];
    cr_assert(fd_set_nonblock(ends[0], true, &err) && fd_set_nonblock(ends[1], true, &err));
    exec_input_open(&rig->input, rig->loop, (struct fd){ ends[1] }, false, on_room, rig);
}

static void rig_fini(struct rig *rig)
{
    exec_input_close(&rig->input);
    fd_closep(&rig->reader);
    loop_free(rig->loop);
}

static size_t drain(const struct rig *rig)
{
    char bytes[65536];
    size_t sum = 0;
    ssize_t got;
    while ((got = read(rig->reader.raw, bytes, sizeof(bytes))) > 0)
        sum += (size_t)got;
    return sum;
}

Test(input, pieces_and_the_end_wait_for_the_command)
{
    struct rig rig;
    char text[16] = "";
    rig_init(&rig);
    exec_input_put(&rig.input, view_str("early"));
    cr_expect_not(exec_input_has_room(&rig.input));
    exec_input_end(&rig.input);
    rig_open(&rig);
    cr_expect(exec_input_has_room(&rig.input));
    cr_expect_eq(read(rig.reader.raw, text, sizeof(text)), 5);
    cr_expect_str_eq(text, "early");
    cr_expect_eq(read(rig.reader.raw, text, sizeof(text)), 0, "the end");
    cr_expect_eq(rig.rooms, 0, "nobody is called back inside a call");
    exec_input_put(&rig.input, view_str("late"));
    exec_input_end(&rig.input);
    cr_expect(exec_input_has_room(&rig.input));
    rig_fini(&rig);
}

Test(input, what_is_not_taken_is_kept_and_room_is_told)
{
    struct rig rig;
    const size_t len = 1 << 20;
    char *bytes = mem_array(1, len);
    rig_init(&rig);
    rig_open(&rig);
    exec_input_put(&rig.input, view_of(bytes, len));
    cr_expect_not(exec_input_has_room(&rig.input));
    size_t sum = 0;
    while (rig.rooms == 0) {
        sum += drain(&rig);
        loop_post(rig.loop, quit, rig.loop);
        loop_run(rig.loop);
    }
    sum += drain(&rig);
    cr_expect_eq(sum, len);
    cr_expect_eq(rig.rooms, 1);
    cr_expect(exec_input_has_room(&rig.input));
    free(bytes);
    rig_fini(&rig);
}

Test(input, a_command_that_reads_no_more_gets_no_more)
{
    struct rig rig;
    rig_init(&rig);
    rig_open(&rig);
    fd_closep(&rig.reader);
    for (int i = 0; i < 3; i++) {
        exec_input_put(&rig.input, view_str("x"));
        cr_expect(exec_input_has_room(&rig.input));
    }
    rig_fini(&rig);
}

Test(input, a_reader_that_goes_while_we_wait_makes_room)
{
    struct rig rig;
    const size_t len = 1 << 20;
    char *bytes = mem_array(1, len);
    rig_init(&rig);
    rig_open(&rig);
    exec_input_put(&rig.input, view_of(bytes, len));
    cr_expect_not(exec_input_has_room(&rig.input));
    fd_closep(&rig.reader);
    loop_run(rig.loop);
    cr_expect_eq(rig.rooms, 1);
    free(bytes);
    rig_fini(&rig);
}

Test(input, a_command_without_input_takes_everything_at_once)
{
    struct rig rig;
    rig_init(&rig);
    exec_input_put(&rig.input, view_str("early"));
    exec_input_open(&rig.input, rig.loop, FD_NONE, false, on_room, &rig);
    cr_expect(exec_input_has_room(&rig.input));
    exec_input_put(&rig.input, view_str("x"));
    exec_input_end(&rig.input);
    rig.reader = FD_NONE;
    rig_fini(&rig);
}

/* `cat` reads a terminal in lines: what is typed there and its end. */
static void types(const char *text, const char *wanted)
{
    struct rig rig;
    struct err err = { 0 };
    struct fd ours, theirs, copy;
    char got[64] = "";
    rig_init(&rig);
    cr_assert(pty_open(geteuid(), &ours, &theirs, &err), "%s", err.msg);
    copy.raw = fcntl(ours.raw, F_DUPFD_CLOEXEC, 3);
    exec_input_open(&rig.input, rig.loop, copy, true, on_room, &rig);
    exec_input_put(&rig.input, view_str(text));
    exec_input_end(&rig.input);
    size_t len = 0;
    ssize_t more;
    while ((more = read(theirs.raw, got + len, sizeof(got) - 1 - len)) > 0)
        len += (size_t)more;
    cr_expect_eq(more, 0);
    cr_expect_str_eq(got, wanted);
    rig.reader = ours;
    fd_closep(&theirs);
    rig_fini(&rig);
}

Test(input, the_end_is_typed_on_a_terminal)
{
    types("", "");
    types("a line\n", "a line\n");
    types("a line\nhalf", "a line\nhalf");
}
