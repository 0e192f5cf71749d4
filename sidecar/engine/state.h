/* state.h - one agent's state: opened on this machine, then saved again and again.
 *
 * Ties the saver to what it needs: checkpoint on a worker, lease for the commit, shim for the
 * freeze. Knows no order; the engine says when. Made when the lease is held. Loop thread. */
#pragma once
#include "sidecar/config/config.h"
#include "sidecar/engine/health.h"
#include "sidecar/engine/local.h"
#include "sidecar/engine/port.h"
#include "sidecar/engine/saver.h"
#include "sidecar/lease/lease.h"

struct state_spec {
    struct loop *loop;
    const struct clock *clock;
    struct observe *observe;
    const struct sidecar_config *config; /* all borrowed until state_free */
    struct store *packs, *watched;       /* two handles: they are used at one time */
    struct lease *lease;                 /* held */
    struct port *port;
    const char *config_digest;
};

struct state_events {
    /** state_open ended: `found`, and `report` if it restored; or `err`. */
    void (*on_opened)(void *arg, enum local_found found, const struct restore_report *report,
                      const struct err *err);
    /** As in saver.h. */
    void (*on_committed)(void *arg, const struct checkpoint_result *result, bool is_once);
    /** A source is troubled, or (NULL) well: CHECKPOINT, and from state_open on STATE, PACKS, MARK.
     */
    void (*on_health)(void *arg, enum health_source source, const struct err *err);
    void (*on_once)(void *arg, const struct checkpoint_result *result, const struct err *err);
    /** After state_stop: no worker is busy. */
    void (*on_idle)(void *arg);
    void *arg;
};

struct state;
/** Errors: INVALID a pattern in `exclude`; SYSTEM. */
MUST_USE bool state_new(const struct state_spec *spec, const struct state_events *events,
                        struct state **out, struct err *err);
/** After on_idle. Gives the directory's lock back. NULL is fine. */
void state_free(struct state *state);

/** Restores the record's head, or proves a first start. May be repeated after a failure. */
void state_open(struct state *state);
/** Nothing begins any more; on_idle follows, never inside. Later calls do nothing. */
void state_stop(struct state *state, const struct err *why);

/** The agent runs: a checkpoint begins every interval. What it writes from here on and no
 *  checkpoint gets stays marked, when a checkpoint fails or this life ends without the last one. */
void state_run(struct state *state);
/** The agent is gone: the last checkpoint, as saver_once. */
void state_save_last(struct state *state, struct deadline until);

/** Trees that restores put aside; lent until state_free. After on_opened. */
const struct local_unsaved *state_borrow_unsaved(const struct state *state);
/** For wishes and the first checkpoint; lent until state_free. */
struct saver *state_borrow_saver(struct state *state);
/** The checkpoint that the record names now; "" none. Lent until state_free. */
const char *state_borrow_head(const struct state *state);
/** The shim's answer to a freeze. */
void state_on_frozen(struct state *state, uint32_t seq, bool is_frozen);
