/* caps.h - capabilities by name, and the set that an agent of root keeps by default. Pure. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"

#define ISOLATION_CAPABILITIES(X) /* number, name, kept by default */ \
    X(0, chown, true)                                                 \
    X(1, dac_override, true)                                          \
    X(2, dac_read_search, false)                                      \
    X(3, fowner, true)                                                \
    X(4, fsetid, true)                                                \
    X(5, kill, true)                                                  \
    X(6, setgid, true)                                                \
    X(7, setuid, true)                                                \
    X(8, setpcap, true)                                               \
    X(9, linux_immutable, false)                                      \
    X(10, net_bind_service, true)                                     \
    X(11, net_broadcast, false)                                       \
    X(12, net_admin, false)                                           \
    X(13, net_raw, false)                                             \
    X(14, ipc_lock, false)                                            \
    X(15, ipc_owner, false)                                           \
    X(16, sys_module, false)                                          \
    X(17, sys_rawio, false)                                           \
    X(18, sys_chroot, true)                                           \
    X(19, sys_ptrace, false)                                          \
    X(20, sys_pacct, false)                                           \
    X(21, sys_admin, false)                                           \
    X(22, sys_boot, false)                                            \
    X(23, sys_nice, false)                                            \
    X(24, sys_resource, false)                                        \
    X(25, sys_time, false)                                            \
    X(26, sys_tty_config, false)                                      \
    X(27, mknod, false)                                               \
    X(28, lease, false)                                               \
    X(29, audit_write, true)                                          \
    X(30, audit_control, false)                                       \
    X(31, setfcap, true)                                              \
    X(32, mac_override, false)                                        \
    X(33, mac_admin, false)                                           \
    X(34, syslog, false)                                              \
    X(35, wake_alarm, false)                                          \
    X(36, block_suspend, false)                                       \
    X(37, audit_read, false)                                          \
    X(38, perfmon, false)                                             \
    X(39, bpf, false)                                                 \
    X(40, checkpoint_restore, false)

/** The capabilities that the table keeps by default. */
uint64_t isolation_caps_default(void);

/** "net_admin", "CAP_NET_ADMIN" or "all" into a set. Errors: INVALID no such capability. */
MUST_USE bool isolation_cap_parse(struct view name, uint64_t *out, struct err *err);

/** The name of the lowest capability in `caps`; "none" for none. Static. */
const char *isolation_cap_name(uint64_t caps);
