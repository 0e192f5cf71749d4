#include "sidecar/engine/scene_test.h"

#include <signal.h>
#include <sys/resource.h>

/* The mark as the next start would find it. */
static struct mark on_disk(const struct scene *s)
{
    struct mark mark;
    struct err err = { 0 };
    bool is_whole;
    CLEANUP(str_freep) char *path = str_format("%s/.state.lock", s->root);
    CLEANUP(fd_closep) struct fd file = { open(path, O_RDONLY | O_CLOEXEC) };
    cr_assert(fd_is_open(file) && mark_read(file.raw, &mark, &is_whole, &err), "%s", err.msg);
    cr_assert(is_whole, "%s", mark.why);
    return mark;
}

static void tick(void *arg) { loop_quit(arg); }
/* Lets the loop run until the mark is as it should be. */
static void wait_mark(struct scene *s, bool is_unsaved)
{
    struct loop_timer *timer = loop_timer_new(s->loop, tick, s->loop);
    const struct boot end = boot_add_ms(boot_now(), 10000);
    while (on_disk(s).is_unsaved != is_unsaved && boot_now().ns < end.ns) {
        loop_timer_arm(timer, boot_add_ms(boot_now(), 5));
        loop_run(s->loop);
    }
    loop_timer_free(timer);
    cr_assert_eq(on_disk(s).is_unsaved, is_unsaved);
}

static void begin(struct scene *s)
{
    struct err err = { 0 };
    cr_assert(make(s, "*.tmp", &err), "%s", err.msg);
    state_open(s->state);
    loop_run(s->loop);
    cr_assert(s->opened == 1 && s->found == LOCAL_FRESH);
    cr_assert_not(on_disk(s).is_unsaved);
}

static void save_last(struct scene *s)
{
    const unsigned before = s->onces;
    state_save_last(s->state, deadline_after(boot_now(), 10000, 0));
    while (s->onces == before)
        loop_run(s->loop);
}

static void over(struct scene *s)
{
    struct err err = { 0 };
    err_set(&err, ERR_FENCED, "held by b");
    state_stop(s->state, &err);
    while (s->idles == 0)
        loop_run(s->loop);
}

/* `end` without the stop, which has been. */
static void finish(struct scene *s)
{
    state_free(s->state);
    s->state = NULL;
    end(s);
}

Test(state, life_that_ends_with_its_last_checkpoint_leaves_no_mark)
{
    struct scene s = { 0 };
    begin(&s);
    state_run(s.state);
    save_last(&s);
    cr_assert_eq(s.kind, ERR_NONE);
    over(&s);
    cr_assert_not(on_disk(&s).is_unsaved);
    finish(&s);
}

Test(state, life_that_ends_without_its_last_checkpoint_is_marked)
{
    struct scene s = { 0 };
    begin(&s);
    state_run(s.state);
    over(&s);
    const struct mark mark = on_disk(&s);
    cr_assert(mark.is_unsaved && mark.epoch == 1 && mark.wall_ms > 0);
    cr_assert_str_eq(mark.why, "held by b");
    finish(&s);
}

Test(state, life_whose_agent_never_ran_leaves_no_mark)
{
    struct scene s = { 0 };
    begin(&s);
    over(&s);
    cr_assert_not(on_disk(&s).is_unsaved);
    finish(&s);
}

/* From the failure on, not only at the end: whatever kills this process then, the mark is there. */
Test(state, failed_checkpoint_is_marked_until_a_later_one_is_committed)
{
    struct scene s = { 0 };
    begin(&s);
    CLEANUP(str_freep) char *dir = str_format("%s/state", s.root);
    CLEANUP(str_freep) char *away = str_format("%s/away", s.root);
    state_run(s.state);
    cr_assert_eq(rename(dir, away), 0);
    wait_mark(&s, true);
    cr_assert_not_null(strstr(on_disk(&s).why, "is gone"), "%s", on_disk(&s).why);
    cr_assert_eq(rename(away, dir), 0);
    wait_mark(&s, false);
    cr_assert_geq(s.committed, 1);
    over(&s);
    const struct mark mark = on_disk(&s);
    cr_assert(mark.is_unsaved && mark.sequence == 1);
    cr_assert_str_eq(mark.head, state_borrow_head(s.state));
    finish(&s);
}

static void forbid_writing(struct rlimit *was)
{
    const struct rlimit few = { 100, RLIM_INFINITY };
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert(getrlimit(RLIMIT_FSIZE, was) == 0 && setrlimit(RLIMIT_FSIZE, &few) == 0);
}

Test(state, mark_that_was_not_written_is_written_with_the_next_checkpoint)
{
    struct scene s = { .waits_for = HEALTH_MARK };
    struct rlimit was;
    begin(&s);
    CLEANUP(str_freep) char *dir = str_format("%s/state", s.root);
    CLEANUP(str_freep) char *away = str_format("%s/away", s.root);
    forbid_writing(&was);
    state_run(s.state);
    cr_assert_eq(rename(dir, away), 0);
    while (s.troubles[HEALTH_MARK][0] == '\0')
        loop_run(s.loop);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &was), 0);
    cr_assert_eq(rename(away, dir), 0);
    while (s.troubles[HEALTH_MARK][0] != '\0')
        loop_run(s.loop);
    wait_mark(&s, false);
    over(&s);
    finish(&s);
}

/* An earlier one that is committed meanwhile does not speak for the last. */
Test(state, last_checkpoint_that_fails_is_marked_from_its_beginning)
{
    struct scene s = { 0 };
    begin(&s);
    CLEANUP(str_freep) char *dir = str_format("%s/state", s.root);
    CLEANUP(str_freep) char *away = str_format("%s/away", s.root);
    state_run(s.state);
    cr_assert_eq(rename(dir, away), 0);
    state_save_last(s.state, deadline_after(boot_now(), 300, 0));
    while (s.onces == 0)
        loop_run(s.loop);
    cr_assert_eq(s.kind, ERR_UNAVAILABLE);
    over(&s);
    cr_assert(on_disk(&s).is_unsaved);
    cr_assert_str_eq(on_disk(&s).why, "the last checkpoint was not committed");
    finish(&s);
}

Test(state, mark_that_cannot_be_written_is_told)
{
    struct scene s = { 0 };
    begin(&s);
    struct rlimit was;
    state_run(s.state);
    forbid_writing(&was);
    over(&s);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &was), 0);
    cr_assert_not_null(strstr(s.troubles[HEALTH_MARK], "write the mark"), "%s",
                       s.troubles[HEALTH_MARK]);
    finish(&s);
}
