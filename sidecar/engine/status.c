#include "sidecar/engine/status.h"

#include <stdio.h>

static void fill_state(const struct status_parts *p, struct engine_status *out)
{
    const struct saver *saver = state_borrow_saver(p->state);
    const char *id = saver_borrow_head(saver, &out->sequence);
    struct boot cut;
    out->unsaved_count = state_borrow_unsaved(p->state)->count;
    out->unsaved = state_borrow_unsaved(p->state)->newest;
    out->has_checkpoint = id[0] != '\0';
    (void)snprintf(out->checkpoint_id, sizeof out->checkpoint_id, "%s", id);
    if (saver_last_cut(saver, &cut))
        out->age_ms = boot_diff_ms(p->now, cut);
    if (p->agent_pid != 0)
        out->rpo_ms = out->age_ms >= 0 ? out->age_ms : boot_diff_ms(p->now, p->opened_at);
}

void status_fill(const struct status_parts *p, struct engine_status *out)
{
    const bool is_waiting = p->phase == LIFE_LEASING;
    *out = (struct engine_status){
        .name = p->config->name,
        .node = p->node,
        .state = p->phase,
        .holder = is_waiting ? p->news->holder : "",
        .holder_epoch = is_waiting ? p->news->holder_epoch : 0,
        .age_ms = -1,
        .agent_pid = p->agent_pid,
        .unsaved = "",
        .degraded = health_why(&p->news->health),
    };
    if (p->lease != NULL) {
        out->epoch = lease_epoch(p->lease);
        out->lease_left_ms = lease_left_ms(p->lease);
    }
    if (p->state != NULL)
        fill_state(p, out);
}
