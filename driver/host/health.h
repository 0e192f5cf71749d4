/* health.h - can this node start a task right now, and if not, why.
 *
 * Everything that every start needs and that can break while the plugin runs: directories, the
 * parent of the tasks' cgroups, the helper programs, the clock. Blocking (it may run both
 * helpers to ask for their versions, 2 s each at most): on workers only. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/time.h"

/* Texts are constant: Nomad makes an event of each change. */
#define HOST_HEALTHS(X)                                                                       \
    X(GOOD, "Healthy")                                                                        \
    X(STATE_DIR, "The plugin's state_dir cannot be written; its log says why")                \
    X(RUN_DIR, "The plugin's run_dir cannot be written; its log says why")                    \
    X(CGROUP, "The plugin's cgroup_parent cannot be used; its log says why")                  \
    X(SHIM, "agent-shim is missing, not executable or of another version; see the log")       \
    X(SIDECAR, "agent-sidecar is missing, not executable or of another version; see the log") \
    X(CLOCK, "The clock is not set")

#define HOST_HEALTH_ENUM(fault, text) HOST_##fault,
enum host_health { HOST_HEALTHS(HOST_HEALTH_ENUM) HOST_HEALTH_COUNT };

/** What is wrong, for people; static and constant. */
const char *host_health_text(enum host_health health);

struct host_file { /* which file was looked at */
    dev_t dev;
    ino_t ino;
    struct timespec changed;
    bool is_good;
};

struct host_health_memory { /* between checks; zeroed at first */
    struct host_file shim, sidecar;
};

struct host_health_ask { /* borrows */
    const char *state_dir, *run_dir;
    const char *cgroup_parent;  /* NULL: none is configured */
    const char *shim, *sidecar; /* absolute */
    const char *version;        /* that both must have */
    struct wall now;
};

/** Looks at all of it in the order of the table. GOOD, or the first fault with `err` filled. */
enum host_health host_health_check(const struct host_health_ask *ask,
                                   struct host_health_memory *memory, struct err *err);
