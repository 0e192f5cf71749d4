#include "sidecar/engine/engine.h"

#include "common/base/own.h"
#include "common/log/log.h"
#include "sidecar/engine/backoff.h"
#include "sidecar/engine/claim.h"
#include "sidecar/engine/news.h"
#include "sidecar/engine/state.h"

#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#define LINGER_MS   1000 /* how long a leaving process waits for a store call */
#define RELEASE_MS  200  /* of a stop's time, kept for the release */
#define SEED_TRY_MS 3600000

/* Between tries of what must work before the gate opens. */
static const struct backoff again_after = { 200, 5000 };

struct engine {
    struct loop *loop;
    const struct sidecar_config *config;
    const struct clock *clock;
    struct observe *observe;
    struct engine_events events;
    char node[256];

    enum life_state phase;
    bool has_outcome; /* why it ends; none: all is well */
    struct err outcome;

    struct port *port;
    struct news news;
    struct claim claim;
    struct state *state; /* NULL before the lease is held, and for an agent without state */

    bool is_state_idle;               /* it was stopped and is at rest, or there is none */
    bool is_lease_stopped, is_dirty;  /* leaving */
    bool is_gate_asked, is_stop_held; /* STOP came between GATE_OPEN and AGENT_STARTED */
    unsigned again;                   /* tries in a row */
    struct loop_timer *retry, *linger, *pulse;

    int64_t epoch;
    uint32_t agent_pid;
    bool has_stop_by;
    struct deadline stop_by;
    struct boot opened_at; /* the gate */
};

static void feed(struct engine *e, enum life_event event);

static void set_outcome(struct engine *e, const struct err *why)
{
    if (e->has_outcome)
        return;
    e->has_outcome = true;
    e->outcome = *why;
}

static void fail(struct engine *e, const struct err *why)
{
    set_outcome(e, why);
    news_failed(&e->news, why);
    feed(e, LIFE_ON_FAIL);
}

/* Before the gate: no answer is told and asked for again, everything else ends the start. */
static void not_yet(struct engine *e, enum health_source source, const struct err *err)
{
    struct boot now = clock_boot(e->clock);
    if (err->kind != ERR_UNAVAILABLE && err->kind != ERR_CONFLICT) {
        fail(e, err);
        return;
    }
    news_trouble(&e->news, source, err);
    loop_timer_arm(e->retry, boot_add_ms(now, backoff_ms(again_after, ++e->again, now.ns / 1000)));
}

/* The lease, and the shim as the lease sees it */

static void on_lease_arm(void *arg, uint64_t seq, int64_t epoch, struct deadline deadline)
{
    port_arm(((struct engine *)arg)->port, seq, epoch, deadline);
}

static void on_lease_fence(void *arg, const char *why)
{
    port_fence(((struct engine *)arg)->port, why);
}

static void on_waiting(void *arg, const struct lease_waiting *waiting)
{
    struct engine *e = arg;
    if (!waiting->is_answering) {
        news_trouble(&e->news, HEALTH_STORE, waiting->err);
        return;
    }
    news_clear(&e->news, HEALTH_STORE);
    if (waiting->record != NULL)
        news_standby(&e->news, waiting->record->holder.node, waiting->record->epoch);
}

static void on_held(void *arg, const struct lease_held *held)
{
    struct engine *e = arg;
    news_clear(&e->news, HEALTH_STORE);
    e->epoch = held->epoch;
    e->observe->epoch = held->epoch;
    port_event(e->port, "lease acquired: epoch %lld", (long long)held->epoch);
    feed(e, LIFE_ON_HELD);
}

static void lost(struct engine *e, const struct err *why)
{
    if (e->phase == LIFE_LEASING) { /* it was never ours: nobody is to be fenced */
        fail(e, why);
        return;
    }
    if (e->phase != LIFE_RELEASING && e->phase != LIFE_FAILED) {
        set_outcome(e, why);
        port_fence(e->port, why->msg); /* before anything else */
        news_fenced(&e->news, why);
    }
    feed(e, LIFE_ON_LOST);
}

