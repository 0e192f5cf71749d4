/* Whole histories of several processes over one register, in virtual time: requests and replies are
 * lost, late and doubled, processes pause, crash, stop and restart, the store goes away, clocks run
 * at different rates. The shim of each process is played as well, as strictly as the real one and
 * no stricter: it kills at its deadline. Each seed is one history; a failure names it. Invariants:
 * DESIGN.md, I1, I2, I4, I7, I8. SIM_SEEDS=n and SIM_FIRST=n in the environment. */
#include "sidecar/lease/machine.h"

#include "common/base/own.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#define PROCS_MAX  4
#define EVENTS_MAX 1024
#define SEEDS      800
#define TTL_MS     1000
#define MARGIN_MS  200
#define ROUGH_MS   12000 /* with faults */
#define CALM_MS    8000  /* without: somebody must hold at the end */
#define DRIFT_PPM  5000  /* each clock against true time: together the 1% that is allowed for */

enum what { REQUEST, REPLY, TIMER, ACK, WISH, RESTART, RESUME };
struct event {
    int64_t at_ns; /* true time */
    enum what what;
    int proc;
    uint64_t life; /* of the process that it is for */
    bool is_reply_lost;
    struct machine_action action;
    struct record record; /* request: to be written; reply: that was read */
    struct err err;       /* reply: kind NONE is success */
    struct store_version version;
};

struct shim { /* what keeps the agent within its time */
    bool is_running;
    int64_t epoch;
    struct deadline deadline;
};

struct proc {
    struct machine m;
    bool is_alive, is_paused, is_deaf; /* is_deaf: its shim does not acknowledge */
    uint64_t life;
    int64_t rate_ppm, offset_ns;
    struct shim shim,
        orphan; /* orphan: of a life that was killed, its agent runs to the deadline */
    int64_t next_sequence;
    uint64_t last_ticket;
    int64_t ticket_sequence[64];
};

struct world {
    uint64_t seed, random;
    int64_t now_ns;
    bool is_calm, is_down;
    int proc_count;
    struct proc procs[PROCS_MAX];
    struct event events[EVENTS_MAX];
    size_t event_count;
    /* the register */
    bool has_record;
    struct record record;
    uint64_t version;
    /* what was promised */
    int64_t durable_sequence, top_epoch;
    unsigned holds, losses, commits, releases;
};

#define HOLDS(w, condition, text, ...)                                         \
    cr_assert(condition, "seed %" PRIu64 ", %" PRId64 " ms: " text, (w)->seed, \
              (w)->now_ns / NS_PER_MS __VA_OPT__(, ) __VA_ARGS__)

static uint64_t draw(struct world *w)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}
static int64_t below(struct world *w, int64_t bound)
{
    return (int64_t)(draw(w) % (uint64_t)bound);
}
static bool chance(struct world *w, int percent) { return !w->is_calm && below(w, 100) < percent; }

static struct boot clock_of(const struct world *w, const struct proc *p)
{
    int64_t drift_ns = w->now_ns / 1000000 * p->rate_ppm;
    return (struct boot){ p->offset_ns + w->now_ns + drift_ns };
}

static struct event *post(struct world *w, int proc, enum what what, int64_t delay_ns)
{
    cr_assert_lt(w->event_count, EVENTS_MAX);
    struct event *e = &w->events[w->event_count++];
    *e = (struct event){
        .at_ns = w->now_ns + delay_ns, .what = what, .proc = proc, .life = w->procs[proc].life
    };
    return e;
}

static int64_t network_ns(struct world *w)
{
    int64_t fast_ns = NS_PER_MS / 5 + below(w, 3 * NS_PER_MS);
    return chance(w, 5) ? fast_ns + below(w, 1500) * NS_PER_MS : fast_ns; /* sometimes very late */
}

/* --- the register ----------------------------------------------------------------------------- */

