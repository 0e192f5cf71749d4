#include "sidecar/lease/lease.h"

#include "common/base/own.h"
#include "sidecar/lease/machine.h"
#include "sidecar/lease/record_keys.h"

#include <assert.h>
#include <stdio.h>

#define LEASE_MAGIC    0x4c454153U /* "LEAS" */
#define MARGIN_DIVISOR 5
#define OBJ_CHECK(l)   assert((l) != NULL && (l)->magic == LEASE_MAGIC)

/* Something to tell, in order, from a turn of its own: never inside a call into this module. */
enum note_kind { NOTE_WAITING, NOTE_HELD, NOTE_LOST, NOTE_DONE, NOTE_STOPPED };
struct note {
    struct note *next;
    enum note_kind kind;
    lease_done_fn *done; /* NOTE_DONE */
    void *arg;
    bool has_err;
    struct err err;
};
struct waiter { /* a commit that is not done */
    struct waiter *next;
    uint64_t ticket;
    lease_done_fn *done;
    void *arg;
};
struct lease {
    unsigned magic;
    struct loop *loop;
    struct store *store; /* used by the job under way alone */
    const struct clock *clock;
    struct lease_shim shim;
    struct lease_events events;
    char name[STORE_NAME_MAX + 1];
    char config_digest[sizeof(((struct record *)0)->config_digest)];
    char artifact_digest[sizeof(((struct record *)0)->artifact_digest)];
    const struct keyring *keyring;
    struct record_keys keys;      /* of the record that was read or written last */
    struct agent_keys *held_keys; /* of the record that is held; stays until the end */
    struct machine machine;
    struct loop_timer *wake, *later;
    bool is_working, is_stopped, is_over; /* a job is out; STOPPED decided; on_stopped was called */
    struct note *notes, **notes_end;
    struct waiter *waiters, **waiters_end;
    lease_done_fn *on_released;
    void *released_arg;
    loop_fn *on_stopped;
    void *stopped_arg;
    int64_t held_epoch;
};

/* One store call, on a worker. */
struct job {
    struct lease *lease;
    struct store *store;
    const char *name;
    struct machine_action action;
    struct buf bytes; /* WRITE: what is written; READ: what was read */
    struct store_version version;
    bool good;
    struct err err;
};

static void run(struct lease *l, const struct machine_todo *todo);

static struct boot now_of(const struct lease *l) { return clock_boot(l->clock); }

static void note_add(struct lease *l, struct note note)
{
    struct note *copy = mem_new(struct note);
    *copy = note;
    copy->next = NULL;
    *l->notes_end = copy;
    l->notes_end = &copy->next;
    loop_timer_arm(l->later, (struct boot){ 0 });
}

static void note_done(struct lease *l, lease_done_fn *done, void *arg, const struct err *err)
{
    struct note note = { .kind = NOTE_DONE, .done = done, .arg = arg, .has_err = err != NULL };
    if (err != NULL)
        note.err = *err;
    note_add(l, note);
}

/* Commits up to `ticket` are over. */
static void finish_commits(struct lease *l, uint64_t ticket, const struct err *err)
{
    while (l->waiters != NULL && l->waiters->ticket <= ticket) {
        struct waiter *first = l->waiters;
        l->waiters = first->next;
        if (l->waiters == NULL)
            l->waiters_end = &l->waiters;
        note_done(l, first->done, first->arg, err);
        free(first);
    }
}

static void finish_release(struct lease *l, const struct err *err)
{
    if (l->on_released != NULL)
        note_done(l, l->on_released, l->released_arg, err);
    l->on_released = NULL;
}

static void tell_lost(struct lease *l)
{
    const struct err *why = &l->machine.why;
    bool was_releasing = l->on_released != NULL;
    finish_commits(l, UINT64_MAX, why);
    finish_release(l, why);
    if (!was_releasing && l->on_stopped == NULL) /* who let go is not told of a loss */
        note_add(l, (struct note){ .kind = NOTE_LOST, .err = *why });
}

static void tell_stopped(struct lease *l)
{
    struct err why = { 0 };
    (void)err_set(&why, ERR_UNAVAILABLE, "lease \"%.80s\": stopped", l->name);
    finish_commits(l, UINT64_MAX, &why);
    finish_release(l, &why);
    l->is_stopped = true;
    if (!l->is_working)
        note_add(l, (struct note){ .kind = NOTE_STOPPED });
}

/* The keys are unwrapped once more, so that a record read later cannot pull them from under the
 * checkpoints. The record has just been verified with the same bytes. */