static void on_lost(void *arg, const struct err *err) { lost(arg, err); }

static void on_pulse(void *arg)
{
    struct engine *e = arg;
    const struct err *why = lease_trouble(e->claim.lease);
    if (why != NULL)
        news_trouble(&e->news, HEALTH_RENEWAL, why);
    else
        news_clear(&e->news, HEALTH_RENEWAL);
    loop_timer_arm(e->pulse, boot_add_ms(clock_boot(e->clock), e->config->lease.ttl_ms / 4));
}

static void check_idle(struct engine *e);

static void start_lease(struct engine *e)
{
    const struct claim_lease spec = {
        .loop = e->loop,
        .clock = e->clock,
        .config = e->config,
        .node = e->node,
        .shim = { on_lease_arm, on_lease_fence, e },
        .events = { on_waiting, on_held, on_lost, e },
    };
    struct err err;
    news_clear(&e->news, HEALTH_STORE);
    e->again = 0;
    if (claim_make_lease(&e->claim, &spec, &err))
        lease_start(e->claim.lease);
    else
        fail(e, &err);
}

static void on_looked(void *arg, const struct err *err)
{
    struct engine *e = arg;
    if (e->phase != LIFE_LEASING)
        check_idle(e);
    else if (err != NULL)
        not_yet(e, HEALTH_STORE, err);
    else
        start_lease(e);
}

static void do_acquire(struct engine *e)
{
    struct err err;
    if (claim_open(&e->claim, e->config, &err))
        claim_look(&e->claim, e->loop, e->config->name, on_looked, e);
    else
        fail(e, &err);
}

/* The state */

static void check_idle(struct engine *e)
{
    if (!e->is_state_idle || e->claim.look.is_busy)
        return;
    if (e->phase == LIFE_ABORTING)
        feed(e, LIFE_ON_IDLE);
    else if ((e->phase == LIFE_LEAVING || e->phase == LIFE_FENCED) && e->is_lease_stopped)
        feed(e, LIFE_ON_STOPPED);
}

static void on_opened(void *arg, enum local_found found, const struct restore_report *report,
                      const struct err *err)
{
    struct engine *e = arg;
    if (err != NULL) {
        not_yet(e, HEALTH_RESTORE, err);
        return;
    }
    news_clear(&e->news, HEALTH_RESTORE);
    news_unsaved(&e->news, state_borrow_unsaved(e->state));
    e->again = 0;
    switch (found) {
    case LOCAL_RESTORED:
        news_restored(&e->news, report);
        feed(e, LIFE_ON_RESTORED);
        break;
    case LOCAL_FRESH:
        port_event(e->port, "first start: no checkpoint yet");
        feed(e, LIFE_ON_FRESH);
        break;
    case LOCAL_FILLED:
        port_event(e->port, "first start: saving %s before the gate opens", e->config->state.path);
        feed(e, LIFE_ON_UNSEEDED);
        break;
    }
}

static void on_committed(void *arg, const struct checkpoint_result *result, bool is_once)
{
    struct engine *e = arg;
    news_committed(&e->news, result, is_once && e->phase == LIFE_SAVING, clock_boot(e->clock));
}

static void on_health(void *arg, enum health_source source, const struct err *err)
{
    struct engine *e = arg;
    if (err != NULL)
        news_trouble(&e->news, source, err);
    else
        news_clear(&e->news, source);
}

static void saved(struct engine *e, bool is_changed)
{
    int64_t sequence;
    const char *id = saver_borrow_head(state_borrow_saver(e->state), &sequence);
    if (!is_changed && id[0] != '\0')
        port_event(e->port, "final checkpoint %s is unchanged: sequence %lld", id,
                   (long long)sequence);
    feed(e, LIFE_ON_SAVED);
}

