#include "sidecar/lease/machine.h"

#include "common/base/own.h"

#include <assert.h>

#define CALL_MIN_MS    200 /* a call gets a fifth of ttl, so that a hung one leaves time to ask */
#define CALL_MAX_MS    5000
#define WATCH_MAX_MS   250
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000
#define DRIFT_DIVISOR  100 /* clocks may differ by 1% */

/* What a handler sees besides the machine. */
struct input {
    struct boot now;
    const struct err *err;
    const struct record *record;
    const struct store_version *version;
    struct machine_todo *todo;
};
typedef void handler(struct machine *m, const struct input *in);

static struct machine_action *act(struct machine_todo *todo, enum machine_act what)
{
    assert(todo->count < MACHINE_ACTIONS_MAX);
    struct machine_action *a = &todo->list[todo->count++];
    *a = (struct machine_action){ .what = what };
    return a;
}

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static int64_t call_ms(const struct machine *m)
{
    return clamp(m->spec.ttl_ms / 5, CALL_MIN_MS, CALL_MAX_MS);
}

/* Half to all of a doubling pause; different in each process, the same in each replay. */
static int64_t pause_ms(const struct machine *m)
{
    unsigned doublings = m->failures < 8 ? m->failures : 8;
    int64_t most = clamp((int64_t)BACKOFF_MIN_MS << doublings, BACKOFF_MIN_MS,
                         clamp(m->spec.ttl_ms / 8, BACKOFF_MIN_MS, BACKOFF_MAX_MS));
    uint32_t mixed = (uint32_t)m->failures * 2654435761U ^ m->spec.who.instance[0] * 40503U ^
                     (uint32_t)m->spec.who.instance[1] << 7;
    return most / 2 + (int64_t)((mixed >> 4) % (uint32_t)(most / 2 + 1));
}

static struct deadline own_deadline(const struct machine *m, struct boot sent)
{
    return deadline_after(sent, m->spec.ttl_ms, m->spec.margin_ms);
}

struct boot machine_takeover_at(const struct machine *m)
{
    int64_t ttl_ms = m->seen.ttl_ms;
    return boot_add_ms(m->first_seen, ttl_ms + ttl_ms / DRIFT_DIVISOR + 1 + m->rtt_ms);
}

bool machine_is_holder(const struct machine *m)
{
    return m->state == MACHINE_ARMING || m->state == MACHINE_HELD || m->state == MACHINE_RELEASING;
}

static void stop_now(struct machine *m, const struct input *in)
{
    m->state = MACHINE_STOPPED;
    m->call = CALL_NONE;
    m->write.is_open = false;
    (void)act(in->todo, ACT_STOPPED);
}

/* Losing, in whatever way, ends the machine: no call of ours is answered to any more. */
static void lose(struct machine *m, const struct input *in, const struct err *why)
{
    /* While releasing, the agent is gone already: a fence would only falsify how it ended. */
    bool needs_fence = m->state == MACHINE_ARMING || m->state == MACHINE_HELD;
    m->why = *why;
    m->state = MACHINE_LOST;
    m->call = CALL_NONE;
    m->write.is_open = false;
    if (needs_fence)
        (void)act(in->todo, ACT_FENCE);
    (void)act(in->todo, ACT_LOST);
    if (m->wants_stop)
        stop_now(m, in);
}

static void begin_call(struct machine *m, const struct input *in, int kind)
{
    assert(m->call == CALL_NONE);
    m->call = kind;
    m->call_seq++;
    m->call_sent = in->now;
    m->is_watching = false;
}

static void read_now(struct machine *m, const struct input *in)
{
    begin_call(m, in, CALL_READ);
    struct machine_action *a = act(in->todo, ACT_READ);
    a->call = m->call_seq;
    a->until = deadline_after(in->now, call_ms(m), 0);
}

/* Waits inside the store for a change, so that a release is seen at once. */
static void watch_now(struct machine *m, const struct input *in)
{
    int64_t left_ms = boot_diff_ms(machine_takeover_at(m), in->now) + 1;
    int64_t most_ms = clamp(m->spec.ttl_ms / 10, 1, WATCH_MAX_MS);
    begin_call(m, in, CALL_READ);
    m->is_watching = true;
    struct machine_action *a = act(in->todo, ACT_READ);
    a->call = m->call_seq;
    a->has_seen = true;
    a->version = m->version;
    a->watch = deadline_after(in->now, clamp(left_ms, 0, most_ms), 0);
    a->until = deadline_after(a->watch.at, call_ms(m), 0);
}

