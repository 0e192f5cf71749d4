/* mount.h - where cgroup v2 is on this machine, and where this process is in it.
 *
 * Unified and hybrid hosts, with and without a cgroup namespace. Allocates nothing. The pure halves
 * read text that the caller has; they are what the tests feed. */
#pragma once
#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/err.h"

#define CGROUP_PATH_MAX 1024

/** Where cgroup2 is mounted ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"), from
 *  /proc/self/mountinfo. Errors: NOT_FOUND no cgroup v2 here; SYSTEM. */
MUST_USE bool cgroup_mount(char out[CGROUP_PATH_MAX], struct err *err);

/** The absolute v2 directory this process is in. Errors: NOT_FOUND, SYSTEM. */
MUST_USE bool cgroup_own(char out[CGROUP_PATH_MAX], struct err *err);

struct cgroup_mount_point {
    char path[CGROUP_PATH_MAX]; /* "" when the line is no cgroup2 mount */
    char root[CGROUP_PATH_MAX]; /* what of the hierarchy is visible there; "/" all */
};

/** One line of mountinfo. True when it is a cgroup2 mount that fits; escapes are undone. */
bool cgroup_mount_parse(struct view line, struct cgroup_mount_point *out);