static void on_once(void *arg, const struct checkpoint_result *result, const struct err *err)
{
    struct engine *e = arg;
    if (err != NULL) {
        struct err why = *err;
        err_wrap(&why, e->phase == LIFE_SEEDING ? "save initial state" : "save final state");
        fail(e, &why);
    } else if (e->phase == LIFE_SEEDING) {
        feed(e, LIFE_ON_SEEDED);
    } else {
        saved(e, result->is_changed);
    }
}

static void on_state_idle(void *arg)
{
    struct engine *e = arg;
    e->is_state_idle = true;
    check_idle(e);
}

static bool make_state(struct engine *e, struct err *err)
{
    const struct state_spec spec = {
        .loop = e->loop,
        .clock = e->clock,
        .observe = e->observe,
        .config = e->config,
        .packs = e->claim.packs,
        .watched = e->claim.watched,
        .lease = e->claim.lease,
        .port = e->port,
        .config_digest = e->claim.config_digest,
    };
    const struct state_events events = { on_opened, on_committed,  on_health,
                                         on_once,   on_state_idle, e };
    return state_new(&spec, &events, &e->state, err);
}

static void do_restore(struct engine *e)
{
    struct err err;
    loop_timer_arm(e->pulse, clock_boot(e->clock));
    if (!e->config->state.is_present) {
        feed(e, LIFE_ON_FRESH);
        return;
    }
    if (!make_state(e, &err)) {
        fail(e, &err);
        return;
    }
    e->is_state_idle = false;
    const struct record *record = lease_borrow_record(e->claim.lease);
    if (record->has_head)
        port_event(e->port, "restoring checkpoint %s (sequence %lld)", record->head.id,
                   (long long)record->head.sequence);
    state_open(e->state);
}

static void do_seed(struct engine *e)
{
    saver_once(state_borrow_saver(e->state), "seed",
               deadline_after(clock_boot(e->clock), SEED_TRY_MS, 0));
}

/* The gate, the run, the end */

static void do_open(struct engine *e)
{
    struct err err = { 0 };
    if (e->events.on_gate(e->events.arg, &err)) {
        news_clear(&e->news, HEALTH_GATE);
        e->is_gate_asked = true;
        port_gate(e->port, e->epoch, e->state != NULL ? state_borrow_head(e->state) : "");
        return;
    }
    not_yet(e, HEALTH_GATE, &err);
}

static void on_retry(void *arg)
{
    struct engine *e = arg;
    if (e->phase == LIFE_LEASING)
        claim_look(&e->claim, e->loop, e->config->name, on_looked, e);
    else if (e->phase == LIFE_RESTORING)
        state_open(e->state);
    else if (e->phase == LIFE_OPENING)
        do_open(e);
}

static void do_run(struct engine *e)
{
    if (e->state != NULL)
        state_run(e->state);
    if (e->is_stop_held)
        feed(e, LIFE_ON_STOP);
}

static void do_save(struct engine *e)
{
    if (e->state == NULL) {
        feed(e, LIFE_ON_SAVED);
        return;
    }
    if (!e->has_stop_by)
        e->stop_by = deadline_after(clock_boot(e->clock), e->config->stop.reserve_ms, 0);
    state_save_last(e->state, (struct deadline){ boot_add_ms(e->stop_by.at, -RELEASE_MS) });
}

static void stop_state(struct engine *e)
{
    struct err why = e->outcome;
    if (!e->has_outcome)
        (void)err_set(&why, ERR_CONFLICT, "the agent is being stopped");
    loop_timer_cancel(e->retry);
    if (e->state != NULL)
        state_stop(e->state, &why);
}

static void do_abort(struct engine *e)
{
    stop_state(e);
    check_idle(e);
}

static void on_released(void *arg, const struct err *err)
{
    struct engine *e = arg;
    news_released(&e->news, e->epoch, err);
    if (e->phase == LIFE_RELEASING || e->phase == LIFE_FAILED)
        feed(e, LIFE_ON_RELEASED);
}

