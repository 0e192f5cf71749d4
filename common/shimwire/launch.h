/* launch.h - the launch record: what the driver puts on disk before it spawns a shim.
 *
 * Written durably at <state_dir>/tasks/<key>/launch, so that a driver that died between spawn and
 * reply can find the shim again, prove it is the same task, and never start a second one. Values
 * only; the caller does the I/O. Format: proto/shim.md, section 3. */
#pragma once
#include "common/base/buf.h"
#include "common/base/time.h"
#include "common/shimwire/exit_record.h"

#define LAUNCH_BYTES_MAX   4096
#define LAUNCH_BOOT_ID_MAX 36 /* text of /proc/sys/kernel/random/boot_id without its newline */
#define LAUNCH_ID_MAX      512
#define LAUNCH_PATH_MAX    1024

struct launch {
    char alloc_id[LAUNCH_ID_MAX + 1];
    char task_name[LAUNCH_ID_MAX + 1];
    char task_id[LAUNCH_ID_MAX + 1];
    char cgroup_dir[LAUNCH_PATH_MAX + 1]; /* what a dead shim may have left; "" none */
    char boot_id[LAUNCH_BOOT_ID_MAX + 1];
    uint8_t nonce[SHIM_NONCE_BYTES];
    struct wall at;
};

/** Appends the record's bytes. Errors: INVALID a text longer than its field allows. */
MUST_USE bool launch_encode(const struct launch *launch, struct buf *out, struct err *err);

/** Errors: CORRUPT. */
MUST_USE bool launch_decode(struct view bytes, struct launch *out, struct err *err);
