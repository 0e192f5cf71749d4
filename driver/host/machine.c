#include "driver/host/machine.h"

void machine_read(struct machine *out)
{
    struct err ignored = { 0 };
    *out = (struct machine){ 0 };
    cgroup_layout_read("", &out->layout);
    if (!cgroup_own(out->own_cgroup, &ignored))
        out->own_cgroup[0] = '\0';
    isolation_kernel_read(&out->kernel);
    if (getrlimit(RLIMIT_NOFILE, &out->files) != 0)
        out->files = (struct rlimit){ 0 };
}

void machine_raise_files(const struct machine *machine)
{
    const struct rlimit most = { machine->files.rlim_max, machine->files.rlim_max };
    if (machine->files.rlim_cur < machine->files.rlim_max)
        (void)setrlimit(RLIMIT_NOFILE, &most); /* else fewer tasks run, and starts say why */
}