static void tell_held(struct lease *l)
{
    const struct record *r = &l->machine.own;
    struct err err = { 0 };
    struct view wrapped = view_of(r->wrapped_key, sizeof(r->wrapped_key));
    bool good = keyring_unwrap(l->keyring, l->name, wrapped, &l->held_keys, &err);
    assert(good);
    l->held_epoch = r->epoch;
    note_add(l, (struct note){ .kind = NOTE_HELD });
}

/* --- store calls --------------------------------------------------------------------------- */

static void job_read(struct job *job)
{
    const struct machine_action *a = &job->action;
    struct err ignored;
    /* A watch that fails is no news: the read that follows tells. */
    if (a->has_seen && store_has(job->store, STORE_WATCH))
        (void)!store_watch(job->store, job->name, &a->version, a->watch, &ignored);
    job->good = store_read(job->store, job->name, a->until, &job->bytes, &job->version, &job->err);
}

static void job_write(struct job *job)
{
    const struct machine_action *a = &job->action;
    struct view bytes = buf_view(&job->bytes);
    if (bytes.len == 0)
        return; /* it could not be encoded: `err` says why */
    job->good = a->is_create
                    ? store_create(job->store, job->name, bytes, a->until, &job->version, &job->err)
                    : store_replace(job->store, job->name, &a->version, bytes, a->until,
                                    &job->version, &job->err);
}

static void job_run(void *arg)
{
    struct job *job = arg;
    if (job->action.what == ACT_READ)
        job_read(job);
    else
        job_write(job);
}

static void read_done(struct lease *l, struct job *job, struct machine_todo *todo)
{
    struct record record;
    struct record_auth auth = record_keys_auth(&l->keys);
    if (job->good)
        job->good = record_decode(buf_view(&job->bytes), l->name, &auth, &record, &job->err);
    machine_on_read(&l->machine, now_of(l), job->action.call, job->good ? NULL : &job->err, &record,
                    &job->version, todo);
}

static void job_done(void *arg)
{
    struct job *job = arg;
    struct lease *l = job->lease;
    struct machine_todo todo = { .count = 0 };
    l->is_working = false;
    if (job->action.what == ACT_READ)
        read_done(l, job, &todo);
    else
        machine_on_write(&l->machine, now_of(l), job->action.call, job->good ? NULL : &job->err,
                         &job->version, &todo);
    buf_fini(&job->bytes);
    free(job);
    bool was_stopped = l->is_stopped;
    run(l, &todo);
    if (was_stopped)
        note_add(l, (struct note){ .kind = NOTE_STOPPED });
}

static void begin_job(struct lease *l, const struct machine_action *action)
{
    assert(!l->is_working);
    struct job *job = mem_new(struct job);
    *job = (struct job){ .lease = l, .store = l->store, .name = l->name, .action = *action };
    struct record_auth auth = record_keys_auth(&l->keys);
    if (action->what == ACT_WRITE &&
        !record_encode(&l->machine.write.record, &auth, &job->bytes, &job->err))
        buf_fini(&job->bytes);
    l->is_working = true;
    loop_work(l->loop, job_run, job_done, job);
}

/* --- actions ------------------------------------------------------------------------------- */

static void carry_out(struct lease *l, const struct machine_action *a)
{
    switch (a->what) {
    case ACT_READ:
    case ACT_WRITE:
        begin_job(l, a);
        break;
    case ACT_ARM:
        l->shim.arm(l->shim.arg, a->seq, a->epoch, a->until);
        break;
    case ACT_FENCE:
        l->shim.fence(l->shim.arg, l->machine.why.msg);
        break;
    case ACT_WAITING:
        note_add(l, (struct note){ .kind = NOTE_WAITING });
        break;
    case ACT_HELD:
        tell_held(l);
        break;
    case ACT_DONE:
        finish_commits(l, a->ticket, NULL);
        break;
    case ACT_RELEASED:
        finish_release(l, NULL);
        break;
    case ACT_LOST:
        tell_lost(l);
        break;
    case ACT_STOPPED:
        tell_stopped(l);
        break;
    }
}

static void run(struct lease *l, const struct machine_todo *todo)
{
    struct boot at;
    for (size_t i = 0; i < todo->count; i++)
        carry_out(l, &todo->list[i]);
    /* A machine that lost while its call is out may want nothing more; the job still ends. */
    if (machine_wake(&l->machine, &at))
        loop_timer_arm(l->wake, at);
    else
        loop_timer_cancel(l->wake);
}

static void on_wake(void *arg)
{
    struct lease *l = arg;
    struct machine_todo todo = { .count = 0 };
    machine_on_timer(&l->machine, now_of(l), &todo);
    run(l, &todo);
}

/* --- telling ------------------------------------------------------------------------------- */

