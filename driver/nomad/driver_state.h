/* driver_state.h - the bytes that Nomad keeps for us in a task's handle.
 *
 * Written once, at StartTask; may come back to an older or newer driver, damaged, or from another
 * driver. Names the launch and the boot, holds no secret and no pid to be signalled. Pure.
 * Bytes: DESIGN.md. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"

#define DRIVER_STATE_VERSION   1 /* also TaskHandle.version */
#define DRIVER_STATE_BYTES_MAX 2048
#define LAUNCH_NONCE_BYTES     16
#define BOOT_ID_MAX            36 /* text of /proc/sys/kernel/random/boot_id */

struct driver_state {
    char boot_id[BOOT_ID_MAX + 1];
    uint8_t nonce[LAUNCH_NONCE_BYTES];
    int64_t started_wall_ns;
    char alloc_id[129];
    char task_name[129];
};

/** Appends the encoding. */
void driver_state_encode(const struct driver_state *state, struct buf *out);
/** Errors: INVALID not ours or a version we do not know; CORRUPT truncated or damaged. */
MUST_USE bool driver_state_decode(struct view bytes, struct driver_state *out, struct err *err);
