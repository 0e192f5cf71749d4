#include "sidecar/lease/machine.h"

#include "sidecar/lease/holding.h"
#include "sidecar/lease/seeking.h"
#include "sidecar/lease/steps.h"

#include <assert.h>

#define DRIFT_DIVISOR 100 /* clocks may differ by 1% */

struct boot machine_takeover_at(const struct machine *m)
{
    int64_t ttl_ms = m->seen.ttl_ms;
    return boot_add_ms(m->first_seen, ttl_ms + ttl_ms / DRIFT_DIVISOR + 1 + m->rtt_ms);
}

bool machine_is_holder(const struct machine *m)
{
    return m->state == MACHINE_ARMING || m->state == MACHINE_HELD || m->state == MACHINE_RELEASING;
}

/* Asked for what only a caller's bug can ask. */
static void bug(struct machine *m, const struct input *in)
{
    (void)in;
    assert(m->state == MACHINE_STATE_COUNT && "event that cannot happen in this state");
}

static void final_stop(struct machine *m, const struct input *in)
{
    if (m->state != MACHINE_STOPPED)
        step_stop(m, in);
}

/* Columns: start | found absent failed bad | won conflict unknown refused | ack nack timer commit
 * release stop. Reads and writes of calls that are not ours never get here. */
static handler *const rows[MACHINE_STATE_COUNT][MACHINE_EVENT_COUNT] = {
    [MACHINE_IDLE] = { seek_start, bug, bug, bug, bug, bug, bug, bug, bug, step_ignore, step_ignore,
                       step_ignore, step_ignore, step_ignore, final_stop },
    [MACHINE_SEEKING] = { bug, seek_found, seek_absent, seek_failed, step_fail, bug, bug, bug, bug,
                          step_ignore, step_ignore, seek_timer, step_ignore, step_ignore,
                          final_stop },
    [MACHINE_TAKING] = { bug, take_found, take_absent, take_failed, step_fail, take_won,
                         step_read_back, take_failed, step_fail, step_ignore, step_ignore,
                         seek_timer, step_ignore, step_ignore, take_stop },
    [MACHINE_ARMING] = { bug, bug, bug, bug, bug, bug, bug, bug, bug, hold_ack, hold_nack,
                         step_ignore, step_ignore, hold_release, arming_stop },
    [MACHINE_HELD] = { bug, hold_found, hold_absent, hold_failed, hold_bad, hold_won,
                       step_read_back, hold_failed, hold_failed, hold_ack, hold_nack, step_go_on,
                       step_go_on, hold_release, final_stop },
    [MACHINE_RELEASING] = { bug, hold_found, hold_absent, hold_failed, hold_bad, hold_won,
                            step_read_back, hold_failed, hold_failed, hold_ack, hold_nack,
                            step_go_on, step_ignore, step_ignore, final_stop },
    [MACHINE_RELEASED] = { bug, step_ignore, step_ignore, step_ignore, step_ignore, step_ignore,
                           step_ignore, step_ignore, step_ignore, step_ignore, step_ignore,
                           step_ignore, step_ignore, step_ignore, final_stop },
    [MACHINE_LOST] = { bug, step_ignore, step_ignore, step_ignore, step_ignore, step_ignore,
                       step_ignore, step_ignore, step_ignore, step_ignore, step_ignore, step_ignore,
                       step_ignore, step_ignore, final_stop },
    [MACHINE_STOPPED] = { bug, step_ignore, step_ignore, step_ignore, step_ignore, step_ignore,
                          step_ignore, step_ignore, step_ignore, step_ignore, step_ignore,
                          step_ignore, step_ignore, step_ignore, final_stop },
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
    step_lose(m, in, &why);
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
        m->rtt_ms = step_clamp(boot_diff_ms(now, m->call_sent) + 1, 1, m->spec.ttl_ms);
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