static void give_waiting(struct lease *l)
{
    const struct machine *m = &l->machine;
    if (m->state != MACHINE_SEEKING)
        return; /* old news */
    struct lease_waiting waiting = {
        .record = m->has_seen ? &m->seen : NULL,
        .left_ms = m->has_seen
                       ? deadline_left_ms((struct deadline){ machine_takeover_at(m) }, now_of(l))
                       : 0,
        .is_answering = !m->is_silent,
        .err = m->is_silent ? &m->why : NULL,
    };
    l->events.on_waiting(l->events.arg, &waiting);
}

static void give_held(struct lease *l)
{
    const struct machine *m = &l->machine;
    if (!machine_is_holder(m) || m->wants_release)
        return; /* lost or given back in the same turn */
    struct lease_held held = {
        .epoch = m->own.epoch,
        .record = &m->own,
        .before = m->is_first ? NULL : &m->seen,
        .is_first = m->is_first,
        .deadline = m->acked,
    };
    l->events.on_held(l->events.arg, &held);
}

static struct note *note_pop(struct lease *l)
{
    struct note *first = l->notes;
    if (first == NULL)
        return NULL;
    l->notes = first->next;
    if (l->notes == NULL)
        l->notes_end = &l->notes;
    return first;
}

static void on_later(void *arg)
{
    struct lease *l = arg;
    for (struct note *next; (next = note_pop(l)) != NULL;) {
        struct note note = *next;
        free(next);
        switch (note.kind) {
        case NOTE_WAITING:
            give_waiting(l);
            break;
        case NOTE_HELD:
            give_held(l);
            break;
        case NOTE_LOST:
            l->events.on_lost(l->events.arg, &note.err);
            break;
        case NOTE_DONE:
            note.done(note.arg, note.has_err ? &note.err : NULL);
            break;
        case NOTE_STOPPED:
            l->is_over = true;
            l->on_stopped(l->stopped_arg); /* may free the lease */
            return;
        }
    }
}

/* --- the interface ------------------------------------------------------------------------- */

static int64_t margin_of(const struct lease_spec *spec)
{
    int64_t fifth = spec->ttl_ms / MARGIN_DIVISOR;
    if (spec->margin_ms != 0)
        return spec->margin_ms;
    return fifth < LEASE_MARGIN_MIN_MS ? LEASE_MARGIN_MIN_MS : fifth;
}

static bool check_digest(const char *what, const char *digest, struct err *err)
{
    return digest == NULL || strlen(digest) < sizeof(((struct record *)0)->config_digest) ||
           err_set(err, ERR_INVALID, "lease: %s longer than 128 bytes", what);
}

bool lease_spec_check(const struct lease_spec *spec, struct err *err)
{
    long long ttl_ms = spec->ttl_ms, margin_ms = margin_of(spec);
    if (!store_name_check(spec->name, err))
        return err_wrap(err, "lease");
    if (ttl_ms < LEASE_TTL_MIN_MS || ttl_ms > LEASE_TTL_MAX_MS)
        return err_set(err, ERR_INVALID, "lease.ttl: %lld ms, must be 1s to 24h", ttl_ms);
    if (margin_ms < LEASE_MARGIN_MIN_MS || margin_ms * 2 >= ttl_ms)
        return err_set(err, ERR_INVALID,
                       "lease.margin: %lld ms, must be at least %d ms and less "
                       "than half of ttl (%lld ms)",
                       margin_ms, LEASE_MARGIN_MIN_MS, ttl_ms);
    if (spec->min_epoch < 0 || spec->min_epoch > RECORD_NUMBER_MAX || spec->min_sequence < 0)
        return err_set(err, ERR_INVALID, "lease: epoch floor %lld or sequence floor out of range",
                       (long long)spec->min_epoch);
    if (!store_has(spec->store, STORE_REGISTER))
        return err_set(err, ERR_INVALID, "lease.store: \"%.100s\" cannot hold a record",
                       store_borrow_url(spec->store));
    return check_digest("config digest", spec->config_digest, err) &&
           check_digest("artifact digest", spec->artifact_digest, err);
}

static void copy_text(char *out, size_t room, const char *text)
{
    (void)snprintf(out, room, "%s", text == NULL ? "" : text);
}

