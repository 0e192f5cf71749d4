/* paths.h - where a task's records and sockets are on the node, and below what its cgroups.
 *
 * From the plugin's directories and the task's key. Pure. */
#pragma once
#include "common/base/err.h"
#include "common/cgroup/layout.h"
#include "common/shimwire/taskkey.h"

#define SOCKET_PATH_MAX 107 /* sun_path without its NUL */

struct task_paths { /* owns; zeroed is empty */
    char key[TASK_KEY_BYTES];
    char *dir; /* <state_dir>/tasks/<key> */
    char *launch, *lock, *exit_record;
    char *socket, *api;
    const struct cgroup_layout *layout; /* borrowed; set by the owner; NULL no limits */
};

/** The paths of a task. Errors: INVALID a socket path would be too long, naming the plugin's key.
 */
MUST_USE bool task_paths_init(const char *state_dir, const char *run_dir, const char *alloc_id,
                              const char *task_name, struct task_paths *out, struct err *err);
/** The paths of the entry with this key, as found in the tasks directory. */
MUST_USE bool task_paths_of_key(const char *state_dir, const char *run_dir, const char *key,
                                struct task_paths *out, struct err *err);
/** Zeroed memory is fine. */
void task_paths_fini(struct task_paths *paths);
