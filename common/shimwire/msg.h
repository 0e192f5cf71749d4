/* msg.h - the shim's messages as bytes, one SOCK_SEQPACKET datagram each.
 *
 * Spoken by the shim with its sidecar (inherited socketpair) and with the driver (control socket).
 * Plain values: nothing here allocates or does I/O, so the shim may use all of it. Fields of the
 * wire are little-endian, at most SHIM_MSG_MAX bytes. Golden bytes: proto/shim.md. */
#pragma once
#include "common/shimwire/exit_record.h"

#define SHIM_VERSION     1
#define SHIM_MSG_MAX     512
#define SHIM_ID_MAX      64 /* a checkpoint id */
#define SHIM_NO_DEADLINE INT64_MAX

/* Directions, as a mask in the table below. */
#define SHIM_SIDECAR_SENDS 1  /* sidecar -> shim */
#define SHIM_TELLS_SIDECAR 2  /* shim -> sidecar */
#define SHIM_DRIVER_SENDS  4  /* driver -> shim */
#define SHIM_TELLS_DRIVER  8  /* shim -> driver */
#define SHIM_EXEC_TELLS    16 /* the helper of one exec -> the driver that started it */

/* A reader accepts a type only on the directions named here. */
#define SHIM_MSGS(X) /* type, number, directions */     \
    X(HELLO, 1, SHIM_TELLS_SIDECAR | SHIM_DRIVER_SENDS) \
    X(EVENT, 2, SHIM_SIDECAR_SENDS | SHIM_TELLS_DRIVER) \
    X(ARM, 3, SHIM_SIDECAR_SENDS)                       \
    X(GATE_OPEN, 4, SHIM_SIDECAR_SENDS)                 \
    X(FENCE, 5, SHIM_SIDECAR_SENDS)                     \
    X(FREEZE, 6, SHIM_SIDECAR_SENDS)                    \
    X(THAW, 7, SHIM_SIDECAR_SENDS)                      \
    X(DONE, 8, SHIM_SIDECAR_SENDS)                      \
    X(ARM_ACK, 16, SHIM_TELLS_SIDECAR)                  \
    X(FROZEN, 17, SHIM_TELLS_SIDECAR)                   \
    X(THAWED, 18, SHIM_TELLS_SIDECAR)                   \
    X(AGENT_STARTED, 19, SHIM_TELLS_SIDECAR)            \
    X(AGENT_EXITED, 20, SHIM_TELLS_SIDECAR)             \
    X(STOPPING, 21, SHIM_TELLS_SIDECAR)                 \
    X(SIGNAL, 32, SHIM_DRIVER_SENDS)                    \
    X(STOP, 33, SHIM_DRIVER_SENDS)                      \
    X(KILL, 34, SHIM_DRIVER_SENDS)                      \
    X(STATE, 48, SHIM_TELLS_DRIVER)                     \
    X(EXITED, 49, SHIM_TELLS_DRIVER)                    \
    X(EXEC_ENDED, 64, SHIM_EXEC_TELLS)

#define SHIM_MSG_ENUM(type, number, directions) SHIM_##type = (number),
enum shim_msg_type { SHIM_MSGS(SHIM_MSG_ENUM) };

#define SHIM_PHASES(X)         /* phase, number, text for people */                  \
    X(STANDBY, 1, "standby")   /* no agent yet: waiting for the gate */              \
    X(STARTING, 2, "starting") /* the agent's process exists, not yet its program */ \
    X(RUNNING, 3, "running")                                                         \
    X(STOPPING, 4, "stopping") /* the kill signal was sent */                        \
    X(KILLING, 5, "killing")                                                         \
    X(CLOSING, 6, "closing") /* no agent any more; the sidecar finishes */           \
    X(ENDED, 7, "ended")

#define SHIM_PHASE_ENUM(phase, number, text) SHIM_PHASE_##phase = (number),
enum shim_phase { SHIM_PHASES(SHIM_PHASE_ENUM) };

/* What makes the whole tree die with the shim, and what kills it; a mask. */
#define SHIM_CONTAINED_PIDNS    1 /* PID namespace whose init dies with the shim: complete */
#define SHIM_CONTAINED_CGROUP   2 /* cgroup v2: freeze and kill reach every descendant */
#define SHIM_CONTAINED_PDEATH   4 /* only the main process dies with the shim */
#define SHIM_CONTAINED_MOUNTS   8 /* a mount namespace of its own */
#define SHIM_CONTAINED_SECCOMP  16
#define SHIM_CONTAINED_LANDLOCK 32

