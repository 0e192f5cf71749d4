#include "driver/isolation/kernel.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/isolation/landlock.h"
#include "driver/isolation/mounts.h"
#include "driver/isolation/seccomp.h"

/* Root of a container without these is an ordinary user to us. */
static bool has_privileges(void)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
    const uint32_t wanted = 1U << CAP_SYS_ADMIN | 1U << CAP_SETUID | 1U << CAP_SETGID |
                            1U << CAP_SETPCAP;
    return syscall(SYS_capget, &head, data) == 0 && (data[0].effective & wanted) == wanted;
}

void isolation_kernel_read(struct isolation_kernel *out)
{
    *out = (struct isolation_kernel){ .is_root = has_privileges(),
                                      .can_filter = isolation_can_filter(),
                                      .landlock_abi = isolation_landlock_abi() };
    out->can_mount = out->is_root && isolation_can_mount();
}