/* Everything that a write may do to the history is checked here, at the instant it takes effect. */
static void check_write(struct world *w, const struct record *next)
{
    const struct record *last = &w->record;
    if (!w->has_record) {
        HOLDS(w, next->epoch == 1, "first epoch %" PRId64, next->epoch);
        return;
    }
    bool is_same = record_is_held_by(next, last->holder.instance);
    HOLDS(w, is_same || next->epoch == last->epoch + 1, "epoch %" PRId64 " after %" PRId64,
          next->epoch, last->epoch);
    HOLDS(w, next->epoch >= last->epoch, "epoch went back");
    if (is_same && next->epoch == last->epoch) {
        HOLDS(w, !last->released, "written after the release");
        HOLDS(w, next->renewals == last->renewals + 1, "renewal left out");
    }
    HOLDS(w, next->has_head || !last->has_head, "head lost");
    if (next->has_head && last->has_head) {
        HOLDS(w, next->head.sequence >= last->head.sequence, "head went back");
        HOLDS(w,
              next->head.sequence != last->head.sequence ||
                  strcmp(next->head.id, last->head.id) == 0,
              "two commits on one parent");
    }
    if (next->has_head && (!last->has_head || next->head.sequence != last->head.sequence))
        HOLDS(w, next->head.epoch == next->epoch && is_same, "commit by someone else");
}

static void version_text(const struct world *w, struct store_version *out)
{
    *out = (struct store_version){ 0 };
    (void)snprintf(out->text, sizeof(out->text), "%" PRIu64, w->version);
}

static void serve_write(struct world *w, const struct event *request, struct event *reply)
{
    struct store_version now;
    version_text(w, &now);
    bool fits = request->action.is_create
                    ? !w->has_record
                    : w->has_record && store_version_is_equal(&request->action.version, &now);
    if (!fits) {
        (void)err_set(&reply->err, ERR_CONFLICT, "another version");
        return;
    }
    check_write(w, &request->record);
    w->has_record = true;
    w->record = request->record;
    w->version++;
    if (w->record.epoch > w->top_epoch)
        w->top_epoch = w->record.epoch;
    version_text(w, &reply->version);
}

static void serve_read(const struct world *w, struct event *reply)
{
    if (!w->has_record) {
        (void)err_set(&reply->err, ERR_NOT_FOUND, "absent");
        return;
    }
    reply->record = w->record;
    version_text(w, &reply->version);
}

static void serve(struct world *w, const struct event *request)
{
    struct event reply = *request;
    reply.what = REPLY;
    reply.err = (struct err){ 0 };
    if (w->is_down || request->is_reply_lost) {
        /* fate: applied or not, the sender is not told */
        if (!w->is_down && request->action.what == ACT_WRITE)
            serve_write(w, request, &reply);
        return;
    }
    if (request->action.what == ACT_WRITE)
        serve_write(w, request, &reply);
    else
        serve_read(w, &reply);
    struct event *e = post(w, request->proc, REPLY, network_ns(w));
    int64_t at_ns = e->at_ns;
    *e = reply;
    e->at_ns = at_ns;
}

/* --- processes -------------------------------------------------------------------------------- */

static int64_t delay_to(const struct world *w, const struct proc *p, struct boot at)
{
    int64_t left_ns = at.ns - clock_of(w, p).ns;
    return left_ns > 0 ? left_ns + left_ns / 100 + 1000 : 1000; /* never early by a slow clock */
}

/* The request leaves; the call ends at its deadline with no answer if none comes before. */
static void call_store(struct world *w, int proc, const struct machine_action *a)
{
    struct proc *p = &w->procs[proc];
    int64_t wait_ns = a->has_seen ? delay_to(w, p, a->watch.at) / 2 : 0;
    struct event *timeout = post(w, proc, REPLY, delay_to(w, p, a->until.at));
    timeout->action = *a;
    (void)err_set(&timeout->err, ERR_UNAVAILABLE, "no answer");
    if (chance(w, 8))
        return; /* lost on the way there */
    int copies = chance(w, 5) ? 2 : 1;
    for (int i = 0; i < copies; i++) {
        struct event *request = post(w, proc, REQUEST, wait_ns + network_ns(w));
        request->action = *a;
        request->is_reply_lost = i > 0 || chance(w, 8);
        if (a->what == ACT_WRITE)
            request->record = p->m.write.record;
        if (i > 0)
            request->at_ns += below(w, 4000) * NS_PER_MS; /* a duplicate from the past */
    }
}

