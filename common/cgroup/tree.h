/* tree.h - a cgroup directory of either version with all that was made below it.
 *
 * What a task makes below its own cgroup may be deep, wide and hidden: there is no limit to any,
 * nothing is allocated, and two descriptors are enough. For directories that no living supervisor
 * uses. A plain directory does as well, which is how the limits' tests own a machine. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"

typedef bool cgroup_pid_fn(void *arg, pid_t pid); /* false: enough */

/** Calls `each` with every pid directly in the cgroup behind `dir`; those that our PID namespace
 *  does not show are left out. False with errno when it cannot be read. */
MUST_USE bool cgroup_walk_pids(int dir, cgroup_pid_fn *each, void *arg);

/** One round: SIGKILL for everybody in the cgroup behind `dir` and below, and the empty ones below
 *  are removed. `*out_is_empty`: nobody was there and nothing is left below; else another round is
 *  needed. Errors: DENIED, SYSTEM a part of it could not be read, so that nothing is known. */
MUST_USE bool cgroup_clear_at(int dir, bool *out_is_empty, struct err *err);

/** The same by path. Absent is empty. */
MUST_USE bool cgroup_clear(const char *path, bool *out_is_empty, struct err *err);

/** The number after "key " at the start of a line of a flat keyed file's `text`, or `none`. */
int64_t cgroup_keyed(const char *text, const char *key, int64_t none);

/** Removes `path` and everything below; kills nobody. Absent is fine. Errors: CONFLICT somebody is
 *  in it or was a moment ago (try again); DENIED, SYSTEM. */
MUST_USE bool cgroup_remove_tree(const char *path, struct err *err);

/** The same, again and again for 200 ms while it is in use: who was just killed holds it for a
 *  moment. Errors: UNAVAILABLE it is in use still; DENIED, SYSTEM. */
MUST_USE bool cgroup_remove_tree_soon(const char *path, struct err *err);
