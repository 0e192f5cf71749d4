/* machine.h - the decisions of a lease: inputs are instants and results, outputs are actions.
 *
 * Pure: no clock, no store, no memory of its own beyond the struct. Whoever runs it carries out the
 * actions in their order and feeds back what happened. Every call takes `now` on the boot clock and
 * fills `todo`. Private to this room and to sidecar/simulate. States and invariants: DESIGN.md. */
#pragma once
#include "common/base/deadline.h"
#include "sidecar/lease/record.h"
#include "sidecar/store/store.h"

/* clang-format off */
#define MACHINE_STATES(X)                                                                          \
    X(IDLE) X(SEEKING) X(TAKING) X(ARMING) X(HELD) X(RELEASING) X(RELEASED) X(LOST) X(STOPPED)
#define MACHINE_EVENTS(X)                                                                          \
    X(START) X(READ_FOUND) X(READ_ABSENT) X(READ_FAILED) X(READ_BAD)                               \
    X(WRITE_WON) X(WRITE_CONFLICT) X(WRITE_UNKNOWN) X(WRITE_REFUSED)                               \
    X(ACK) X(NACK) X(TIMER) X(COMMIT) X(RELEASE) X(STOP)
/* clang-format on */

#define MACHINE_STATE_ENUM(name) MACHINE_##name,
enum machine_state { MACHINE_STATES(MACHINE_STATE_ENUM) MACHINE_STATE_COUNT };
#define MACHINE_EVENT_ENUM(name) MACHINE_ON_##name,
enum machine_event { MACHINE_EVENTS(MACHINE_EVENT_ENUM) MACHINE_EVENT_COUNT };

enum machine_act {
    ACT_READ,     /* read; when `has_seen`, first wait in the store's watch for a change */
    ACT_WRITE,    /* create or replace with `m->write.record` */
    ACT_ARM,      /* tell the shim */
    ACT_FENCE,    /* tell the shim to end the agent: `err` */
    ACT_WAITING,  /* tell the owner whom it waits for: `m->seen`; or `err`: store does not answer */
    ACT_HELD,     /* tell the owner: held, from `m->own` */
    ACT_DONE,     /* commits up to `ticket` are durable and proved */
    ACT_RELEASED, /* the release asked for is done */
    ACT_LOST,     /* tell the owner: `err`; commits and release not yet done fail with it */
    ACT_STOPPED   /* nothing follows */
};

struct machine_action {
    enum machine_act what;
    uint64_t call;                /* READ, WRITE: hand back with the result */
    struct deadline until;        /* READ, WRITE: of the call; ARM: the deadline */
    bool has_seen;                /* READ */
    struct store_version version; /* READ: seen; WRITE: expected */
    bool is_create;               /* WRITE */
    struct deadline watch;        /* READ: end of the wait */
    uint64_t seq;                 /* ARM */
    int64_t epoch;                /* ARM */
    uint64_t ticket;              /* DONE */
};

#define MACHINE_ACTIONS_MAX 6
struct machine_todo {
    struct machine_action list[MACHINE_ACTIONS_MAX];
    size_t count;
};

struct machine_spec {
    const char *name; /* borrowed: outlives the machine */
    int64_t ttl_ms, margin_ms;
    int64_t min_epoch, min_sequence;
    struct record_holder who;                    /* with a fresh random instance */
    uint8_t wrapped_key[RECORD_WRAPPED_BYTES];   /* for the first record */
    const char *config_digest, *artifact_digest; /* borrowed, may be NULL */
};

/* A write whose fate is not known yet. */
struct machine_write {
    bool is_open, is_create, is_sent; /* is_sent: at least once, so it may have won */
    struct store_version expected;
    struct boot first_sent, sent;
    struct record record;
    uint64_t ticket; /* commits it carries */
};

struct machine {
    struct machine_spec spec;
    enum machine_state state;
    struct err why; /* of LOST; the store's answer in SEEKING */
    /* the register as last seen */
    bool has_seen;
    struct record seen;
    struct store_version version;
    struct boot first_seen;  /* when this version was first received */
    int64_t top_epoch;       /* highest ever seen */
    int64_t top_sequence;    /* of a head, highest ever seen */
    int64_t rtt_ms;          /* of the last read */
    bool is_told, is_silent; /* on_waiting: this holder; that the store does not answer */
    /* the call under way */
    enum machine_call { CALL_NONE, CALL_READ, CALL_WRITE } call;
    uint64_t call_seq;
    struct boot call_sent;
    bool is_watching;  /* READ: it waits in the store, so it measures no round trip */
    unsigned failures; /* in a row */
    struct boot retry_at;
    struct machine_write write;
    uint64_t nonces;
    /* what is held */
    struct record own; /* the last that won */
    bool is_first;     /* no record was there before */
    struct boot base;  /* send time of the last write that won */
    struct deadline acked;
    uint64_t arm_seq;
    bool is_unacked;
    struct deadline arming; /* the deadline that ARM carried last */
    /* commits */
    uint64_t asked, proved, arming_ticket;
    bool has_head, wants_release, wants_stop;
    struct record_head head; /* newest asked for */
};

/** Sets up an idle machine. `spec` is copied, its strings are borrowed. */
void machine_init(struct machine *m, const struct machine_spec *spec);

/** Starts acquiring. */
void machine_start(struct machine *m, struct boot now, struct machine_todo *todo);

/** The result of the READ that had `call`: `err` NULL and a record, or its error (NOT_FOUND:
 * absent). Results of other calls are dropped. */
void machine_on_read(struct machine *m, struct boot now, uint64_t call, const struct err *err,
                     const struct record *record, const struct store_version *version,
                     struct machine_todo *todo);
/** The result of the WRITE that had `call`: `err` NULL and its new version, or its error. */
void machine_on_write(struct machine *m, struct boot now, uint64_t call, const struct err *err,
                      const struct store_version *version, struct machine_todo *todo);
/** The shim's answer to ARM `seq`. */
void machine_on_ack(struct machine *m, struct boot now, uint64_t seq, bool accepted,
                    struct machine_todo *todo);
/** The instant of machine_wake has come (or any other instant: early calls are harmless). */
void machine_on_timer(struct machine *m, struct boot now, struct machine_todo *todo);
/** Queues a commit; returns its ticket, or 0 when the lease is not held. `head` NULL: only proof.
 */
uint64_t machine_commit(struct machine *m, struct boot now, const struct record_head *head,
                        struct machine_todo *todo);
/** Asks for the release; false when there is nothing to release. */
bool machine_release(struct machine *m, struct boot now, struct machine_todo *todo);
/** Ends; STOPPED follows, at once or when the fate of a taking write is known. */
void machine_stop(struct machine *m, struct boot now, struct machine_todo *todo);

/** When machine_on_timer must be called at the latest; false: no timer is needed. */
bool machine_wake(const struct machine *m, struct boot *out_at);
/** True in ARMING, HELD and RELEASING. */
bool machine_is_holder(const struct machine *m);
/** When the wait for the holder ends if nothing changes. */
struct boot machine_takeover_at(const struct machine *m);
/** "HELD" and so on; "READ_FOUND" and so on. */
const char *machine_state_name(enum machine_state state);
const char *machine_event_name(enum machine_event event);
/** True when the table decides this pair (it always does; the test proves it). */
bool machine_decides(enum machine_state state, enum machine_event event);
