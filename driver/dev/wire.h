/* wire.h - what goes between agent-dev and a plugin, as plain values.
 *
 * The handshake line and the few messages a client needs; the generated types stay in the .c.
 * Replies come from a program that may be broken: each is checked, and INVALID says what it lacks.
 * Pure. Field numbers and rules: DESIGN.md, section 2. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"

struct spec;

#define HANDSHAKE_LINE_MAX 4096
#define HANDSHAKE_PATH_MAX 107 /* sun_path without its NUL */
#define WIRE_TEXT_BYTES    512

/** Reads "1|2|unix|/path|grpc|" (without its line end); `path` has room for HANDSHAKE_PATH_MAX + 1.
 *  Errors: INVALID, naming what differs. */
MUST_USE bool handshake_decode(struct view line, char *path, struct err *err);

/** Replies; each fails with INVALID when malformed. PluginInfo must be of the driver "agent" with
 *  API v0.1.0; `version` gets its version. */
MUST_USE bool wire_info(struct view reply, char version[WIRE_TEXT_BYTES], struct err *err);
/** ConfigSchema and TaskConfigSchema; the caller owns `*out`. */
MUST_USE bool wire_schema(struct view reply, struct spec **out, struct err *err);
/** Capabilities: does the driver make the task's file system itself? */
MUST_USE bool wire_capabilities(struct view reply, bool *is_image, struct err *err);
/** StartTask: must have a handle with a config. */
MUST_USE bool wire_started(struct view reply, struct err *err);

struct wire_health {
    bool is_healthy;
    char description[WIRE_TEXT_BYTES];
};
/** A message of Fingerprint. */
MUST_USE bool wire_health(struct view message, struct wire_health *out, struct err *err);
/** The text of a message of TaskEvents. */
MUST_USE bool wire_event(struct view message, char text[WIRE_TEXT_BYTES], struct err *err);

struct wire_result {
    int exit_code;
    bool oom_killed;
    char err[WIRE_TEXT_BYTES]; /* of the driver; "" none */
};
/** WaitTask: must have a result. */
MUST_USE bool wire_result(struct view reply, struct wire_result *out, struct err *err);
/** InspectTask: true when the agent's program runs (not standby, not stopping). */
bool wire_is_running(struct view reply);

/** Requests, appended. SetConfig is the final one, with nomad_config. */
void wire_put_config(struct buf *out, struct view msgpack);
void wire_put_start(struct buf *out, struct view task_config);
/** WaitTask and InspectTask. */
void wire_put_id(struct buf *out, const char *task_id);
void wire_put_destroy(struct buf *out, const char *task_id);
void wire_put_stop(struct buf *out, const char *task_id, int64_t timeout_ms, const char *signal);
