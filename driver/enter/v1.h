/* v1.h - the cgroups of a process in the hierarchies of version 1.
 *
 * Limits of a hybrid or older host are there. Those where a process of ours is not already are
 * opened beforehand, and a child joins by writing to them. Allocates nothing. Kernel doc:
 * cgroup-v1/cgroups.rst, proc_pid_mountinfo(5). */
#pragma once
#include <sys/types.h>

#include "common/base/buf.h"
#include "common/base/fd.h"

#define V1_MAX      16 /* hierarchies; there are 14 controllers, and systemd's own */
#define V1_PATH_MAX 1024

struct v1_cgroups {          /* owns; zeroed is empty */
    struct fd tasks[V1_MAX]; /* their files of that name, for writing */
    size_t count;
};

struct v1_place {          /* one line of /proc/<pid>/cgroup */
    char controllers[128]; /* "cpu,cpuacct", "name=systemd" */
    char path[V1_PATH_MAX];
};
/** False for the line of version 2, and for what is no line. Pure. */
bool v1_place_parse(struct view line, struct v1_place *out);

struct v1_mount {
    char point[V1_PATH_MAX];
    char root[V1_PATH_MAX]; /* what of the hierarchy is visible there; "/" all */
};
/** True when a line of mountinfo is a mount of the hierarchy with these controllers. Pure. */
bool v1_mount_parse(struct view line, const char *controllers, struct v1_mount *out);

/** Opens those cgroups of `pid` that are not ours. The caller makes sure that `pid` is who it
 *  means. Errors: NOT_FOUND no such process; SYSTEM one cannot be opened, or a hierarchy is not
 *  mounted. */
MUST_USE bool v1_open(pid_t pid, struct v1_cgroups *out, struct err *err);

/** Moves the caller into all of them. In a child: async-signal-safe. Returns 0 or an errno. */
int v1_join(const struct v1_cgroups *cgroups);

/** Closes. */
void v1_fini(struct v1_cgroups *cgroups);
