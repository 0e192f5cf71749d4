#include "sidecar/engine/cut.h"

#include "common/base/fd.h"
#include "common/base/own.h"

#include <fcntl.h>
#include <poll.h>

#define CUT_SEQ_FIRST 0x80000000U /* the lease numbers its ARMs below */

struct cut {
    struct loop *loop;
    cut_send_fn *send;
    void *arg;
    struct cut_ops ops;
    struct fd answers, asked; /* read end: the worker's; write end: the loop's */
    uint32_t seq;             /* the worker's: of the newest freeze */
};

struct ask {
    struct cut *cut;
    uint32_t seq, freeze_ms;
};
struct answer { /* less than PIPE_BUF: written and read whole */
    uint32_t seq;
    bool is_frozen;
};

static void on_ask(void *arg)
{
    struct ask *ask = arg;
    ask->cut->send(ask->cut->arg, ask->seq, ask->freeze_ms);
    free(ask);
}

static void post_ask(struct cut *cut, uint32_t freeze_ms)
{
    struct ask *ask = mem_new(struct ask);
    *ask = (struct ask){ cut, cut->seq, freeze_ms };
    loop_post(cut->loop, on_ask, ask);
}

/* True when the answer to `seq` was read; older answers are dropped on the way. */
static bool read_answer(const struct cut *cut, struct answer *out)
{
    while (read(cut->answers.raw, out, sizeof *out) == (ssize_t)sizeof *out)
        if (out->seq == cut->seq)
            return true;
    return false;
}

static bool wait_answer(const struct cut *cut, struct answer *out)
{
    struct deadline until = deadline_after(boot_now(), CUT_WAIT_MS, 0);
    for (;;) {
        if (read_answer(cut, out))
            return true;
        int64_t left_ms = deadline_left_ms(until, boot_now());
        struct pollfd wait = { .fd = cut->answers.raw, .events = POLLIN };
        if (left_ms == 0 || (poll(&wait, 1, (int)left_ms) < 0 && errno != EINTR))
            return false;
    }
}

static void thaw(void *arg) { post_ask(arg, 0); }

/* The shim's own bound covers the wait for its answer: the caller, who counts `max_ms` from our
 * return, is always the first to stop. */
static bool freeze(void *arg, int64_t max_ms, struct err *err)
{
    struct cut *cut = arg;
    struct answer answer = { 0 };
    cut->seq = cut->seq == UINT32_MAX ? CUT_SEQ_FIRST : cut->seq + 1;
    post_ask(cut, (uint32_t)max_ms + CUT_WAIT_MS);
    if (wait_answer(cut, &answer) && answer.is_frozen)
        return true;
    thaw(cut); /* it may stand still since, or in part */
    return err_set(err, ERR_UNAVAILABLE, "freeze agent: %s",
                   answer.seq == cut->seq ? "not everything stood still" : "no answer in time");
}

bool cut_new(struct loop *loop, cut_send_fn *send, void *arg, struct cut **out, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return err_sys(err, errno, "make a pipe for freezes");
    struct cut *cut = mem_new(struct cut);
    *cut = (struct cut){ .loop = loop, .send = send, .arg = arg, .seq = CUT_SEQ_FIRST };
    cut->answers.raw = ends[0];
    cut->asked.raw = ends[1];
    cut->ops = (struct cut_ops){ freeze, thaw, cut };
    *out = cut;
    return true;
}

void cut_free(struct cut *cut)
{
    if (cut == NULL)
        return;
    fd_closep(&cut->answers);
    fd_closep(&cut->asked);
    free(cut);
}

const struct cut_ops *cut_borrow_ops(const struct cut *cut) { return &cut->ops; }

void cut_on_frozen(struct cut *cut, uint32_t seq, bool is_frozen)
{
    struct answer answer = { seq, is_frozen };
    /* Full only when a shim answers thousands of times unasked: then the freeze counts as failed.
     */
    ssize_t put = write(cut->asked.raw, &answer, sizeof answer);
    (void)put;
}
