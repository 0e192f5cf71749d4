/* machine.h - what starts need to know of this machine and does not change while we run: read once.
 *
 * Asking anew at each start would read a mount table that grows with every task, and clone a mount
 * to see whether that is allowed. */
#pragma once
#include "common/cgroup/layout.h"
#include "driver/isolation/kernel.h"

struct machine {
    struct cgroup_layout layout;
    char own_cgroup[CGROUP_PATH_MAX]; /* the v2 directory this process is in; "" none */
    struct isolation_kernel kernel;
};

/** This machine's; what cannot be read is absent. */
void machine_read(struct machine *out);
