/* place_test.h - a process into a cgroup, for tests: the product has its processes born there. */
#pragma once
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/own.h"
#include "common/cgroup/cgroup.h"

/* False with errno when the kernel refuses. */
static inline bool place(const struct cgroup *cg, pid_t pid)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%d", (int)pid);
    CLEANUP(fd_closep)
    struct fd file = { openat(cg->dir.raw, "cgroup.procs", O_WRONLY | O_CLOEXEC) };
    return fd_is_open(file) && write(file.raw, text, strlen(text)) > 0;
}
