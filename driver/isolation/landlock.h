/* landlock.h - what the agent's processes may reach by path, enforced by the kernel for good.
 *
 * The rules are of the plan; here they become the rights that the negotiated ABI knows. Sources:
 * Documentation/userspace-api/landlock.rst, linux/landlock.h up to ABI 7. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct isolation_plan;

/** The newest ABI of this kernel; 0 without Landlock. Changes nothing. */
uint32_t isolation_landlock_abi(void);

/** The rights of files and directories that `abi` can restrict. */
uint64_t isolation_landlock_handled(uint32_t abi);

/** The rights for `access` (enum isolation_access) below a directory, or of a file. */
uint64_t isolation_landlock_rights(uint32_t abi, uint8_t access, bool is_dir);

/** Restricts the calling thread by the plan's rules; paths that do not exist are left out. Needs
 *  no_new_privs or CAP_SYS_ADMIN. Returns 0 or an errno, `*out_object` the rule (-1: none). In the
 *  child: async-signal-safe. */
int isolation_landlock_apply(const struct isolation_plan *plan, int *out_object);
