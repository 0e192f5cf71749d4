/* strays.h - what a command has left behind, where no cgroup knows it: our children, its session.
 *
 * As the subreaper we inherit what is orphaned, but for what a PID namespace's init inherits; that
 * is found by its session. Reads /proc of the host, allocates nothing. */
#pragma once
#include <stdbool.h>
#include <sys/types.h>

#include "common/base/buf.h"

struct stray { /* of a line of /proc/<pid>/stat */
    char state;
    pid_t parent, session;
};

/** False when the line is not one. Pure. */
bool stray_parse(struct view line, struct stray *out);

/** SIGKILL for every live process that is our child or in the session of `leader`, `leader` (our
 *  child, not reaped) included. Returns how many there were. */
unsigned strays_kill(pid_t leader);
