/* launch.h - the launch record: what the driver puts on disk before it spawns a shim.
 *
 * Written durably at <state_dir>/tasks/<key>/launch, so that a driver that died between spawn and
 * reply can find the shim again, prove it is the same task, and never start a second one; and so
 * that a later driver knows what an exec into the task needs. No environment. Values only; the
 * caller does the I/O. Format: proto/shim.md, section 3. */
#pragma once
#include "common/base/buf.h"
#include "common/base/time.h"
#include "common/shimwire/exit_record.h"
#include "common/shimwire/parts.h"

#define LAUNCH_BYTES_MAX   32768
#define LAUNCH_BOOT_ID_MAX 36 /* text of /proc/sys/kernel/random/boot_id without its newline */
#define LAUNCH_ID_MAX      512
#define LAUNCH_PATH_MAX    1024
#define LAUNCH_DIR_MAX     4095

struct launch_inside { /* who and where the agent is */
    bool is_known;     /* false: an older driver wrote the record, version 1 */
    uint32_t uid, gid;
    uint32_t groups[SHIM_SPEC_GROUPS_MAX];
    uint32_t group_count;
    char cwd[LAUNCH_DIR_MAX + 1];
    char agent_name[LAUNCH_ID_MAX + 1];    /* "" and ... */
    char state_path[LAUNCH_DIR_MAX + 1];   /* ... "": it has no sidecar */
    uint8_t isolation[SHIM_SPEC_PLAN_MAX]; /* plan bytes of driver/isolation */
    uint32_t isolation_len;
};

struct launch {
    char alloc_id[LAUNCH_ID_MAX + 1];
    char task_name[LAUNCH_ID_MAX + 1];
    char task_id[LAUNCH_ID_MAX + 1];
    char cgroup_dir[LAUNCH_PATH_MAX + 1]; /* what a dead shim may have left; "" none */
    char boot_id[LAUNCH_BOOT_ID_MAX + 1];
    uint8_t nonce[SHIM_NONCE_BYTES];
    struct wall at;
    struct launch_inside inside;
};

/** Appends the record's bytes: version 2, or 1 when what is inside is not known. Errors: INVALID a
 *  field longer than allowed. */
MUST_USE bool launch_encode(const struct launch *launch, struct buf *out, struct err *err);

/** True when the bytes are whole and of a version after ours: somebody else's to use and to remove.
 *  Every version begins with magic and version and ends with the checksum. */
bool launch_is_later(struct view bytes);

/** Reads both versions. Errors: CORRUPT, also of a version that is not known here. */
MUST_USE bool launch_decode(struct view bytes, struct launch *out, struct err *err);
