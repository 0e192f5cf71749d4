/* watch.h - looks again and again whether what a life stands on is still there.
 *
 * An agent that writes nothing, or to a directory that is no longer the state, is noticed by no
 * checkpoint; so the directory and the store of the packs are looked at by themselves, each on a
 * worker of its own turn. (The register is looked at by every renewal.) A look that does not come
 * back is trouble, too. Loop thread, but for the looks. */
#pragma once
#include "common/loop/loop.h"
#include "sidecar/engine/health.h"

typedef bool watch_look_fn(void *arg, struct err *err); /* false: `err` says what is wrong */

struct watch_spec {
    enum health_source source;
    int64_t every_ms, late_ms; /* from one look's end to the next; when one takes too long */
    watch_look_fn *look;       /* worker; touches nothing that others change */
    /** Loop, after every look, and when it is late: NULL is well. */
    void (*on_health)(void *arg, enum health_source source, const struct err *err);
    /** After watch_stop: no worker is busy. */
    void (*on_idle)(void *arg);
    void *arg;
};

struct watch;
/** Does nothing by itself yet; `clock` is borrowed, `spec` copied. */
struct watch *watch_new(struct loop *loop, const struct clock *clock,
                        const struct watch_spec *spec);
/** Not while a look is under way (asserted). NULL is fine. */
void watch_free(struct watch *watch);

/** Looks now and again and again. Later calls do nothing. */
void watch_start(struct watch *watch);
/** No more looks, nothing is told any more; on_idle follows once, never inside. */
void watch_stop(struct watch *watch);