/* The successor's agent starts: every other agent must have been stopped by its own shim. */
static void check_overlap(struct world *w, int starting)
{
    for (int i = 0; i < w->proc_count; i++) {
        const struct proc *p = &w->procs[i];
        HOLDS(w, !p->orphan.is_running || deadline_is_past(p->orphan.deadline, clock_of(w, p)),
              "%d starts, but an orphan of %d still runs", starting, i);
        HOLDS(w,
              i == starting || !p->shim.is_running ||
                  deadline_is_past(p->shim.deadline, clock_of(w, p)),
              "%d starts epoch %" PRId64 ", but %d still runs epoch %" PRId64, starting,
              w->procs[starting].m.own.epoch, i, p->shim.epoch);
    }
}

static void held(struct world *w, int proc)
{
    struct proc *p = &w->procs[proc];
    check_overlap(w, proc);
    HOLDS(w, p->m.own.epoch <= w->top_epoch, "holds an epoch that was never written");
    p->shim.is_running = true;
    p->next_sequence = p->m.own.head.sequence + 1;
    w->holds++;
    post(w, proc, WISH, below(w, 400) * NS_PER_MS);
}

/* A promise to the agent: from now on this head may not be lost by anyone. */
static void committed(struct world *w, struct proc *p, uint64_t ticket)
{
    int64_t sequence = p->ticket_sequence[ticket % COUNT(p->ticket_sequence)];
    HOLDS(w, w->record.head.sequence >= sequence, "acknowledged head %" PRId64 " is not there",
          sequence);
    if (sequence > w->durable_sequence)
        w->durable_sequence = sequence;
    w->commits++;
}

/* The process is over; its agent ends with its shim's deadline at the latest, or now. */
static void end_life(struct world *w, int proc, bool kills_agent)
{
    struct proc *p = &w->procs[proc];
    p->is_alive = false;
    p->life++;
    if (!kills_agent && p->shim.is_running)
        p->orphan = p->shim;
    p->shim.is_running = false;
    post(w, proc, RESTART, (200 + below(w, 2500)) * NS_PER_MS);
}

static void arm(struct world *w, int proc, const struct machine_action *a)
{
    struct proc *p = &w->procs[proc];
    HOLDS(w, a->epoch >= p->shim.epoch, "armed with a lower epoch");
    if (p->is_deaf)
        return;
    /* As the real shim: too late is too late. A shim belongs to one life. */
    bool is_fresh = p->shim.epoch != a->epoch;
    bool accepted = is_fresh || !deadline_is_past(p->shim.deadline, clock_of(w, p));
    if (accepted) {
        p->shim.epoch = a->epoch;
        p->shim.deadline = a->until;
    }
    /* A shim that is stopped for a while answers late, though it has accepted. */
    int64_t pause_ms = chance(w, 3) ? below(w, 1500) : 0;
    struct event *e = post(w, proc, ACK, 50000 + below(w, 300000) + pause_ms * NS_PER_MS);
    e->action = *a;
    e->is_reply_lost = !accepted;
}

static void carry_out(struct world *w, int proc, const struct machine_todo *todo)
{
    struct proc *p = &w->procs[proc];
    uint64_t life = p->life;
    for (size_t i = 0; i < todo->count && p->life == life; i++) {
        const struct machine_action *a = &todo->list[i];
        switch (a->what) {
        case ACT_READ:
        case ACT_WRITE:
            call_store(w, proc, a);
            break;
        case ACT_ARM:
            arm(w, proc, a);
            break;
        case ACT_FENCE:
            p->shim.is_running = false;
            break;
        case ACT_HELD:
            held(w, proc);
            break;
        case ACT_DONE:
            committed(w, p, a->ticket);
            break;
        case ACT_LOST:
            w->losses++;
            end_life(w, proc, true);
            break;
        case ACT_RELEASED:
            w->releases++;
            if (!p->m.wants_stop)
                end_life(w, proc, true);
            break;
        case ACT_STOPPED:
            end_life(w, proc, true);
            break;
        case ACT_WAITING:
            break;
        }
    }
    struct boot at;
    if (p->is_alive && p->life == life && machine_wake(&p->m, &at))
        post(w, proc, TIMER, delay_to(w, p, at));
}