struct lease *lease_new(struct loop *loop, const struct lease_spec *spec,
                        const struct keyring *keyring, const struct lease_shim *shim,
                        const struct lease_events *events)
{
    struct lease *l = mem_new(struct lease);
    struct err err = { 0 };
    bool good = lease_spec_check(spec, &err);
    assert(good);
    *l = (struct lease){ .magic = LEASE_MAGIC,
                         .loop = loop,
                         .store = spec->store,
                         .clock = spec->clock,
                         .shim = *shim,
                         .events = *events,
                         .keyring = keyring,
                         .keys = record_keys_of(keyring) };
    l->notes_end = &l->notes;
    l->waiters_end = &l->waiters;
    copy_text(l->name, sizeof(l->name), spec->name);
    copy_text(l->config_digest, sizeof(l->config_digest), spec->config_digest);
    copy_text(l->artifact_digest, sizeof(l->artifact_digest), spec->artifact_digest);
    struct machine_spec ms = { .name = l->name,
                               .ttl_ms = spec->ttl_ms,
                               .margin_ms = margin_of(spec),
                               .min_epoch = spec->min_epoch,
                               .min_sequence = spec->min_sequence,
                               .who = *spec->who,
                               .config_digest = l->config_digest,
                               .artifact_digest = l->artifact_digest };
    crypto_random(ms.who.instance, sizeof(ms.who.instance));
    keyring_wrap_new(keyring, l->name, ms.wrapped_key);
    machine_init(&l->machine, &ms);
    l->wake = loop_timer_new(loop, on_wake, l);
    l->later = loop_timer_new(loop, on_later, l);
    return l;
}

void lease_free(struct lease *l)
{
    if (l == NULL)
        return;
    OBJ_CHECK(l);
    assert(l->is_over || l->machine.state == MACHINE_IDLE);
    assert(!l->is_working && l->notes == NULL && l->waiters == NULL);
    loop_timer_free(l->wake);
    loop_timer_free(l->later);
    record_keys_fini(&l->keys);
    agent_keys_free(l->held_keys);
    l->magic = 0;
    free(l);
}

void lease_start(struct lease *l)
{
    OBJ_CHECK(l);
    struct machine_todo todo = { .count = 0 };
    machine_start(&l->machine, now_of(l), &todo);
    run(l, &todo);
}

static void not_held(struct lease *l, lease_done_fn *done, void *arg)
{
    struct err err = { 0 };
    (void)err_set(&err, ERR_FENCED, "lease \"%.80s\": not held", l->name);
    note_done(l, done, arg, &err);
}

void lease_commit(struct lease *l, const struct record_head *head, lease_done_fn *done, void *arg)
{
    OBJ_CHECK(l);
    struct machine_todo todo = { .count = 0 };
    uint64_t ticket = machine_commit(&l->machine, now_of(l), head, &todo);
    if (ticket == 0) {
        not_held(l, done, arg);
        return;
    }
    struct waiter *waiter = mem_new(struct waiter);
    *waiter = (struct waiter){ .ticket = ticket, .done = done, .arg = arg };
    *l->waiters_end = waiter;
    l->waiters_end = &waiter->next;
    run(l, &todo); /* after the waiter is known: it may be lost at once */
}

void lease_release(struct lease *l, lease_done_fn *done, void *arg)
{
    OBJ_CHECK(l);
    assert(l->on_released == NULL);
    struct machine_todo todo = { .count = 0 };
    l->on_released = done;
    l->released_arg = arg;
    if (!machine_release(&l->machine, now_of(l), &todo)) {
        l->on_released = NULL;
        not_held(l, done, arg);
        return;
    }
    run(l, &todo);
}

void lease_stop(struct lease *l, loop_fn *on_stopped, void *arg)
{
    OBJ_CHECK(l);
    assert(l->on_stopped == NULL);
    struct machine_todo todo = { .count = 0 };
    l->on_stopped = on_stopped;
    l->stopped_arg = arg;
    machine_stop(&l->machine, now_of(l), &todo);
    run(l, &todo);
}

void lease_on_arm_ack(struct lease *l, uint64_t seq, bool accepted)
{
    OBJ_CHECK(l);
    struct machine_todo todo = { .count = 0 };
    machine_on_ack(&l->machine, now_of(l), seq, accepted, &todo);
    run(l, &todo);
}

static bool is_held(const struct lease *l)
{
    return l->machine.state == MACHINE_HELD || l->machine.state == MACHINE_RELEASING;
}

int64_t lease_left_ms(const struct lease *l)
{
    return is_held(l) ? deadline_left_ms(l->machine.acked, now_of(l)) : 0;
}

int64_t lease_epoch(const struct lease *l) { return is_held(l) ? l->held_epoch : 0; }

const struct record *lease_borrow_record(const struct lease *l)
{
    return l->held_keys != NULL ? &l->machine.own : NULL;
}

const struct agent_keys *lease_borrow_keys(const struct lease *l) { return l->held_keys; }

const struct err *lease_trouble(const struct lease *l)
{
    return l->machine.failures > 0 ? &l->machine.why : NULL;
}
