#include "driver/host/machine.h"

void machine_read(struct machine *out)
{
    struct err ignored = { 0 };
    *out = (struct machine){ 0 };
    cgroup_layout_read("", &out->layout);
    if (!cgroup_own(out->own_cgroup, &ignored))
        out->own_cgroup[0] = '\0';
    isolation_kernel_read(&out->kernel);
}
