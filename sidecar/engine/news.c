#include "sidecar/engine/news.h"

#include <stdio.h>

void news_trouble(struct news *n, enum health_source source, const struct err *err)
{
    if (!health_trouble(&n->health, source, err))
        return;
    n->observe->degraded = 1;
    n->observe->outages++;
    port_event(n->port, "degraded: %s", err->msg);
}

void news_clear(struct news *n, enum health_source source)
{
    if (!health_clear(&n->health, source))
        return;
    n->observe->degraded = health_why(&n->health)[0] != '\0';
    port_event(n->port, "recovered: %s", health_recovered(source));
}

void news_standby(struct news *n, const char *node, int64_t epoch)
{
    if (epoch == n->holder_epoch && strcmp(node, n->holder) == 0)
        return;
    (void)snprintf(n->holder, sizeof n->holder, "%s", node);
    n->holder_epoch = epoch;
    port_event(n->port, "standby: waiting for the lease held by %s (epoch %lld)", node,
               (long long)epoch);
}

void news_restored(struct news *n, const struct restore_report *report)
{
    const char *id = report->id;
    n->observe->restores++;
    n->observe->restore_us = report->spent_us;
    port_event(n->port, "restored checkpoint %s in %lld ms", id,
               (long long)report->spent_us / 1000);
    if (report->is_old_kept)
        port_event(n->port, "the replaced tree was kept: %s", report->left_behind);
}

void news_unsaved(struct news *n, const struct local_unsaved *u)
{
    if (u->is_new)
        port_event(n->port, "unsaved state was kept: %s: %s", u->newest, u->why);
    else if (u->count > 0)
        port_event(n->port, "unsaved state is still kept: %s%s", u->newest,
                   u->count > 1 ? " and others" : "");
}

void news_committed(struct news *n, const struct checkpoint_result *result, bool is_final,
                    struct boot now)
{
    n->commits++;
    bool is_due = n->commits == 1 || boot_diff_ms(now, n->told_at) >= NEWS_COMMIT_MS;
    if (!is_final && !is_due)
        return;
    n->told_at = now;
    port_event(n->port, "%scheckpoint %s committed: sequence %lld", is_final ? "final " : "",
               result->id, (long long)result->sequence);
}

void news_failed(struct news *n, const struct err *why)
{
    port_event(n->port, "failed: %s", why->msg);
}

void news_fenced(struct news *n, const struct err *why)
{
    port_event(n->port, "fenced: %s", why->msg);
}

void news_released(struct news *n, int64_t epoch, const struct err *err)
{
    if (err == NULL)
        port_event(n->port, "lease released: epoch %lld", (long long)epoch);
    else /* everything is committed: a successor only waits longer */
        port_event(n->port, "lease not released: %s", err->msg);
}
