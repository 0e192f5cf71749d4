#include "sidecar/engine/saver.h"

#include "common/base/own.h"
#include "sidecar/engine/backoff.h"

#include <assert.h>
#include <stdio.h>

static const struct backoff rest_after = { SAVER_BACKOFF_MS, SAVER_BACKOFF_MAX };

enum phase { PHASE_IDLE, PHASE_TAKING, PHASE_COMMITTING, PHASE_RESTING };

struct saver {
    struct loop *loop;
    const struct clock *clock;
    struct observe *observe;
    struct saver_ops ops;
    struct saver_events events;
    struct wishes wishes;
    enum phase phase;
    bool is_ticking, is_due, is_stopped, is_troubled;
    int64_t interval_ms;
    struct loop_timer *tick, *rest;
    unsigned failures; /* in a row */
    /* saver_once */
    bool is_once_asked, is_once_at_work;
    const char *once_reason;
    struct deadline once_until;
    /* the one at work: the worker's while PHASE_TAKING */
    struct saver_take what;
    bool is_taken;
    struct checkpoint_result result;
    struct err err;
    struct boot began;
    /* the newest committed one */
    char head[PACK_ID_TEXT];
    int64_t sequence;
    bool has_cut;
    struct boot cut;
};

static void begin_if_wanted(struct saver *s);

static void on_tick(void *arg)
{
    struct saver *s = arg;
    s->is_due = true;
    begin_if_wanted(s);
}

static void on_rest(void *arg)
{
    struct saver *s = arg;
    assert(s->phase == PHASE_RESTING);
    s->phase = PHASE_IDLE;
    s->is_due = s->is_due || s->is_ticking;
    begin_if_wanted(s);
}

struct saver *saver_new(struct loop *loop, const struct clock *clock, struct observe *observe,
                        const struct saver_ops *ops, const struct saver_events *events)
{
    struct saver *s = mem_new(struct saver);
    s->loop = loop;
    s->clock = clock;
    s->observe = observe;
    s->ops = *ops;
    s->events = *events;
    s->tick = loop_timer_new(loop, on_tick, s);
    s->rest = loop_timer_new(loop, on_rest, s);
    return s;
}

void saver_free(struct saver *s)
{
    if (s == NULL)
        return;
    assert(!saver_is_busy(s) && !wishes_is_waiting(&s->wishes));
    loop_timer_free(s->tick);
    loop_timer_free(s->rest);
    free(s);
}

void saver_adopt(struct saver *s, const char *id, int64_t sequence)
{
    (void)snprintf(s->head, sizeof s->head, "%s", id);
    s->sequence = sequence;
}

static void job(void *arg)
{
    struct saver *s = arg;
    s->is_taken = s->ops.take(s->ops.arg, &s->what, &s->result, &s->err);
}

static void stop_ticking(struct saver *s)
{
    s->is_ticking = s->is_due = false;
    loop_timer_cancel(s->tick);
}

static void trouble(struct saver *s, const struct err *err)
{
    bool was = s->is_troubled;
    s->is_troubled = err != NULL;
    if (was || s->is_troubled)
        s->events.on_trouble(s->events.arg, err);
}

static void once_ended(struct saver *s, const struct err *err)
{
    s->is_once_asked = false;
    s->events.on_once(s->events.arg, err != NULL ? NULL : &s->result, err);
}

/* What another try cannot mend. A file that is unreadable or a full disk may be mended. */
static bool is_final(enum err_kind kind)
{
    return kind == ERR_INVALID || kind == ERR_NOT_FOUND || kind == ERR_CORRUPT ||
           kind == ERR_FENCED || kind == ERR_DENIED;
}

/* A stop does not wait for the rest after a failure. */
static void end_rest(struct saver *s)
{
    if (s->phase != PHASE_RESTING)
        return;
    loop_timer_cancel(s->rest);
    s->phase = PHASE_IDLE;
    begin_if_wanted(s);
}

static void failed(struct saver *s, const struct err *err)
{
    bool was_once = s->is_once_at_work;
    s->is_once_at_work = false;
    s->phase = PHASE_IDLE;
    if (s->is_stopped) {
        s->events.on_idle(s->events.arg);
        return;
    }
    s->failures++;
    s->observe->checkpoints_failed++;
    struct boot now = clock_boot(s->clock),
                again = boot_add_ms(now, backoff_ms(rest_after, s->failures, now.ns / 1000));
    s->phase = PHASE_RESTING;
    loop_timer_arm(s->rest, again);
    trouble(s, err);
    wishes_retry(&s->wishes, boot_add_ms(now, -SAVER_PATIENCE_MS), err);
    if (was_once && (is_final(err->kind) || deadline_is_past(s->once_until, again)))
        once_ended(s, err);
    else if (!was_once && s->is_once_asked)
        end_rest(s);
}

