#include "sidecar/engine/watch.h"

#include "common/base/own.h"

#include <assert.h>

struct watch {
    struct loop *loop;
    const struct clock *clock;
    struct watch_spec spec;
    struct loop_timer *tick;
    bool is_started, is_stopped;
    bool is_busy; /* then the worker's: */
    bool is_well;
    struct err err;
};

static void job(void *arg)
{
    struct watch *w = arg;
    w->is_well = w->spec.look(w->spec.arg, &w->err);
}

static void arm(struct watch *w, int64_t in_ms)
{
    loop_timer_arm(w->tick, boot_add_ms(clock_boot(w->clock), in_ms));
}

static void on_looked(void *arg)
{
    struct watch *w = arg;
    w->is_busy = false;
    if (w->is_stopped) {
        w->spec.on_idle(w->spec.arg);
        return;
    }
    arm(w, w->spec.every_ms);
    w->spec.on_health(w->spec.arg, w->spec.source, w->is_well ? NULL : &w->err);
}

static void on_tick(void *arg)
{
    struct watch *w = arg;
    arm(w, w->spec.late_ms);
    if (w->is_busy) {
        struct err late;
        (void)err_set(&late, ERR_UNAVAILABLE, "look whether %s: no answer for %lld ms",
                      health_recovered(w->spec.source), (long long)w->spec.late_ms);
        w->spec.on_health(w->spec.arg, w->spec.source, &late);
        return;
    }
    w->is_busy = true;
    w->err = (struct err){ 0 };
    loop_work(w->loop, job, on_looked, w);
}

struct watch *watch_new(struct loop *loop, const struct clock *clock, const struct watch_spec *spec)
{
    struct watch *w = mem_new(struct watch);
    w->loop = loop;
    w->clock = clock;
    w->spec = *spec;
    w->tick = loop_timer_new(loop, on_tick, w);
    return w;
}

void watch_free(struct watch *w)
{
    if (w == NULL)
        return;
    assert(!w->is_busy);
    loop_timer_free(w->tick);
    free(w);
}

void watch_start(struct watch *w)
{
    if (w->is_started || w->is_stopped)
        return;
    w->is_started = true;
    arm(w, 0);
}

static void on_stopped(void *arg)
{
    struct watch *w = arg;
    w->spec.on_idle(w->spec.arg);
}

void watch_stop(struct watch *w)
{
    if (w->is_stopped)
        return;
    w->is_stopped = true;
    loop_timer_cancel(w->tick);
    if (!w->is_busy)
        loop_post(w->loop, on_stopped, w);
}