static void retry_later(struct machine *m, const struct input *in)
{
    m->failures++;
    m->retry_at = boot_add_ms(in->now, pause_ms(m));
}

/* Sends the open write; the expected version makes repeating it harmless (I6). */
static void send_write(struct machine *m, const struct input *in)
{
    struct machine_write *w = &m->write;
    assert(w->is_open);
    begin_call(m, in, CALL_WRITE);
    w->sent = in->now;
    if (!w->is_sent)
        w->first_sent = in->now;
    w->is_sent = true;
    struct machine_action *a = act(in->todo, ACT_WRITE);
    a->call = m->call_seq;
    a->is_create = w->is_create;
    a->version = w->expected;
    /* A write that has not arrived by its own deadline is of no use to a holder. */
    a->until = deadline_after(in->now, call_ms(m), 0);
}

/* Unique without a source of randomness: the instance is random, the counter never repeats. */
static void draw_nonce(struct machine *m, uint8_t nonce[RECORD_NONCE_BYTES])
{
    uint64_t number = ++m->nonces;
    memcpy(nonce, m->spec.who.instance, RECORD_NONCE_BYTES);
    for (size_t i = 0; i < sizeof(number); i++)
        nonce[RECORD_NONCE_BYTES - 1 - i] ^= (uint8_t)(number >> 8 * i);
}

static void copy_text(char *out, size_t room, const char *text)
{
    size_t len = text == NULL ? 0 : strlen(text);
    assert(len < room);
    memset(out, 0, room);
    if (len > 0)
        memcpy(out, text, len);
}

/* A record of ours for `epoch`, with what stays of the one before. */
static void take(struct machine *m, const struct input *in, const struct record *before)
{
    struct machine_write *w = &m->write;
    *w = (struct machine_write){ .is_open = true, .is_create = before == NULL };
    if (before != NULL) {
        w->expected = m->version;
        w->record = *before;
    }
    struct record *r = &w->record;
    r->epoch = before == NULL ? 1 : before->epoch + 1;
    r->renewals = 0;
    r->ttl_ms = m->spec.ttl_ms;
    r->released = false;
    r->holder = m->spec.who;
    r->accessor[0] = '\0';
    copy_text(r->name, sizeof(r->name), m->spec.name);
    copy_text(r->config_digest, sizeof(r->config_digest), m->spec.config_digest);
    copy_text(r->artifact_digest, sizeof(r->artifact_digest), m->spec.artifact_digest);
    if (before == NULL)
        memcpy(r->wrapped_key, m->spec.wrapped_key, sizeof(r->wrapped_key));
    draw_nonce(m, r->nonce);
    m->state = MACHINE_TAKING;
    send_write(m, in);
}

/* G4: an epoch below one that was is a register from the past. */
static bool check_epoch(struct machine *m, const struct input *in, int64_t epoch)
{
    int64_t floor = m->spec.min_epoch > m->top_epoch ? m->spec.min_epoch : m->top_epoch;
    struct err why = { 0 };
    if (epoch >= floor) {
        m->top_epoch = epoch;
        return true;
    }
    if (epoch == 0)
        (void)err_set(&why, ERR_CORRUPT,
                      "acquire lease \"%.80s\": no record, but epoch %lld has "
                      "been: was the register emptied?",
                      m->spec.name, (long long)floor);
    else
        (void)err_set(&why, ERR_CORRUPT,
                      "acquire lease \"%.80s\": record has epoch %lld, but %lld "
                      "has been: was the register restored from a backup?",
                      m->spec.name, (long long)epoch, (long long)floor);
    lose(m, in, &why);
    return false;
}

/* The write of ours that was out has won; counts from `base`. */
static void won(struct machine *m, const struct input *in, struct boot base,
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
        (void)act(in->todo, ACT_RELEASED);
        if (m->wants_stop)
            stop_now(m, in);
        return;
    }
    m->arming = own_deadline(m, base);
    m->is_unacked = true;
    struct machine_action *a = act(in->todo, ACT_ARM);
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
    draw_nonce(m, w->record.nonce);
    send_write(m, in);
}

