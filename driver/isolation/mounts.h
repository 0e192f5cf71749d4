/* mounts.h - a mount namespace of the child's own, with what the plan wants in it.
 *
 * By the new mount interface (Linux 5.12): sources are held by descriptor before anything moves,
 * targets are resolved beneath their root without symbolic links and attached by descriptor, so
 * that nobody can put something else in between. In the child: async-signal-safe. */
#pragma once
#include <stdbool.h>

struct isolation_failure;
struct isolation_plan;

/** True when this kernel and these privileges can do it; asks without changing anything. */
bool isolation_can_mount(void);

/** Makes the namespace and everything in it; nothing when the plan's mounts are the host's.
 *  Returns false with `out` filled. */
bool isolation_mounts_apply(const struct isolation_plan *plan, bool in_pidns,
                            struct isolation_failure *out);
