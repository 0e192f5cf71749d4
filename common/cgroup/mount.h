/* mount.h - where cgroup v2 is on this machine, and where this process is in it.
 *
 * Unified and hybrid hosts (what else is mounted there: layout.h), with and without a cgroup
 * namespace. Allocates nothing. The pure halves read text that the caller has; they are what the
 * tests feed. */
#pragma once
#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/err.h"

#define CGROUP_PATH_MAX 1024

typedef bool cgroup_line_fn(void *arg, struct view line); /* false: enough */
/** Calls `each` with every line of a file, but for lines of 4 KiB and more. Errors: SYSTEM. */
MUST_USE bool cgroup_each_line(const char *path, cgroup_line_fn *each, void *arg, struct err *err);

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

/** The same for a mount of v1; `out_options` borrows the list of its controllers, among other
 *  words, from `line`. */
bool cgroup_mount_parse_v1(struct view line, struct cgroup_mount_point *out,
                           struct view *out_options);