struct shim_msg {
    enum shim_msg_type type;
    uint32_t seq; /* chosen by the asker, repeated in the reply: ARM, GATE_OPEN, FREEZE, THAW */
    union {
        struct {
            uint8_t nonce[SHIM_NONCE_BYTES];
            char api[SHIM_TEXT_MAX + 1]; /* path of the agent's API socket; "" from the driver */
        } hello;
        struct {
            char text[SHIM_TEXT_MAX + 1];
        } event, fence;
        struct {
            uint64_t epoch;
            int64_t deadline_ns; /* CLOCK_BOOTTIME, or SHIM_NO_DEADLINE */
            char
                restored[SHIM_ID_MAX + 1]; /* GATE_OPEN only: checkpoint id, "" for a first start */
        } arm;                             /* ARM and GATE_OPEN; the answer is ARM_ACK */
        struct {
            uint32_t max_ms; /* the shim thaws by itself after this; at most SHIM_FREEZE_MAX_MS */
        } freeze;
        struct {
            uint8_t kind; /* enum err_kind: 0 all is durable and released; else text says why not */
            char text[SHIM_TEXT_MAX + 1];
        } done;
        struct {
            bool ok; /* ARM_ACK: accepted; FROZEN: all is frozen; THAWED: was frozen until now */
        } reply;
        struct {
            uint32_t pid;
        } started;
        struct {
            int32_t exit_code, signal;
        } exited; /* AGENT_EXITED: the whole tree is gone */
        struct {
            uint32_t left_ms; /* until everything, sidecar included, is killed */
        } stopping;
        struct {
            int32_t signo;
        } signal;
        struct {
            int32_t signo;       /* 0: the spec's */
            uint32_t timeout_ms; /* for agent and sidecar together; UINT32_MAX: the spec's */
        } stop;
        struct {
            uint8_t nonce[SHIM_NONCE_BYTES];
            enum shim_phase phase;
            uint8_t containment;          /* SHIM_CONTAINED_* */
            uint32_t shim_pid, agent_pid; /* agent_pid 0: none yet, or no more */
            uint64_t shim_start_ticks, agent_start_ticks;
            uint64_t epoch;
            int64_t deadline_ns;
            struct wall started;          /* the agent's program; 0 before */
            char text[SHIM_TEXT_MAX + 1]; /* the newest EVENT, "" if none */
        } state;
        struct {
            bool recorded; /* false: the exit record could not be written, this is all there is */
            struct exit_record record;
        } end; /* EXITED: nothing of the task is left, its log descriptors are closed */
        struct {
            uint8_t kind; /* enum err_kind: 0 it ran; else it did not, and text says why */
            int32_t exit_code, signal;
            bool oom_killed;
            char text[SHIM_TEXT_MAX + 1];
        } exec; /* EXEC_ENDED: nothing of the exec is left */
    };
};

#define SHIM_FREEZE_MAX_MS 5000 /* longer pauses are an outage, not a cut */

/** Bytes of `msg` into `out`; returns how many (<= SHIM_MSG_MAX). Text is made clean and short. */
size_t shim_msg_encode(const struct shim_msg *msg, uint8_t out[SHIM_MSG_MAX]);

/** One datagram that came on `direction` (exactly one SHIM_*_SENDS or SHIM_TELLS_*). Unclean text
 *  is cleaned, not refused: a FENCE with a bad byte is a FENCE. Bytes behind the last field are a
 *  later build's and are left alone. Errors: NOT_FOUND a type of a later build: to be passed over;
 *  CORRUPT not a message, or of another version; DENIED a message that this peer may not send. */
MUST_USE bool shim_msg_decode(struct view bytes, unsigned direction, struct shim_msg *out,
                              struct err *err);

/** "ARM", "STATE", ...; "?" for a number that is no type. Static. */
const char *shim_msg_name(enum shim_msg_type type);

/** "standby", "running", ...; static. */
const char *shim_phase_name(enum shim_phase phase);

/** Copies `text` into `out` (SHIM_TEXT_MAX + 1 bytes), unclean bytes as '?'. What does not fit is
 *  cut at a character and ends in "...", so that nobody takes a part for the whole. */
void shim_text_copy(char out[SHIM_TEXT_MAX + 1], const char *text);
