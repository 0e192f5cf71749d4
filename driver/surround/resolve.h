/* resolve.h - what a job names, on this machine: user, command, directories.
 *
 * All of it is checked before anything is started, with an error that names the key. Reads user
 * files directly, because a static program has no name service; users must be local. Blocking: on
 * workers only. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/err.h"

struct task_spec;

#define USER_GROUPS_MAX 64

struct user_ids {
    uint32_t uid, gid;
    uint32_t groups[USER_GROUPS_MAX];
    size_t group_count;
};

/** A name, a number, or nomad-<n> (a pool user: uid and gid n) from <etc>/passwd and <etc>/group;
 *  "" is the driver's own user. Errors: INVALID no such user; DENIED not root and not ourselves. */
MUST_USE bool user_find(const char *etc, const char *name, struct user_ids *out, struct err *err);

struct stat;

/** True when the permission bits (04, 02, 01) that hold for this user include `bit`; root by the
 * same rules as the kernel's for a directory. */
bool user_may(const struct user_ids *ids, const struct stat *st, unsigned bit);

/** The login name of `uid` in <etc>/passwd; NULL without one. The caller owns it. */
char *user_name(const char *etc, uint32_t uid);

/** The program: absolute, or in the task's local/, the task directory, PATH of the task. A regular
 *  file that `ids` may execute. The caller owns `*out`. Errors: NOT_FOUND, DENIED not executable,
 *  INVALID a directory or other kind; each names the path. */
MUST_USE bool command_find(const struct task_spec *spec, const struct user_ids *ids, char **out,
                           struct err *err);

/** <alloc_dir>/<task>. Errors: NOT_FOUND, INVALID no directory. The caller owns `*out`. */
MUST_USE bool task_dir_find(const struct task_spec *spec, char **out, struct err *err);

/** `state.path` as an absolute path inside the allocation directory. The caller owns `*out`.
 *  Errors: INVALID outside of it. */
MUST_USE bool state_path_find(const struct task_spec *spec, const char *task_dir, char **out,
                              struct err *err);

/** `state.name`, or <namespace>/<job>/<group>/<task>/<alloc index>. The caller owns it. */
char *agent_name_of(const struct task_spec *spec);

/** A program of ours: `configured`, else `name` beside the running program, else in `libexec`. The
 *  caller owns `*out`. Errors: NOT_FOUND, DENIED not executable. */
MUST_USE bool helper_find(const char *configured, const char *name, const char *libexec, char **out,
                          struct err *err);