/* What a holder does when nothing is under way: I5 and I6 are here. */
static void go_on(struct machine *m, const struct input *in)
{
    if (m->call != CALL_NONE || m->is_unacked || in->now.ns < m->retry_at.ns)
        return;
    if (m->write.is_open)
        read_now(m, in); /* its fate comes first */
    else if (m->asked > m->proved)
        write_next(m, in, false);
    else if (m->state == MACHINE_RELEASING)
        write_next(m, in, true);
    else if (in->now.ns >= boot_add_ms(m->base, m->spec.ttl_ms / 3).ns)
        write_next(m, in, false);
}

/* --- seeking ------------------------------------------------------------------------------- */

static void ignore(struct machine *m, const struct input *in) { (void)m, (void)in; }

/* Asked for what only a caller's bug can ask. */
static void bug(struct machine *m, const struct input *in)
{
    (void)in;
    assert(m->state == MACHINE_STATE_COUNT && "event that cannot happen in this state");
}

static void seek(struct machine *m, const struct input *in)
{
    m->state = MACHINE_SEEKING;
    read_now(m, in);
}

/* A record of another process: wait for its end, or for it to fall silent. */
static void wait_for(struct machine *m, const struct input *in)
{
    if (in->now.ns >= machine_takeover_at(m).ns) {
        take(m, in, &m->seen);
        return;
    }
    if (!m->is_told || m->is_silent)
        (void)act(in->todo, ACT_WAITING);
    m->is_told = true;
    m->is_silent = false;
    watch_now(m, in);
}

/* Remembers the register. The wait starts anew with each version, from its receipt (I2). */
static void note_seen(struct machine *m, const struct input *in)
{
    bool is_same = m->has_seen && store_version_is_equal(&m->version, in->version);
    if (!is_same)
        m->first_seen = in->now;
    m->is_told = m->is_told && m->has_seen && m->seen.epoch == in->record->epoch &&
                 record_is_held_by(in->record, m->seen.holder.instance);
    m->has_seen = true;
    m->seen = *in->record;
    m->version = *in->version;
    m->failures = 0;
}

static void seek_found(struct machine *m, const struct input *in)
{
    note_seen(m, in);
    if (!check_epoch(m, in, in->record->epoch))
        return;
    m->state = MACHINE_SEEKING;
    /* Our own instance: a write that we gave up; nothing was ever armed with it. */
    if (in->record->released || record_is_held_by(in->record, m->spec.who.instance))
        take(m, in, &m->seen);
    else
        wait_for(m, in);
}

static void seek_absent(struct machine *m, const struct input *in)
{
    m->has_seen = false;
    if (check_epoch(m, in, 0))
        take(m, in, NULL);
}

static void seek_failed(struct machine *m, const struct input *in)
{
    m->why = *in->err;
    if (!m->is_silent)
        (void)act(in->todo, ACT_WAITING);
    m->is_silent = true;
    retry_later(m, in);
}

static void fail(struct machine *m, const struct input *in)
{
    struct err why = *in->err;
    lose(m, in, &why);
}

static void seek_timer(struct machine *m, const struct input *in)
{
    if (m->call == CALL_NONE && in->now.ns >= m->retry_at.ns)
        read_now(m, in);
}

/* --- taking -------------------------------------------------------------------------------- */

/* The record is ours. Too late to be of use: begin again, which takes the next epoch. */
static void taken(struct machine *m, const struct input *in, struct boot base)
{
    if (m->wants_stop)
        m->wants_release = true;
    m->top_epoch = m->write.record.epoch;
    if (deadline_is_past(own_deadline(m, base), in->now)) {
        m->write.is_open = false;
        if (m->wants_stop)
            stop_now(m, in);
        else
            seek(m, in);
        return;
    }
    m->state = MACHINE_ARMING;
    m->is_first = m->write.is_create;
    won(m, in, base, in->version);
    m->acked = m->arming;   /* until the shim answers, this is the end in any case */
    if (m->wants_release) { /* nobody was told that it is held; nothing was started */
        m->is_unacked = false;
        m->state = MACHINE_RELEASING;
        go_on(m, in);
    }
}

static void take_won(struct machine *m, const struct input *in) { taken(m, in, m->write.sent); }

static void take_conflict(struct machine *m, const struct input *in) { read_now(m, in); }

/* The read that tells comes after a pause, so that a store that only refuses is not hammered. */
static void take_failed(struct machine *m, const struct input *in)
{
    m->why = *in->err;
    if (m->wants_stop)
        stop_now(m, in);
    else
        retry_later(m, in);
}

