#include "driver/dev/timeline.h"

#include "common/base/fd.h"
#include "common/base/own.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static struct boot fake_boot(void *arg) { return *(struct boot *)arg; }
static struct wall fake_wall(void *arg)
{
    (void)arg;
    return (struct wall){ 1795614558779 * NS_PER_MS };
}

struct fixture {
    struct boot now;
    struct clock clock;
    struct fd read, write;
    struct timeline t;
    char text[4096];
};

static void set_up(struct fixture *f, bool json)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    f->now = (struct boot){ 5000000000 };
    f->clock = (struct clock){ fake_boot, fake_wall, &f->now };
    f->read.raw = ends[0];
    f->write.raw = ends[1];
    f->t = timeline_open(&f->clock, ends[1], json);
    f->now.ns += 12034 * NS_PER_MS;
}

static const char *written(struct fixture *f)
{
    const ssize_t n = read(f->read.raw, f->text, sizeof f->text - 1);
    cr_assert_geq(n, 0);
    f->text[n] = '\0';
    return f->text;
}

Test(timeline, text_lines_have_relative_time_and_node)
{
    struct fixture f;
    set_up(&f, false);
    timeline_put(&f.t, 1, TIMELINE_TASK, "restored checkpoint %d", 41);
    cr_assert_str_eq(written(&f), "  12.034s node-1 restored checkpoint 41\n");
    timeline_put(&f.t, 0, TIMELINE_NOTE, "not applied here: update");
    cr_assert_str_eq(written(&f), "  12.034s not applied here: update\n");
    timeline_put(&f.t, 2, TIMELINE_STDERR, "a\x1b[31m\xff");
    cr_assert_str_eq(written(&f), "  12.034s node-2 ! a?[31m\xef\xbf\xbd\n");
    fd_closep(&f.read);
    fd_closep(&f.write);
}

Test(timeline, json_lines_have_epoch_and_checkpoint_where_known)
{
    struct fixture f;
    set_up(&f, true);
    timeline_put(&f.t, 2, TIMELINE_TASK, "restored checkpoint 3f-41 of epoch 7");
    cr_assert_str_eq(
        written(&f),
        "{\"t_ms\":12034,\"wall_ms\":1795614558779,\"node\":\"node-2\",\"event\":\"task\",\"text\":"
        "\"restored checkpoint 3f-41 of epoch 7\",\"epoch\":7,"
        "\"checkpoint\":\"3f-41\"}\n");
    timeline_put(&f.t, 0, TIMELINE_END, "exit code %d, epoch 7", 0);
    cr_assert_str_eq(
        written(&f),
        "{\"t_ms\":12034,\"wall_ms\":1795614558779,\"node\":null,\"event\":\"end\",\"text\":\"exit "
        "code 0, epoch 7\"}\n");
    fd_closep(&f.read);
    fd_closep(&f.write);
}

Test(timeline, a_reader_that_went_away_ends_the_writing)
{
    struct fixture f;
    set_up(&f, false);
    signal(SIGPIPE, SIG_IGN);
    fd_closep(&f.read);
    timeline_put(&f.t, 1, TIMELINE_NOTE, "x");
    cr_assert(f.t.is_broken);
    timeline_put(&f.t, 1, TIMELINE_NOTE, "y");
    fd_closep(&f.write);
}

Test(timeline, fields_are_whole_words)
{
    char out[8];
    cr_assert(timeline_field("at epoch 12: x", "epoch", out, sizeof out));
    cr_assert_str_eq(out, "12");
    cr_assert(timeline_field("epoch: epoch 3", "epoch", out, sizeof out));
    cr_assert_str_eq(out, "3");
    cr_assert_not(timeline_field("preepoch 3, epoch", "epoch", out, sizeof out));
    cr_assert(timeline_field("checkpoint 123456789", "checkpoint", out, sizeof out));
    cr_assert_str_eq(out, "1234567");
}
