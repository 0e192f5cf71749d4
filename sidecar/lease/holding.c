#include "sidecar/lease/holding.h"

void hold_ack(struct machine *m, const struct input *in)
{
    m->is_unacked = false;
    m->acked = m->arming;
    if (m->arming_ticket > m->proved) {
        m->proved = m->arming_ticket;
        step_act(in->todo, ACT_DONE)->ticket = m->proved;
    }
    if (m->state == MACHINE_ARMING) {
        m->state = MACHINE_HELD;
        (void)step_act(in->todo, ACT_HELD);
    }
    step_go_on(m, in);
}

void hold_nack(struct machine *m, const struct input *in)
{
    struct err why = { 0 };
    (void)err_set(&why, ERR_FENCED, "hold lease \"%.80s\": shim refused the deadline of epoch %lld",
                  m->spec.name, (long long)m->own.epoch);
    step_lose(m, in, &why);
}

void hold_won(struct machine *m, const struct input *in)
{
    step_won(m, in, m->write.sent, in->version);
}

void hold_failed(struct machine *m, const struct input *in)
{
    m->why = *in->err;
    if (m->wants_stop)
        step_stop(m, in);
    else
        step_retry_later(m, in);
}

void hold_bad(struct machine *m, const struct input *in)
{
    if (in->err->kind == ERR_CORRUPT)
        step_fail(m, in);
    else
        hold_failed(m, in); /* a permission may come back; the deadline bounds the wait */
}

static void fenced_by(struct machine *m, const struct input *in)
{
    struct err why = { 0 };
    const struct record *r = in->record;
    (void)err_set(&why, ERR_FENCED,
                  "hold lease \"%.60s\": epoch %lld is over, %lld is held by \"%.60s\"",
                  m->spec.name, (long long)m->own.epoch, (long long)r->epoch, r->holder.node);
    step_lose(m, in, &why);
}

void hold_found(struct machine *m, const struct input *in)
{
    bool is_ours = record_is_held_by(in->record, m->spec.who.instance) &&
                   in->record->epoch == m->own.epoch;
    if (is_ours && step_is_our_write(m, in->record))
        step_won(m, in, m->write.first_sent, in->version);
    else if (is_ours && store_version_is_equal(&m->version, in->version))
        step_send(m, in);
    else if (m->write.record.released && in->record->epoch == m->own.epoch + 1) {
        m->write.record.released = true; /* it was taken, and a successor was waiting */
        step_won(m, in, m->write.first_sent, in->version);
    } else
        fenced_by(m, in);
}

void hold_absent(struct machine *m, const struct input *in)
{
    struct err why = { 0 };
    (void)err_set(&why, ERR_FENCED, "hold lease \"%.80s\": the record of epoch %lld is gone",
                  m->spec.name, (long long)m->own.epoch);
    step_lose(m, in, &why);
}

void hold_release(struct machine *m, const struct input *in)
{
    m->wants_release = true;
    m->state = MACHINE_RELEASING;
    step_go_on(m, in);
}

void arming_stop(struct machine *m, const struct input *in)
{
    m->wants_stop = true;
    m->is_unacked = false; /* no agent was started under it */
    hold_release(m, in);
}
