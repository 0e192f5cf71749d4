/* oom.h - what the kernel killed for memory in the agent's cgroup, and when we were told.
 *
 * v2: memory.events, which becomes POLLPRI-readable. v1: memory.oom_control counts, and an eventfd
 * tells, a moment before the kill: so the counter is read again for a while. Allocates nothing; a
 * cgroup that cannot be watched has no kills. Kernel doc: cgroup-v2, cgroup-v1/memory. */
#pragma once
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/base/fd.h"
#include "common/base/time.h"

#define SHIM_OOM_LOOK_MS   50  /* between two looks at a counter that is about to grow */
#define SHIM_OOM_RECENT_MS 500 /* an end so soon after a kill is the kill's doing */

struct shim_oom {
    struct fd counter; /* FD_NONE: nothing is watched */
    struct fd told;    /* v1: eventfd */
    uint64_t before;   /* when it was opened: an earlier run's */
    uint64_t kills;    /* since then, as last read */
    uint64_t survived; /* of them, those that the main process has outlived by RECENT_MS */
    struct boot at;    /* when `kills` last grew, or we were told that it will; ns 0 never */
};
#define SHIM_OOM_NONE ((struct shim_oom){ .counter = FD_NONE, .told = FD_NONE })

/** Watches cgroup directory `dir`; "" nothing. */
void shim_oom_open(struct shim_oom *oom, const char *dir);
void shim_oom_close(struct shim_oom *oom);

/** What to poll for. */
struct pollfd shim_oom_poll(const struct shim_oom *oom);

/** How long poll may sleep: -1, or until something will be decided. */
int shim_oom_wait_ms(const struct shim_oom *oom, struct boot now);

/** Reads the counter, re-arms the poll. True when the main process has outlived kills that were not
 *  told yet: `*out_kills` of them. */
bool shim_oom_look(struct shim_oom *oom, struct boot now, uint64_t *out_kills);

/** True when a process was killed for memory so lately that an end right now is its doing; reads
 *  the counter. */
bool shim_oom_is_recent(struct shim_oom *oom, struct boot now);