static bool is_our_write(const struct machine *m, const struct record *record)
{
    return m->write.is_open && record_is_held_by(record, m->spec.who.instance) &&
           memcmp(record->nonce, m->write.record.nonce, RECORD_NONCE_BYTES) == 0;
}

static void take_found(struct machine *m, const struct input *in)
{
    if (is_our_write(m, in->record)) {
        taken(m, in, m->write.first_sent);
        return;
    }
    bool is_pending = !m->write.is_create &&
                      store_version_is_equal(&m->write.expected, in->version);
    if (is_pending && !m->wants_stop) {
        send_write(m, in); /* as it was: whichever sending arrives first, it is the same write */
        return;
    }
    m->write.is_open = false; /* its version is gone, it can never win */
    if (m->wants_stop)
        stop_now(m, in);
    else
        seek_found(m, in);
}

static void take_absent(struct machine *m, const struct input *in)
{
    if (m->wants_stop)
        stop_now(m, in);
    else if (m->write.is_create)
        send_write(m, in);
    else if (check_epoch(m, in, 0))
        seek(m, in);
}

/* The fate of the write is worth waiting for: if it won, a release spares the successor a ttl. */
static void take_stop(struct machine *m, const struct input *in)
{
    (void)in;
    m->wants_stop = true;
}

/* --- holding ------------------------------------------------------------------------------- */

static void ack(struct machine *m, const struct input *in)
{
    m->is_unacked = false;
    m->acked = m->arming;
    if (m->arming_ticket > m->proved) {
        m->proved = m->arming_ticket;
        act(in->todo, ACT_DONE)->ticket = m->proved;
    }
    if (m->state == MACHINE_ARMING) {
        m->state = m->wants_release ? MACHINE_RELEASING : MACHINE_HELD;
        if (m->state == MACHINE_HELD)
            (void)act(in->todo, ACT_HELD);
    }
    go_on(m, in);
}

static void nack(struct machine *m, const struct input *in)
{
    struct err why = { 0 };
    (void)err_set(&why, ERR_FENCED, "hold lease \"%.80s\": shim refused the deadline of epoch %lld",
                  m->spec.name, (long long)m->own.epoch);
    lose(m, in, &why);
}

static void hold_won(struct machine *m, const struct input *in)
{
    won(m, in, m->write.sent, in->version);
}

static void hold_conflict(struct machine *m, const struct input *in) { read_now(m, in); }

static void hold_failed(struct machine *m, const struct input *in)
{
    m->why = *in->err;
    if (m->wants_stop)
        stop_now(m, in);
    else
        retry_later(m, in);
}

static void hold_bad(struct machine *m, const struct input *in)
{
    if (in->err->kind == ERR_CORRUPT)
        fail(m, in);
    else
        hold_failed(m, in); /* a permission may come back; the deadline bounds the wait */
}

static void fenced_by(struct machine *m, const struct input *in)
{
    struct err why = { 0 };
    const struct record *r = in->record;
    (void)err_set(&why, ERR_FENCED,
                  "hold lease \"%.60s\": epoch %lld is over, %lld is held by "
                  "\"%.60s\"",
                  m->spec.name, (long long)m->own.epoch, (long long)r->epoch, r->holder.node);
    lose(m, in, &why);
}

static void hold_found(struct machine *m, const struct input *in)
{
    bool is_ours = record_is_held_by(in->record, m->spec.who.instance) &&
                   in->record->epoch == m->own.epoch;
    if (is_ours && is_our_write(m, in->record))
        won(m, in, m->write.first_sent, in->version);
    else if (is_ours && store_version_is_equal(&m->version, in->version))
        send_write(m, in);
    else if (m->write.record.released && in->record->epoch == m->own.epoch + 1) {
        m->write.record.released = true; /* it was taken, and a successor was waiting */
        won(m, in, m->write.first_sent, in->version);
    } else
        fenced_by(m, in);
}

static void hold_absent(struct machine *m, const struct input *in)
{
    struct err why = { 0 };
    (void)err_set(&why, ERR_FENCED, "hold lease \"%.80s\": the record of epoch %lld is gone",
                  m->spec.name, (long long)m->own.epoch);
    lose(m, in, &why);
}

static void hold_release(struct machine *m, const struct input *in)
{
    m->wants_release = true;
    m->state = MACHINE_RELEASING;
    go_on(m, in);
}

