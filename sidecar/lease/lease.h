/* lease.h - the right to run one agent: acquired, renewed, proved and given back.
 *
 * Runs the machine of machine.h on the loop: store calls on workers, timers on the boot clock, ARM
 * through the shim port. A lease counts as held, and a commit as done, only after the write has won
 * *and* the shim has acknowledged the new deadline. Losing is final: a new lease object means a new
 * instance and a higher epoch. Several leases may live in one process. Rules: DESIGN.md. */
#pragma once
#include "common/base/deadline.h"
#include "common/loop/loop.h"
#include "sidecar/lease/record.h"
#include "sidecar/store/store.h"

#define LEASE_TTL_MIN_MS    1000
#define LEASE_TTL_MAX_MS    86400000
#define LEASE_MARGIN_MIN_MS 200
#define LEASE_TTL_MS        15000 /* the default */

struct lease;
struct keyring;    /* sidecar/crypto */
struct agent_keys; /* sidecar/crypto */

/* The shim, as the lease sees it. The owner of the shim channel passes acknowledgements to
 * lease_on_arm_ack. `arm` and `fence` never block and never call back. */
struct lease_shim {
    void (*arm)(void *arg, uint64_t seq, int64_t epoch, struct deadline deadline);
    void (*fence)(void *arg, const char *why);
    void *arg;
};

/* Whom a standby waits for. Lent during the call. */
struct lease_waiting {
    const struct record *record; /* NULL: none was read yet */
    int64_t left_ms;             /* until takeover if the record does not change */
    bool is_answering;           /* false: the store does not answer now, `err` says why */
    const struct err *err;
};

/* What was acquired. Lent during the call. */
struct lease_held {
    int64_t epoch;
    const struct record *record; /* ours, head included */
    const struct record *before; /* the predecessor's, or NULL; tells whose secrets to revoke */
    bool is_first;               /* there was no record: the agent has no history */
    struct deadline deadline;    /* for GATE_OPEN: acknowledged by the shim */
};

/* Called on the loop, never inside a call into this module. on_held and on_lost at most once. */
struct lease_events {
    void (*on_waiting)(void *arg, const struct lease_waiting *waiting);
    void (*on_held)(void *arg, const struct lease_held *held);
    void (*on_lost)(void *arg, const struct err *err);
    void *arg;
};

struct lease_spec {
    const char *name;          /* of the agent; copied */
    int64_t ttl_ms, margin_ms; /* margin 0: a fifth of ttl, at least the floor */
    int64_t min_epoch;         /* of the newest verifiable manifest; 0: none (G4) */
    int64_t min_sequence;      /* highest of any pack in the store, listed before; 0: none (G4) */
    const struct record_holder *who; /* `instance` is ignored: a fresh one is drawn; copied */
    const char *config_digest;       /* hex or NULL; copied */
    const char *artifact_digest;     /* hex or NULL; copied */
    struct store *store;             /* borrowed until lease_free; used by this lease alone */
    const struct clock *clock;       /* borrowed */
};

/** Checks what a person may get wrong: ttl and margin floors, the name. Errors: INVALID. */
MUST_USE bool lease_spec_check(const struct lease_spec *spec, struct err *err);

/** A lease that does nothing yet; `spec` has been checked (asserted). `keyring` is borrowed. */
struct lease *lease_new(struct loop *loop, const struct lease_spec *spec,
                        const struct keyring *keyring, const struct lease_shim *shim,
                        const struct lease_events *events);
/** After on_stopped, or never started. NULL is fine. */
void lease_free(struct lease *lease);

/** Starts acquiring. Ends in on_held, on_lost, or lease_stop. A standby waits for ever, and says
 *  so by on_waiting: at the first sight of a holder, at each new holder, when the store stops
 *  answering and when it answers again. */
void lease_start(struct lease *lease);

/* `err` is NULL on success. Kinds: FENCED (lost, or not held any more), UNAVAILABLE. */
typedef void lease_done_fn(void *arg, const struct err *err);

/** Makes `head` the agent's newest checkpoint; NULL only proves that the lease is held now. `done`
 *  runs exactly once. Requests queue; those waiting are written together. A head whose sequence is
 *  not above the queued and committed ones is a bug (asserted). */
void lease_commit(struct lease *lease, const struct record_head *head, lease_done_fn *done,
                  void *arg);

/** Gives the lease back after the queued commits; no renewal follows. `done` with NULL: a successor
 *  may start at once. Only when the agent is gone. */
void lease_release(struct lease *lease, lease_done_fn *done, void *arg);

/** Ends without releasing what is held (the record then expires); a lease that is still waiting
 *  leaves nothing behind. Queued commits fail. `on_stopped` runs once, when no store call is under
 *  way; no callback follows it. */
void lease_stop(struct lease *lease, loop_fn *on_stopped, void *arg);

/** From the owner of the shim channel: what the shim answered to `arm`. */
void lease_on_arm_ack(struct lease *lease, uint64_t seq, bool accepted);

/** Milliseconds until the acknowledged deadline; 0 when not held. */
int64_t lease_left_ms(const struct lease *lease);
/** The epoch held; 0 when not held. */
int64_t lease_epoch(const struct lease *lease);
/** The newest committed record (head included); NULL before on_held. Lent until the next turn. */
const struct record *lease_borrow_record(const struct lease *lease);
/** The agent's keys; NULL before on_held. Lent until lease_free. */
const struct agent_keys *lease_borrow_keys(const struct lease *lease);
/** Why the store does not do what is asked now; NULL when it does. Lent until the next turn. */
const struct err *lease_trouble(const struct lease *lease);
