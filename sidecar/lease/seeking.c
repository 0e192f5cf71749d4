#include "sidecar/lease/seeking.h"

#include <assert.h>
#include <string.h>

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
    step_draw_nonce(m, r->nonce);
    m->state = MACHINE_TAKING;
    step_send(m, in);
}

/* The record is gone, and what it named is not: a person must decide (proto/lease.md, section 4).
 */
static bool refuse_absence(struct machine *m, const struct input *in)
{
    struct err why = { 0 };
    (void)err_set(
        &why, ERR_CORRUPT,
        "acquire lease \"%.60s\": the record is gone, but checkpoint %lld has been: was the "
        "register emptied? \"restore -without-record\" saves the state",
        m->spec.name, (long long)m->spec.min_sequence);
    step_lose(m, in, &why);
    return false;
}

static bool refuse(struct machine *m, const struct input *in, const char *what, int64_t has,
                   int64_t floor)
{
    struct err why = { 0 };
    (void)err_set(
        &why, ERR_CORRUPT,
        "acquire lease \"%.80s\": record has %s %lld, but %lld has been: was the register "
        "emptied or restored from a backup?",
        m->spec.name, what, (long long)has, (long long)floor);
    step_lose(m, in, &why);
    return false;
}

/* G4: a register that knows less than was seen elsewhere is a register from the past, and what it
 * would start is not the agent's newest state. `record` NULL: there is none. A pack may be one
 * ahead of the head: it was stored, and its commit never came. */
static bool check_history(struct machine *m, const struct input *in, const struct record *record)
{
    int64_t floor = m->spec.min_epoch > m->top_epoch ? m->spec.min_epoch : m->top_epoch;
    int64_t epoch = record == NULL ? 0 : record->epoch;
    int64_t sequence = record != NULL && record->has_head ? record->head.sequence : 0;
    if (record == NULL && m->spec.min_sequence > 0)
        return refuse_absence(m, in);
    if (epoch < floor)
        return refuse(m, in, "epoch", epoch, floor);
    if (sequence + (record != NULL) < m->spec.min_sequence)
        return refuse(m, in, "checkpoint", sequence, m->spec.min_sequence);
    if (sequence < m->top_sequence)
        return refuse(m, in, "checkpoint", sequence, m->top_sequence);
    m->top_epoch = epoch;
    m->top_sequence = sequence;
    return true;
}

void seek_start(struct machine *m, const struct input *in)
{
    m->state = MACHINE_SEEKING;
    step_read(m, in);
}

/* A record of another process: wait for its end, or for it to fall silent. */
static void wait_for(struct machine *m, const struct input *in)
{
    if (in->now.ns >= machine_takeover_at(m).ns) {
        take(m, in, &m->seen);
        return;
    }
    if (!m->is_told || m->is_silent)
        (void)step_act(in->todo, ACT_WAITING);
    m->is_told = true;
    m->is_silent = false;
    step_watch(m, in);
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

void seek_found(struct machine *m, const struct input *in)
{
    note_seen(m, in);
    if (!check_history(m, in, in->record))
        return;
    m->state = MACHINE_SEEKING;
    /* Our own instance: a write that we gave up; nothing was ever armed with it. */
    if (in->record->released || record_is_held_by(in->record, m->spec.who.instance))
        take(m, in, &m->seen);
    else
        wait_for(m, in);
}

void seek_absent(struct machine *m, const struct input *in)
{
    m->has_seen = false;
    if (check_history(m, in, NULL))
        take(m, in, NULL);
}

void seek_failed(struct machine *m, const struct input *in)
{
    m->why = *in->err;
    if (!m->is_silent)
        (void)step_act(in->todo, ACT_WAITING);
    m->is_silent = true;
    step_retry_later(m, in);
}

void seek_timer(struct machine *m, const struct input *in)
{
    if (m->call == CALL_NONE && in->now.ns >= m->retry_at.ns)
        step_read(m, in);
}

/* The record is ours. Too late to be of use: begin again, which takes the next epoch. */
static void taken(struct machine *m, const struct input *in, struct boot base)
{
    if (m->wants_stop)
        m->wants_release = true;
    m->top_epoch = m->write.record.epoch;
    if (deadline_is_past(step_deadline(m, base), in->now)) {
        m->write.is_open = false;
        if (m->wants_stop)
            step_stop(m, in);
        else
            seek_start(m, in);
        return;
    }
    m->state = MACHINE_ARMING;
    m->is_first = m->write.is_create;
    step_won(m, in, base, in->version);
    m->acked = m->arming;   /* until the shim answers, this is the end in any case */
    if (m->wants_release) { /* nobody was told that it is held; nothing was started */
        m->is_unacked = false;
        m->state = MACHINE_RELEASING;
        step_go_on(m, in);
    }
}

void take_won(struct machine *m, const struct input *in) { taken(m, in, m->write.sent); }

/* The read that tells comes after a pause, so that a store that only refuses is not hammered. */
void take_failed(struct machine *m, const struct input *in)
{
    m->why = *in->err;
    if (m->wants_stop)
        step_stop(m, in);
    else
        step_retry_later(m, in);
}

void take_found(struct machine *m, const struct input *in)
{
    if (step_is_our_write(m, in->record)) {
        taken(m, in, m->write.first_sent);
        return;
    }
    bool is_pending = !m->write.is_create &&
                      store_version_is_equal(&m->write.expected, in->version);
    if (is_pending && !m->wants_stop) {
        step_send(m, in); /* as it was: whichever sending arrives first, it is the same write */
        return;
    }
    m->write.is_open = false; /* its version is gone, it can never win */
    if (m->wants_stop)
        step_stop(m, in);
    else
        seek_found(m, in);
}

void take_absent(struct machine *m, const struct input *in)
{
    if (m->wants_stop)
        step_stop(m, in);
    else if (m->write.is_create)
        step_send(m, in);
    else if (check_history(m, in, NULL))
        seek_start(m, in);
}

/* The fate of the write is worth waiting for: if it won, a release spares the successor a ttl. */
void take_stop(struct machine *m, const struct input *in)
{
    (void)in;
    m->wants_stop = true;
}
