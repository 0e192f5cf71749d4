/* child.h - the command's process: what it joins before it executes.
 *
 * What can be found out beforehand is found out in the helper; the rest runs between clone and
 * exec, async-signal-safe, in a fixed order. */
#pragma once
#include <sched.h>

#include "common/base/fd.h"
#include "common/proc/spawn.h"
#include "common/shimwire/exec_spec.h"
#include "driver/enter/v1.h"
#include "driver/isolation/apply.h"

#define ENTER_STAGES(X) /* stage, number (above those of driver/isolation), what was being done */ \
    X(LIMITS, 80, "join the task's limits")                                                        \
    X(DESCRIPTORS, 81, "close what is not the command's")                                          \
    X(AGENT, 82, "see whether the task still runs")                                                \
    X(TERMINAL, 83, "get the terminal")                                                            \
    X(PROGRAM, 84, "find")

#define ENTER_STAGE_ENUM(stage, number, text) ENTER_STAGE_##stage = (number),
enum enter_stage { ENTER_STAGES(ENTER_STAGE_ENUM) };

struct enter_child { /* owns agent and v1 */
    const struct exec_spec *spec;
    struct fd agent; /* pidfd */
    struct v1_cgroups v1;
    cpu_set_t cores; /* the agent's: on some hosts that is how its cores are given */
    struct isolation_plan plan;
    struct isolation_subject subject;
    bool in_pidns; /* of its own: entered for children before the first clone */
    const char *argv[SHIM_SPEC_SLOTS + 2]; /* [0]: the program that was found */
};

/** Opens the agent and finds what of its surroundings is not ours; enters its PID namespace for our
 *  children. Errors: NOT_FOUND it has ended; INVALID the plan; DENIED, SYSTEM. */
MUST_USE bool enter_child_open(struct enter_child *child, const struct exec_spec *spec,
                               struct err *err);

/** Clones and returns at once. `cgroup_fd` -1: none; `enters_late` as in proc_spec. Errors: SYSTEM.
 */
MUST_USE bool enter_child_spawn(struct enter_child *child, int cgroup_fd, bool enters_late,
                                struct proc *out, struct err *err);

/** The error that `why` means; NOT_FOUND the agent or the program, DENIED the program. False. */
bool enter_child_error(const struct enter_child *child, const struct proc_failure *why,
                       struct err *err);

/** Closes; zeroed-but-for-FD_NONE is fine. */
void enter_child_fini(struct enter_child *child);