/* Not held yet, but ours: give it back as soon as it can be. */
static void arming_release(struct machine *m, const struct input *in) { hold_release(m, in); }

static void arming_stop(struct machine *m, const struct input *in)
{
    m->wants_stop = true;
    m->is_unacked = false; /* no agent was started under it */
    hold_release(m, in);
}

static void final_stop(struct machine *m, const struct input *in)
{
    if (m->state != MACHINE_STOPPED)
        stop_now(m, in);
}

/* --- the table ----------------------------------------------------------------------------- */

/* Columns: start | found absent failed bad | won conflict unknown refused | ack nack timer commit
 * release stop. Reads and writes of calls that are not ours never get here. */
static handler *const rows[MACHINE_STATE_COUNT][MACHINE_EVENT_COUNT] = {
    [MACHINE_IDLE] = { seek, bug, bug, bug, bug, bug, bug, bug, bug, ignore, ignore, ignore, ignore,
                       ignore, final_stop },
    [MACHINE_SEEKING] = { bug, seek_found, seek_absent, seek_failed, fail, bug, bug, bug, bug,
                          ignore, ignore, seek_timer, ignore, ignore, final_stop },
    [MACHINE_TAKING] = { bug, take_found, take_absent, take_failed, fail, take_won, take_conflict,
                         take_failed, fail, ignore, ignore, seek_timer, ignore, ignore, take_stop },
    [MACHINE_ARMING] = { bug, bug, bug, bug, bug, bug, bug, bug, bug, ack, nack, ignore, ignore,
                         arming_release, arming_stop },
    [MACHINE_HELD] = { bug, hold_found, hold_absent, hold_failed, hold_bad, hold_won, hold_conflict,
                       hold_failed, hold_failed, ack, nack, go_on, go_on, hold_release,
                       final_stop },
    [MACHINE_RELEASING] = { bug, hold_found, hold_absent, hold_failed, hold_bad, hold_won,
                            hold_conflict, hold_failed, hold_failed, ack, nack, go_on, ignore,
                            ignore, final_stop },
    [MACHINE_RELEASED] = { bug, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore,
                           ignore, ignore, ignore, ignore, ignore, final_stop },
    [MACHINE_LOST] = { bug, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore,
                       ignore, ignore, ignore, ignore, final_stop },
    [MACHINE_STOPPED] = { bug, ignore, ignore, ignore, ignore, ignore, ignore, ignore, ignore,
                          ignore, ignore, ignore, ignore, ignore, final_stop },
};

static void out_of_time(struct machine *m, const struct input *in)
{
    struct err why = { 0 };
    const char *name = m->spec.name;
    if (m->state == MACHINE_RELEASING)
        (void)err_set(&why, ERR_UNAVAILABLE,
                      "release lease \"%.60s\": not confirmed in time%s%.100s", name,
                      m->failures > 0 ? ": " : "", m->failures > 0 ? m->why.msg : "");
    else if (m->is_unacked)
        (void)err_set(&why, ERR_FENCED, "hold lease \"%.80s\": shim did not acknowledge in time",
                      name);
    else
        (void)err_set(&why, ERR_FENCED, "hold lease \"%.60s\": out of time%s%.100s", name,
                      m->failures > 0 ? ": " : "", m->failures > 0 ? m->why.msg : "");
    lose(m, in, &why);
}

/* The one way in: time first, then the table. */
static void dispatch(struct machine *m, enum machine_event event, const struct input *in)
{
    if (machine_is_holder(m) && deadline_is_past(m->acked, in->now))
        out_of_time(m, in);
    rows[m->state][event](m, in);
}

void machine_init(struct machine *m, const struct machine_spec *spec)
{
    assert(spec->margin_ms > 0 && spec->margin_ms < spec->ttl_ms);
    *m = (struct machine){ .spec = *spec };
}

void machine_start(struct machine *m, struct boot now, struct machine_todo *todo)
{
    dispatch(m, MACHINE_ON_START, &(struct input){ .now = now, .todo = todo });
}

/* True when `call` is the one under way, which is then over. */
static bool is_answer(struct machine *m, uint64_t call, int kind)
{
    if (m->call != (unsigned)kind || m->call_seq != call)
        return false;
    m->call = CALL_NONE;
    return true;
}

