/* exit_record.h - how a task ended, as fixed bytes: the shim's last word, on disk and on the wire.
 *
 * Published durably by the shim before it reports EXITED, read by any later driver. Decoding trusts
 * nothing: wrong size, magic, checksum or value is CORRUPT. Format: proto/shim.md, section 4. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/time.h"

#define SHIM_NONCE_BYTES 16
#define SHIM_TEXT_MAX    200 /* bytes of UTF-8 in one message; cut at a character */

/* Of START_REFUSED exit_code is the sidecar's; of EXEC_FAILED stage and os_errno say where. */
#define EXIT_CAUSES(X) /* cause, number on the wire, what happened, for people */        \
    X(EXITED, 1, "the agent ended by itself")                                            \
    X(SIGNALED, 2, "the agent died of a signal, which nobody of ours sent")              \
    X(STOPPED, 3, "asked to stop, and it ended in time")                                 \
    X(KILLED, 4, "asked to stop, and it had to be killed; or asked to kill")             \
    X(FENCED, 5, "the right to run was lost or ran out; frozen and killed")              \
    X(SIDECAR_LOST, 6, "the sidecar died under a running agent, which was then stopped") \
    X(START_REFUSED, 7, "the sidecar gave up before the agent could start")              \
    X(EXEC_FAILED, 8, "the agent could not be started")                                  \
    X(SHIM_ERROR, 9, "the supervisor could not do its work")

#define EXIT_CAUSE_ENUM(cause, number, text) EXIT_##cause = (number),
enum exit_cause { EXIT_NONE, EXIT_CAUSES(EXIT_CAUSE_ENUM) EXIT_CAUSE_END };

struct exit_record {
    uint8_t nonce[SHIM_NONCE_BYTES]; /* of the launch that ended */
    enum exit_cause cause;
    int32_t exit_code; /* 128 + signal when a signal ended it */
    int32_t signal;    /* 0 when none */
    bool oom_killed;
    uint8_t done_kind;   /* enum err_kind: how the sidecar's own end went; 0 good or no sidecar */
    uint8_t containment; /* SHIM_CONTAINED_* in force */
    uint8_t stage;       /* EXEC_FAILED: where; proc_stage_name or isolation_stage_name */
    int32_t os_errno;    /* EXEC_FAILED, SHIM_ERROR; else 0 */
    uint32_t agent_pid;  /* 0 when no agent was started */
    uint64_t agent_start_ticks;
    struct wall started, ended; /* of the agent, or of the shim when there was none */
    uint64_t epoch;             /* 0 without a lease */
    char message[SHIM_TEXT_MAX + 1];
};

#define EXIT_RECORD_BYTES 288

/** The record's bytes; the same record gives the same bytes. */
void exit_record_encode(const struct exit_record *rec, uint8_t out[EXIT_RECORD_BYTES]);

/** Errors: CORRUPT. */
MUST_USE bool exit_record_decode(struct view bytes, struct exit_record *out, struct err *err);

/** "EXITED", ...; "NONE" for EXIT_NONE. Static. */
const char *exit_cause_name(enum exit_cause cause);

/** What happened, as one static line for people. */
const char *exit_cause_text(enum exit_cause cause);

/** The exit code of a whole run: the agent's own, or the product's when the product ended it (79
 *  FENCED, 75 SIDECAR_LOST, ...). 0 only when the agent returned 0 and its state is safe. */
int exit_record_status(const struct exit_record *rec);