static void do_release(struct engine *e)
{
    loop_timer_cancel(e->retry);
    lease_release(e->claim.lease, on_released, e);
}

static void on_lease_stopped(void *arg)
{
    struct engine *e = arg;
    e->is_lease_stopped = true;
    check_idle(e);
}

static void on_linger(void *arg)
{
    struct engine *e = arg;
    e->is_dirty = true;
    feed(e, LIFE_ON_STOPPED);
}

static void do_leave(struct engine *e)
{
    stop_state(e);
    loop_timer_cancel(e->pulse);
    loop_timer_arm(e->linger, boot_add_ms(clock_boot(e->clock), LINGER_MS));
    if (e->claim.lease != NULL) {
        lease_stop(e->claim.lease, on_lease_stopped, e);
        return;
    }
    e->is_lease_stopped = true;
    check_idle(e);
}

static void on_finished(void *arg)
{
    struct engine *e = arg;
    e->events.on_end(e->events.arg, e->has_outcome ? &e->outcome : NULL, e->is_dirty);
}

static void do_finish(struct engine *e)
{
    loop_timer_cancel(e->linger);
    port_done(e->port, e->has_outcome ? &e->outcome : NULL);
    loop_post(e->loop, on_finished, e);
}

static void do_nothing(struct engine *e) { (void)e; }

typedef void action_fn(struct engine *e);
static action_fn *const actions[LIFE_ACTION_COUNT] = {
    [LIFE_DO_BUG] = NULL,           [LIFE_DO_NONE] = do_nothing, [LIFE_DO_ACQUIRE] = do_acquire,
    [LIFE_DO_RESTORE] = do_restore, [LIFE_DO_SEED] = do_seed,    [LIFE_DO_OPEN] = do_open,
    [LIFE_DO_RUN] = do_run,         [LIFE_DO_SAVE] = do_save,    [LIFE_DO_ABORT] = do_abort,
    [LIFE_DO_RELEASE] = do_release, [LIFE_DO_FENCE] = do_leave,  [LIFE_DO_LEAVE] = do_leave,
    [LIFE_DO_FINISH] = do_finish,
};

/* FENCE has been sent by who fed LOST: before anything else. Actions feed only as their last act,
 * so that the phase they see is their own. */
static void feed(struct engine *e, enum life_event event)
{
    struct life_step step = life_step(e->phase, event);
    assert(step.action != LIFE_DO_BUG);
    if (step.next != e->phase)
        LOG(LOG_DEBUG, "phase changed", F(phase, life_state_name(step.next)),
            F(event, life_event_name(event)));
    e->phase = step.next;
    actions[step.action](e);
}

/* The shim */

static void on_hello(void *arg, const char *api_path)
{
    struct engine *e = arg;
    if (e->phase == LIFE_STARTING)
        e->events.on_hello(e->events.arg, api_path);
    feed(e, LIFE_ON_HELLO);
}

static void on_arm_ack(void *arg, uint64_t seq, bool is_accepted)
{
    struct engine *e = arg;
    if (e->claim.lease != NULL && !e->is_lease_stopped)
        lease_on_arm_ack(e->claim.lease, seq, is_accepted);
}

static void on_gate_ack(void *arg, bool is_open)
{
    struct engine *e = arg;
    e->is_gate_asked = false;
    if (e->phase != LIFE_OPENING)
        return;
    if (is_open) {
        e->opened_at = clock_boot(e->clock);
        port_event(e->port, "gate open: epoch %lld", (long long)e->epoch);
        return;
    }
    struct err err;
    (void)err_set(&err, ERR_FENCED, "the shim refused to open the gate: too late");
    if (e->is_stop_held)
        feed(e, LIFE_ON_STOP);
    else
        lost(e, &err);
}

static void on_frozen(void *arg, uint32_t seq, bool is_frozen)
{
    struct engine *e = arg;
    if (!is_frozen)
        e->observe->freeze_failed++;
    if (e->state != NULL)
        state_on_frozen(e->state, seq, is_frozen);
}