void machine_on_read(struct machine *m, struct boot now, uint64_t call, const struct err *err,
                     const struct record *record, const struct store_version *version,
                     struct machine_todo *todo)
{
    const struct input in = { now, err, record, version, todo };
    if (!is_answer(m, call, CALL_READ))
        return;
    if (!m->is_watching)
        m->rtt_ms = clamp(boot_diff_ms(now, m->call_sent) + 1, 1, m->spec.ttl_ms);
    enum machine_event event = err == NULL                    ? MACHINE_ON_READ_FOUND
                               : err->kind == ERR_NOT_FOUND   ? MACHINE_ON_READ_ABSENT
                               : err->kind == ERR_UNAVAILABLE ? MACHINE_ON_READ_FAILED
                                                              : MACHINE_ON_READ_BAD;
    dispatch(m, event, &in);
}

void machine_on_write(struct machine *m, struct boot now, uint64_t call, const struct err *err,
                      const struct store_version *version, struct machine_todo *todo)
{
    const struct input in = { now, err, NULL, version, todo };
    if (!is_answer(m, call, CALL_WRITE))
        return;
    enum machine_event event = err == NULL                    ? MACHINE_ON_WRITE_WON
                               : err->kind == ERR_CONFLICT    ? MACHINE_ON_WRITE_CONFLICT
                               : err->kind == ERR_UNAVAILABLE ? MACHINE_ON_WRITE_UNKNOWN
                                                              : MACHINE_ON_WRITE_REFUSED;
    dispatch(m, event, &in);
}

void machine_on_ack(struct machine *m, struct boot now, uint64_t seq, bool accepted,
                    struct machine_todo *todo)
{
    if (seq != m->arm_seq || !m->is_unacked)
        return;
    dispatch(m, accepted ? MACHINE_ON_ACK : MACHINE_ON_NACK,
             &(struct input){ .now = now, .todo = todo });
}

void machine_on_timer(struct machine *m, struct boot now, struct machine_todo *todo)
{
    dispatch(m, MACHINE_ON_TIMER, &(struct input){ .now = now, .todo = todo });
}

uint64_t machine_commit(struct machine *m, struct boot now, const struct record_head *head,
                        struct machine_todo *todo)
{
    if (m->state != MACHINE_HELD)
        return 0;
    if (head != NULL) {
        const struct record_head *last = m->has_head ? &m->head : &m->own.head;
        assert(head->sequence > last->sequence);
        m->head = *head;
        m->has_head = true;
    }
    uint64_t ticket = ++m->asked;
    dispatch(m, MACHINE_ON_COMMIT, &(struct input){ .now = now, .todo = todo });
    return ticket;
}

bool machine_release(struct machine *m, struct boot now, struct machine_todo *todo)
{
    if (m->state != MACHINE_ARMING && m->state != MACHINE_HELD)
        return false;
    dispatch(m, MACHINE_ON_RELEASE, &(struct input){ .now = now, .todo = todo });
    return true;
}

void machine_stop(struct machine *m, struct boot now, struct machine_todo *todo)
{
    dispatch(m, MACHINE_ON_STOP, &(struct input){ .now = now, .todo = todo });
}

static struct boot later_of(struct boot a, struct boot b) { return a.ns > b.ns ? a : b; }

/* When a holder with nothing under way wants to write. */
static struct boot next_write_at(const struct machine *m)
{
    bool is_due = m->write.is_open || m->asked > m->proved || m->state == MACHINE_RELEASING;
    return is_due ? m->retry_at : later_of(m->retry_at, boot_add_ms(m->base, m->spec.ttl_ms / 3));
}

bool machine_wake(const struct machine *m, struct boot *out_at)
{
    bool is_free = m->call == CALL_NONE;
    bool is_seeking = m->state == MACHINE_SEEKING || m->state == MACHINE_TAKING;
    if (!machine_is_holder(m)) {
        *out_at = m->retry_at;
        return is_seeking && is_free;
    }
    *out_at = m->acked.at;
    if (is_free && !m->is_unacked && next_write_at(m).ns < out_at->ns)
        *out_at = next_write_at(m);
    return true;
}

#define NAME_ROW(name) #name,

const char *machine_state_name(enum machine_state state)
{
    static const char *const names[] = { MACHINE_STATES(NAME_ROW) };
    return names[state];
}

const char *machine_event_name(enum machine_event event)
{
    static const char *const names[] = { MACHINE_EVENTS(NAME_ROW) };
    return names[event];
}

bool machine_decides(enum machine_state state, enum machine_event event)
{
    return rows[state][event] != NULL;
}