static void committed(struct saver *s)
{
    bool was_once = s->is_once_at_work;
    s->is_once_at_work = false;
    s->failures = 0;
    s->cut = s->began;
    s->has_cut = true;
    if (s->result.is_changed)
        saver_adopt(s, s->result.id, s->result.sequence);
    if (s->is_stopped) {
        s->phase = PHASE_IDLE;
        s->events.on_idle(s->events.arg);
        return;
    }
    trouble(s, NULL);
    if (s->result.is_changed)
        s->events.on_committed(s->events.arg, &s->result, was_once);
    wishes_commit(&s->wishes, &(struct wish_result){ s->head, s->sequence });
    s->phase = PHASE_IDLE; /* not before all are told: one that is may ask again at once */
    if (s->is_stopped) {   /* by one that was told */
        s->events.on_idle(s->events.arg);
        return;
    }
    if (was_once)
        once_ended(s, NULL);
    begin_if_wanted(s);
}

static void on_commit(void *arg, const struct err *err)
{
    struct saver *s = arg;
    assert(s->phase == PHASE_COMMITTING);
    if (s->result.is_changed)
        s->ops.settle(s->ops.arg, err == NULL);
    if (err != NULL) {
        failed(s, err);
        return;
    }
    s->observe->checkpoint_us += (clock_boot(s->clock).ns - s->began.ns) / 1000;
    s->observe->checkpoints += s->result.is_changed;
    committed(s);
}

static void count(struct saver *s)
{
    if (!s->result.is_changed)
        s->observe->checkpoints_unchanged++;
    s->observe->checkpoints_fuzzy += s->result.is_changed && s->result.cut == CUT_FUZZY;
    s->observe->checkpoint_bytes += s->result.is_changed ? (int64_t)s->result.stored_bytes : 0;
    s->observe->freeze_us = s->result.pause_us;
}

static void on_taken(void *arg)
{
    struct saver *s = arg;
    assert(s->phase == PHASE_TAKING);
    if (s->is_taken)
        count(s);
    if (s->is_taken && s->is_stopped && s->result.is_changed)
        s->ops.settle(s->ops.arg, false);
    if (!s->is_taken || s->is_stopped) {
        failed(s, &s->err);
        return;
    }
    /* Nothing changed and nobody asked: no proof is needed, and the store is left in peace. */
    if (!s->result.is_changed && s->wishes.served == NULL) {
        committed(s);
        return;
    }
    s->phase = PHASE_COMMITTING;
    s->ops.commit(s->ops.arg, s->result.is_changed ? &s->result : NULL, on_commit, s);
}

static void begin(struct saver *s, bool is_once)
{
    bool is_wished = wishes_is_waiting(&s->wishes);
    s->phase = PHASE_TAKING;
    s->is_once_at_work = is_once;
    s->is_due = false;
    s->began = clock_boot(s->clock);
    s->what = (struct saver_take){
        .reason = is_once     ? s->once_reason
                  : is_wished ? "request"
                              : "interval",
        .is_alone = is_once,
        .is_interval = !is_once && !is_wished,
        .until = is_once ? s->once_until : deadline_after(s->began, SAVER_TAKE_MS, 0),
    };
    s->err = (struct err){ 0 };
    s->result = (struct checkpoint_result){ 0 };
    if (s->is_ticking && s->interval_ms > 0)
        loop_timer_arm(s->tick, boot_add_ms(s->began, s->interval_ms));
    wishes_begin(&s->wishes);
    loop_work(s->loop, job, on_taken, s);
}

static void begin_if_wanted(struct saver *s)
{
    if (s->is_stopped || s->phase != PHASE_IDLE)
        return;
    if (s->is_once_asked || s->is_due || wishes_is_waiting(&s->wishes))
        begin(s, s->is_once_asked);
}

void saver_start(struct saver *s, int64_t interval_ms)
{
    s->is_ticking = true;
    s->interval_ms = interval_ms;
    if (interval_ms > 0)
        loop_timer_arm(s->tick, boot_add_ms(clock_boot(s->clock), interval_ms));
}

void saver_wish(struct saver *s, struct wish *wish)
{
    assert(!s->is_stopped);
    wishes_add(&s->wishes, wish, clock_boot(s->clock));
    begin_if_wanted(s);
}

bool saver_forget(struct saver *s, struct wish *wish) { return wishes_remove(&s->wishes, wish); }

void saver_once(struct saver *s, const char *reason, struct deadline until)
{
    assert(!s->is_once_asked && !s->is_stopped);
    stop_ticking(s);
    s->is_once_asked = true;
    s->once_reason = reason;
    s->once_until = until;
    end_rest(s);
    begin_if_wanted(s);
}

static void on_stopped_idle(void *arg)
{
    struct saver *s = arg;
    s->events.on_idle(s->events.arg);
}

void saver_stop(struct saver *s, const struct err *why)
{
    if (s->is_stopped)
        return;
    stop_ticking(s);
    s->is_stopped = true;
    s->is_once_asked = false;
    end_rest(s);
    wishes_fail(&s->wishes, why);
    if (s->phase == PHASE_IDLE)
        loop_post(s->loop, on_stopped_idle, s);
}

bool saver_is_busy(const struct saver *s)
{
    return s->phase == PHASE_TAKING || s->phase == PHASE_COMMITTING;
}

bool saver_last_cut(const struct saver *s, struct boot *out)
{
    *out = s->cut;
    return s->has_cut;
}

const char *saver_borrow_head(const struct saver *s, int64_t *out_sequence)
{
    *out_sequence = s->sequence;
    return s->head;
}