static void start(struct world *w, int proc)
{
    struct proc *p = &w->procs[proc];
    struct machine_todo todo = { .count = 0 };
    struct machine_spec spec = { .name = "sim", .ttl_ms = TTL_MS, .margin_ms = MARGIN_MS };
    memcpy(spec.who.instance, &(uint64_t){ draw(w) }, 8);
    spec.who.instance[8] = (uint8_t)proc;
    p->is_alive = true;
    p->is_deaf = chance(w, 3);
    p->shim = (struct shim){ 0 };
    p->last_ticket = 0;
    machine_init(&p->m, &spec);
    machine_start(&p->m, clock_of(w, p), &todo);
    carry_out(w, proc, &todo);
}

/* What an owner may ask for: commits mostly, sometimes a release, a stop, a crash. */
static void wish(struct world *w, int proc)
{
    struct proc *p = &w->procs[proc];
    struct machine_todo todo = { .count = 0 };
    int64_t dice = below(w, 100);
    if (dice < 4 && !w->is_calm) {
        p->shim.is_running = false; /* the agent has ended */
        (void)machine_release(&p->m, clock_of(w, p), &todo);
    } else if (dice < 6 && !w->is_calm) {
        machine_stop(&p->m, clock_of(w, p), &todo);
    } else if (dice < 8 && !w->is_calm) {
        end_life(w, proc, false); /* killed: its agent lives on until the shim's deadline */
        return;
    } else if (p->m.state == MACHINE_HELD) {
        struct record_head head = { .sequence = p->next_sequence++, .epoch = p->m.own.epoch };
        (void)snprintf(head.id, sizeof(head.id), "%d-%" PRIu64 "-%" PRId64, proc, p->life,
                       head.sequence);
        uint64_t ticket = machine_commit(&p->m, clock_of(w, p), &head, &todo);
        p->ticket_sequence[ticket % COUNT(p->ticket_sequence)] = head.sequence;
    }
    post(w, proc, WISH, (20 + below(w, 500)) * NS_PER_MS);
    carry_out(w, proc, &todo);
}

static void answer(struct world *w, const struct event *e)
{
    struct proc *p = &w->procs[e->proc];
    struct machine_todo todo = { .count = 0 };
    const struct err *err = e->err.kind == ERR_NONE ? NULL : &e->err;
    struct boot now = clock_of(w, p);
    if (e->action.what == ACT_READ)
        machine_on_read(&p->m, now, e->action.call, err, &e->record, &e->version, &todo);
    else
        machine_on_write(&p->m, now, e->action.call, err, &e->version, &todo);
    carry_out(w, e->proc, &todo);
}

static void deliver(struct world *w, const struct event *e)
{
    struct proc *p = &w->procs[e->proc];
    struct machine_todo todo = { .count = 0 };
    switch (e->what) {
    case REQUEST:
        serve(w, e);
        break;
    case REPLY:
        answer(w, e);
        break;
    case TIMER:
        machine_on_timer(&p->m, clock_of(w, p), &todo);
        carry_out(w, e->proc, &todo);
        break;
    case ACK:
        machine_on_ack(&p->m, clock_of(w, p), e->action.seq, !e->is_reply_lost, &todo);
        carry_out(w, e->proc, &todo);
        break;
    case WISH:
        wish(w, e->proc);
        break;
    case RESTART:
        start(w, e->proc);
        break;
    case RESUME:
        p->is_paused = false;
        break;
    }
}

