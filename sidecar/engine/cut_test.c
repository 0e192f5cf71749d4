#include "sidecar/engine/cut.h"

#include <criterion/criterion.h>
#include <signal.h>

/* A shim that answers as told, and a worker that freezes and thaws once or twice. */
struct scene {
    struct loop *loop;
    struct cut *cut;
    enum { SHIM_YES, SHIM_NO, SHIM_SILENT, SHIM_LATE } shim;
    unsigned freezes, thaws;
    uint32_t seqs[4], last_ms, late_seq;
    unsigned rounds, done;
    bool ok[2];
    struct err err;
};

static void on_send(void *arg, uint32_t seq, uint32_t freeze_ms)
{
    struct scene *s = arg;
    if (freeze_ms == 0) {
        s->thaws++;
        return;
    }
    s->seqs[s->freezes++] = seq;
    s->last_ms = freeze_ms;
    if (s->late_seq != 0) /* the answer to the freeze before comes first, and says yes */
        cut_on_frozen(s->cut, s->late_seq, true);
    s->late_seq = s->shim == SHIM_LATE ? seq : 0;
    if (s->shim == SHIM_YES || s->shim == SHIM_NO)
        cut_on_frozen(s->cut, seq, s->shim == SHIM_YES);
}

static void worker(void *arg)
{
    struct scene *s = arg;
    const struct cut_ops *ops = cut_borrow_ops(s->cut);
    for (unsigned i = 0; i < s->rounds; i++) {
        s->ok[i] = ops->freeze(ops->arg, 50, &s->err);
        if (s->ok[i])
            ops->thaw(ops->arg);
    }
}

static void quit(void *arg) { loop_quit(((struct scene *)arg)->loop); }
static void worked(void *arg)
{
    struct scene *s = arg;
    s->done++;
    loop_post(s->loop, quit, s); /* behind the worker's own posts */
}

static void play(struct scene *s, unsigned rounds)
{
    struct err err;
    s->loop = loop_new();
    s->rounds = rounds;
    cr_assert(cut_new(s->loop, on_send, s, &s->cut, &err), "%s", err.msg);
    loop_work(s->loop, worker, worked, s);
    loop_run(s->loop);
    cr_assert_eq(s->done, 1);
    cut_free(s->cut);
    loop_free(s->loop);
}

Test(cut, frozen_agent_is_thawed_once)
{
    struct scene s = { .shim = SHIM_YES };
    play(&s, 2);
    cr_assert(s.ok[0] && s.ok[1]);
    cr_assert(s.freezes == 2 && s.thaws == 2);
    cr_assert_eq(s.last_ms, 50 + CUT_WAIT_MS, "the shim's bound is the later one");
    cr_assert_neq(s.seqs[0], s.seqs[1]);
    cr_assert(s.seqs[0] & 0x80000000U, "apart from the lease's numbers");
}

Test(cut, refused_freeze_is_unavailable_and_thawed)
{
    struct scene s = { .shim = SHIM_NO };
    play(&s, 1);
    cr_assert(!s.ok[0] && s.err.kind == ERR_UNAVAILABLE);
    cr_assert_eq(s.thaws, 1);
}

Test(cut, silent_shim_does_not_hold_the_worker)
{
    struct scene s = { .shim = SHIM_SILENT };
    struct boot before = boot_now();
    play(&s, 1);
    cr_assert(!s.ok[0] && s.err.kind == ERR_UNAVAILABLE);
    cr_assert_geq(boot_diff_ms(boot_now(), before), CUT_WAIT_MS);
    cr_assert_eq(s.thaws, 1);
}

Test(cut, answer_of_an_older_freeze_is_dropped)
{
    struct scene s = { .shim = SHIM_LATE };
    play(&s, 2);
    cr_assert(!s.ok[0] && !s.ok[1], "the second was answered with the first one's number only");
}
