/* machine.h - what starts need to know of this machine and does not change while we run: read once.
 *
 * Asking anew at each start would read a mount table that grows with every task, and clone a mount
 * to see whether that is allowed. */
#pragma once
#include <sys/resource.h>

#include "common/cgroup/layout.h"
#include "driver/isolation/kernel.h"

struct machine {
    struct cgroup_layout layout;
    char own_cgroup[CGROUP_PATH_MAX]; /* the v2 directory this process is in; "" none */
    struct isolation_kernel kernel;
    struct rlimit files; /* descriptors that we might have, as it was; 0, 0: not known */
};

/** This machine's; what cannot be read is absent. */
void machine_read(struct machine *out);
/** Lets this process have as many descriptors as its hard limit says. A plugin needs two for each
 *  task, and 1024, the usual limit, is for programs that use select(2): agents get `files`. */
void machine_raise_files(const struct machine *machine);
