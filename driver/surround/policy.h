/* policy.h - what the plugin's configuration lets a job do: users, commands, capabilities, paths.
 *
 * Pure but for canonical paths, which are looked up. Each refusal names the job's key, the value
 * and the plugin's key that decides. */
#pragma once
#include <stdint.h>

#include "common/base/err.h"

struct plugin_config;
struct task_config;

/** `name` (NULL: the number has no name) and `uid` against allowed_users and denied_users. Errors:
 *  DENIED. */
MUST_USE bool policy_user(const struct plugin_config *config, const char *name, uint32_t uid,
                          struct err *err);

/** `path` and, where it leads, `real` against allowed_commands and denied_commands. Errors: DENIED.
 */
MUST_USE bool policy_command(const struct plugin_config *config, const char *path, const char *real,
                             struct err *err);

/** The canonical `path` is in one of allow_host_paths, not only to read when `is_write`. Errors:
 *  DENIED, naming `key`. */
MUST_USE bool policy_path(const struct plugin_config *config, const char *key, const char *path,
                          bool is_write, struct err *err);

/** True when `word` is in allow_unconfined. */
bool policy_allows(const struct plugin_config *config, const char *word);

/** Every word of `unconfined`, pid_mode, ipc_mode, nice and oom_score_adj. Errors: DENIED; INVALID
 *  an unknown word. */
MUST_USE bool policy_modes(const struct plugin_config *config, const struct task_config *task,
                           struct err *err);

/** What an agent of root keeps, and what was added to it. Errors: INVALID an unknown name; DENIED
 *  one that is not in allow_caps. */
MUST_USE bool policy_caps(const struct plugin_config *config, const struct task_config *task,
                          uint64_t *out_kept, uint64_t *out_added, struct err *err);
