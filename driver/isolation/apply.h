/* apply.h - the child's side of a plan: between clone and exec, in an order fixed by a table.
 *
 * Async-signal-safe, allocates nothing, never returns half-done without saying so: the first step
 * that fails is reported with its stage, errno and object, and nothing after it runs. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/isolation/plan.h"

#define ISOLATION_STAGES(X) /* stage, number (above those of common/proc), what was being done */ \
    X(MOUNTS, 16, "make a mount namespace")                                                       \
    X(PROC, 17, "mount /proc")                                                                    \
    X(OOM, 18, "set oom_score_adj")                                                               \
    X(NICE, 19, "set niceness")                                                                   \
    X(LIMITS, 20, "set resource limit")                                                           \
    X(GROUPS, 21, "set groups")                                                                   \
    X(USER, 22, "set user")                                                                       \
    X(DIRECTORY, 23, "enter the working directory")                                               \
    X(PRIVILEGES, 24, "set no_new_privs")                                                         \
    X(DEATH_SIGNAL, 25, "tie to the parent's life")                                               \
    X(NETWORK, 26, "enter the network namespace")                                                 \
    X(NAMESPACES, 27, "make IPC, UTS or cgroup namespaces")                                       \
    X(SOURCE, 28, "find what to mount")                                                           \
    X(MOUNT, 29, "mount")                                                                         \
    X(BOUND, 30, "drop capabilities")                                                             \
    X(CAPS, 31, "set capabilities")                                                               \
    X(LANDLOCK, 32, "restrict by Landlock")                                                       \
    X(FILTER, 33, "load the seccomp filter")                                                      \
    X(ENTER, 40, "enter the task's namespaces")

#define ISOLATION_STAGE_ENUM(stage, number, text) ISOLATION_STAGE_##stage = (number),
enum isolation_stage { ISOLATION_STAGES(ISOLATION_STAGE_ENUM) };

struct isolation_subject {
    const struct isolation_plan *plan;
    uint32_t uid, gid;
    const uint32_t *groups;
    size_t group_count;
    const char *cwd;
    int nice;             /* for ISOLATION_NICE_KEEP */
    bool in_pidns;        /* the child is in a PID namespace of its own */
    int death_signal;     /* asked for again after the user changed, which clears it; 0 none */
    int enter_fd;         /* with enter_namespaces: a pidfd of who is in them */
    int enter_namespaces; /* CLONE_NEW* to join first; 0: none */
    bool is_guest; /* somebody else's surroundings are joined: no namespace is made, nothing is
                      mounted, all the rest is done again */
};

struct isolation_failure {
    int stage; /* enum isolation_stage */
    int os_errno;
    int object; /* which of the plan's mounts, rules or limits; -1 none of them */
};

/** Runs every step; on failure `out` says which and why. In the child only. */
bool isolation_apply(const struct isolation_subject *subject, struct isolation_failure *out);

/** What was being done at `stage`; NULL when it is none of ours. Static. */
const char *isolation_stage_text(int stage);

/** Writes which object failed ("/data", "nofile") with its NUL; false when the stage has none. */
bool isolation_object_text(const struct isolation_plan *plan, int stage, int object, char *out,
                           size_t size);