static struct event pop(struct world *w)
{
    size_t first = 0;
    for (size_t i = 1; i < w->event_count; i++)
        if (w->events[i].at_ns < w->events[first].at_ns)
            first = i;
    struct event e = w->events[first];
    w->events[first] = w->events[--w->event_count];
    return e;
}

/* One event. What is for a process that sleeps waits until it wakes; requests on their way do not.
 */
static void turn(struct world *w)
{
    struct event e = pop(w);
    struct proc *p = &w->procs[e.proc];
    w->now_ns = e.at_ns;
    if (chance(w, 1) && below(w, 4) == 0)
        w->is_down = !w->is_down;
    w->is_down = w->is_down && !w->is_calm;
    if (e.what != REQUEST && e.what != RESTART && e.life != p->life)
        return;
    if (p->is_paused && e.what != REQUEST && e.what != RESUME) {
        struct event *later = post(w, e.proc, e.what, 0);
        e.at_ns += 5 * NS_PER_MS;
        *later = e;
        return;
    }
    if (e.what != REQUEST && e.what != RESUME && below(w, 400) == 0 && !w->is_calm) {
        p->is_paused = true;
        post(w, e.proc, RESUME, below(w, 3000) * NS_PER_MS);
        struct event *later = post(w, e.proc, e.what, 0);
        *later = e;
        return;
    }
    deliver(w, &e);
    HOLDS(w, w->record.head.sequence >= w->durable_sequence, "an acknowledged head was lost");
}

static void setup(struct world *w, uint64_t seed)
{
    *w = (struct world){ .seed = seed, .random = seed * 0x9e3779b97f4a7c15U + 1 };
    for (int i = 0; i < 8; i++)
        (void)draw(w);
    w->proc_count = 2 + (int)below(w, PROCS_MAX - 1);
    for (int i = 0; i < w->proc_count; i++) {
        w->procs[i].rate_ppm = below(w, 2 * DRIFT_PPM + 1) - DRIFT_PPM;
        w->procs[i].offset_ns = below(w, 1000000) * NS_PER_MS;
        post(w, i, RESTART, below(w, 300) * NS_PER_MS);
    }
}

static void run_history(struct world *w, uint64_t seed)
{
    setup(w, seed);
    while (w->now_ns < ROUGH_MS * NS_PER_MS)
        turn(w);
    w->is_calm = true;
    w->is_down = false;
    for (int i = 0; i < w->proc_count; i++)
        w->procs[i].is_deaf = false;
    while (w->now_ns < (ROUGH_MS + CALM_MS) * NS_PER_MS)
        turn(w);
    int holders = 0;
    for (int i = 0; i < w->proc_count; i++)
        holders += w->procs[i].is_alive && w->procs[i].m.state == MACHINE_HELD;
    HOLDS(w, holders == 1, "%d holders after a calm time", holders);
}

static uint64_t number_from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

Test(sim, histories_keep_every_invariant, .timeout = 100)
{
    struct world *w = mem_new(struct world);
    uint64_t first = number_from_environment("SIM_FIRST", 1);
    uint64_t seeds = number_from_environment("SIM_SEEDS", SEEDS);
    uint64_t holds = 0, losses = 0, commits = 0, releases = 0;
    for (uint64_t seed = first; seed < first + seeds; seed++) {
        run_history(w, seed);
        holds += w->holds;
        losses += w->losses;
        commits += w->commits;
        releases += w->releases;
    }
    /* The faults must bite, or the test proves nothing. */
    cr_log_info("%" PRIu64 " held, %" PRIu64 " lost, %" PRIu64 " commits, %" PRIu64 " releases",
                holds, losses, commits, releases);
    cr_assert(holds > 3 * seeds && losses > seeds && releases > seeds / 4 && commits > 10 * seeds,
              "%" PRIu64 " held, %" PRIu64 " lost, %" PRIu64 " commits, %" PRIu64 " releases",
              holds, losses, commits, releases);
    free(w);
}
