/* kernel.h - which protections this machine and our privileges can give: asked once, of the kernel.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct isolation_kernel {
    bool is_root;          /* may become others, set capabilities and make namespaces */
    bool can_mount;        /* mounts.h */
    bool can_filter;       /* seccomp.h */
    uint32_t landlock_abi; /* landlock.h; 0 none */
};

/** Asks. Changes nothing; cannot fail: what cannot be asked is not there. */
void isolation_kernel_read(struct isolation_kernel *out);