static void on_started(void *arg, uint32_t pid)
{
    struct engine *e = arg;
    e->agent_pid = pid;
    feed(e, LIFE_ON_RUNS);
}

static void on_exited(void *arg, int32_t exit_code, int32_t signal)
{
    struct engine *e = arg;
    LOG(LOG_INFO, "agent exited", F(exit_code, exit_code), F(signal, signal));
    e->agent_pid = 0;
    feed(e, LIFE_ON_EXITED);
}

static void on_stopping(void *arg, uint32_t left_ms)
{
    struct engine *e = arg;
    e->has_stop_by = true;
    e->stop_by = deadline_after(clock_boot(e->clock), left_ms, 0);
    if (e->phase == LIFE_OPENING && (e->is_gate_asked || e->opened_at.ns != 0)) {
        e->is_stop_held = true; /* what comes next says whether there is an agent to wait for */
        return;
    }
    feed(e, LIFE_ON_STOP);
}

static void on_gone(void *arg, const struct err *why)
{
    struct engine *e = arg;
    struct err gone = *why;
    if (e->phase != LIFE_ENDED && e->phase != LIFE_RELEASING && e->phase != LIFE_FAILED) {
        err_wrap(&gone, "the shim is gone");
        set_outcome(e, &gone);
    }
    feed(e, LIFE_ON_SHIM_GONE);
}

struct engine *engine_new(struct loop *loop, struct engine_spec spec,
                          const struct engine_events *events)
{
    assert(spec.config->lease.is_present);
    struct engine *e = mem_new(struct engine);
    e->loop = loop;
    e->config = spec.config;
    e->clock = spec.clock;
    e->observe = spec.observe;
    e->events = *events;
    e->is_state_idle = true; /* there is none yet */
    (void)snprintf(e->node, sizeof e->node, "%s", spec.config->node);
    if (e->node[0] == '\0' && gethostname(e->node, sizeof e->node - 1) != 0)
        (void)snprintf(e->node, sizeof e->node, "unknown");
    e->retry = loop_timer_new(loop, on_retry, e);
    e->linger = loop_timer_new(loop, on_linger, e);
    e->pulse = loop_timer_new(loop, on_pulse, e);
    const struct port_events shim = { on_hello,  on_arm_ack,  on_gate_ack, on_frozen, on_started,
                                      on_exited, on_stopping, on_gone,     e };
    e->port = port_new(loop, spec.channel, &shim);
    e->news = (struct news){ .port = e->port, .observe = e->observe };
    return e;
}

void engine_free(struct engine *e)
{
    if (e == NULL)
        return;
    state_free(e->state);
    claim_close(&e->claim);
    port_free(e->port);
    loop_timer_freep(&e->retry);
    loop_timer_freep(&e->linger);
    loop_timer_freep(&e->pulse);
    free(e);
}

bool engine_wish(struct engine *e, struct wish *wish, struct err *err)
{
    if (!e->config->state.is_present)
        return err_set(err, ERR_INVALID, "agent \"%s\": has no state", e->config->name);
    if (!life_is_serving(e->phase))
        return err_set(err, ERR_CONFLICT, "agent \"%s\": is %s", e->config->name,
                       life_state_name(e->phase));
    saver_wish(state_borrow_saver(e->state), wish);
    return true;
}

void engine_forget(struct engine *e, struct wish *wish)
{
    if (e->state != NULL)
        (void)saver_forget(state_borrow_saver(e->state), wish);
}

void engine_status(const struct engine *e, struct engine_status *out)
{
    const struct status_parts parts = {
        .config = e->config,
        .node = e->node,
        .phase = e->phase,
        .lease = e->claim.lease,
        .state = e->state,
        .news = &e->news,
        .agent_pid = e->agent_pid,
        .now = clock_boot(e->clock),
        .opened_at = e->opened_at,
    };
    status_fill(&parts, out);
}
