#include "sidecar/lease/steps.h"

#include <assert.h>
#include <string.h>

#define CALL_MIN_MS    200 /* a call gets a fifth of ttl, so that a hung one leaves time to ask */
#define CALL_MAX_MS    5000
#define WATCH_MAX_MS   250
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000

struct machine_action *step_act(struct machine_todo *todo, enum machine_act what)
{
    assert(todo->count < MACHINE_ACTIONS_MAX);
    struct machine_action *a = &todo->list[todo->count++];
    *a = (struct machine_action){ .what = what };
    return a;
}

int64_t step_clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static int64_t call_ms(const struct machine *m)
{
    return step_clamp(m->spec.ttl_ms / 5, CALL_MIN_MS, CALL_MAX_MS);
}

/* Half to all of a doubling pause; different in each process, the same in each replay. */
static int64_t pause_ms(const struct machine *m)
{
    unsigned doublings = m->failures < 8 ? m->failures : 8;
    int64_t most = step_clamp((int64_t)BACKOFF_MIN_MS << doublings, BACKOFF_MIN_MS,
                              step_clamp(m->spec.ttl_ms / 8, BACKOFF_MIN_MS, BACKOFF_MAX_MS));
    uint32_t mixed = (uint32_t)m->failures * 2654435761U ^ m->spec.who.instance[0] * 40503U ^
                     (uint32_t)m->spec.who.instance[1] << 7;
    return most / 2 + (int64_t)((mixed >> 4) % (uint32_t)(most / 2 + 1));
}

struct deadline step_deadline(const struct machine *m, struct boot sent)
{
    return deadline_after(sent, m->spec.ttl_ms, m->spec.margin_ms);
}

void step_stop(struct machine *m, const struct input *in)
{
    m->state = MACHINE_STOPPED;
    m->call = CALL_NONE;
    m->write.is_open = false;
    (void)step_act(in->todo, ACT_STOPPED);
}

/* Losing, in whatever way, ends the machine: no call of ours is answered to any more. */
void step_lose(struct machine *m, const struct input *in, const struct err *why)
{
    /* While releasing, the agent is gone already: a fence would only falsify how it ended. */
    bool needs_fence = m->state == MACHINE_ARMING || m->state == MACHINE_HELD;
    m->why = *why;
    m->state = MACHINE_LOST;
    m->call = CALL_NONE;
    m->write.is_open = false;
    if (needs_fence)
        (void)step_act(in->todo, ACT_FENCE);
    (void)step_act(in->todo, ACT_LOST);
    if (m->wants_stop)
        step_stop(m, in);
}

static void begin_call(struct machine *m, const struct input *in, enum machine_call call)
{
    assert(m->call == CALL_NONE);
    m->call = call;
    m->call_seq++;
    m->call_sent = in->now;
    m->is_watching = false;
}

void step_read(struct machine *m, const struct input *in)
{
    begin_call(m, in, CALL_READ);
    struct machine_action *a = step_act(in->todo, ACT_READ);
    a->call = m->call_seq;
    a->until = deadline_after(in->now, call_ms(m), 0);
}

/* Waits inside the store for a change, so that a release is seen at once. */
void step_watch(struct machine *m, const struct input *in)
{
    int64_t left_ms = boot_diff_ms(machine_takeover_at(m), in->now) + 1;
    int64_t most_ms = step_clamp(m->spec.ttl_ms / 10, 1, WATCH_MAX_MS);
    begin_call(m, in, CALL_READ);
    m->is_watching = true;
    struct machine_action *a = step_act(in->todo, ACT_READ);
    a->call = m->call_seq;
    a->has_seen = true;
    a->version = m->version;
    a->watch = deadline_after(in->now, step_clamp(left_ms, 0, most_ms), 0);
    a->until = deadline_after(a->watch.at, call_ms(m), 0);
}

void step_retry_later(struct machine *m, const struct input *in)
{
    m->failures++;
    m->retry_at = boot_add_ms(in->now, pause_ms(m));
}

/* Sends the open write; the expected version makes repeating it harmless (I6). */
void step_send(struct machine *m, const struct input *in)
{
    struct machine_write *w = &m->write;
    assert(w->is_open);
    begin_call(m, in, CALL_WRITE);
    w->sent = in->now;
    if (!w->is_sent)
        w->first_sent = in->now;
    w->is_sent = true;
    struct machine_action *a = step_act(in->todo, ACT_WRITE);
    a->call = m->call_seq;
    a->is_create = w->is_create;
    a->version = w->expected;
    /* A write that has not arrived by its own deadline is of no use to a holder. */
    a->until = deadline_after(in->now, call_ms(m), 0);
}

/* Unique without a source of randomness: the instance is random, the counter never repeats. */
void step_draw_nonce(struct machine *m, uint8_t nonce[RECORD_NONCE_BYTES])
{
    uint64_t number = ++m->nonces;
    memcpy(nonce, m->spec.who.instance, RECORD_NONCE_BYTES);
    for (size_t i = 0; i < sizeof(number); i++)
        nonce[RECORD_NONCE_BYTES - 1 - i] ^= (uint8_t)(number >> 8 * i);
}

/* The write of ours that was out has won; counts from `base`. */
void step_won(struct machine *m, const struct input *in, struct boot base,
              const struct store_version *version)
{
    bool is_release = m->write.record.released;
    m->own = m->write.record;
    m->version = *version;
    m->base = base;
    m->write.is_open = false;
    m->failures = 0;
    m->retry_at = (struct boot){ 0 };
    m->arming_ticket = m->write.ticket;
    if (is_release) {
        m->state = MACHINE_RELEASED;
        (void)step_act(in->todo, ACT_RELEASED);
        if (m->wants_stop)
            step_stop(m, in);
        return;
    }
    m->arming = step_deadline(m, base);
    m->is_unacked = true;
    struct machine_action *a = step_act(in->todo, ACT_ARM);
    a->seq = ++m->arm_seq;
    a->epoch = m->own.epoch;
    a->until = m->arming;
}

/* The next write of the holder. */
static void write_next(struct machine *m, const struct input *in, bool released)
{
    struct machine_write *w = &m->write;
    *w = (struct machine_write){ .is_open = true, .expected = m->version, .record = m->own };
    w->record.renewals++;
    w->record.released = released;
    if (m->has_head) {
        w->record.has_head = true;
        w->record.head = m->head;
    }
    w->ticket = m->asked;
    step_draw_nonce(m, w->record.nonce);
    step_send(m, in);
}

/* What a holder does when nothing is under way: I5 and I6 are here. */
void step_go_on(struct machine *m, const struct input *in)
{
    if (m->call != CALL_NONE || m->is_unacked || in->now.ns < m->retry_at.ns)
        return;
    if (m->write.is_open)
        step_read(m, in); /* its fate comes first */
    else if (m->asked > m->proved)
        write_next(m, in, false);
    else if (m->state == MACHINE_RELEASING)
        write_next(m, in, true);
    else if (in->now.ns >= boot_add_ms(m->base, m->spec.ttl_ms / 3).ns)
        write_next(m, in, false);
}

bool step_is_our_write(const struct machine *m, const struct record *record)
{
    return m->write.is_open && record_is_held_by(record, m->spec.who.instance) &&
           memcmp(record->nonce, m->write.record.nonce, RECORD_NONCE_BYTES) == 0;
}

void step_read_back(struct machine *m, const struct input *in)
{
    m->why = *in->err;
    if (m->failures == 0) {
        m->failures = 1;
        step_read(m, in);
    } else
        step_retry_later(m, in);
}

void step_fail(struct machine *m, const struct input *in)
{
    struct err why = *in->err;
    step_lose(m, in, &why);
}

void step_ignore(struct machine *m, const struct input *in) { (void)m, (void)in; }
