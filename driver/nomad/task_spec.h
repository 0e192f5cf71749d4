/* task_spec.h - one StartTask as plain structs: what to run, where, as whom, with what.
 *
 * Decoded from the bytes of Nomad's TaskConfig message; nothing of protobuf or msgpack is left.
 * The environment may hold tokens: it is in no message, and wiped when the spec is freed. Pure. */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "driver/nomad/task_config.h"

#define TASK_ID_MAX   512 /* alloc id, task name (<= 128) and 8 characters, with slack */
#define TASK_NAME_MAX 128
#define TASK_PATH_MAX 4095

#define TASK_MOUNTS_MAX 64 /* Nomad's mounts, and as many devices */

struct task_volume { /* owns: a volume, CSI or device-plugin mount */
    char *task_path; /* as the job says it */
    char *host_path;
    bool readonly;
    char *propagation; /* "" is private */
};

struct task_device { /* owns */
    char *task_path, *host_path;
    char *permissions; /* letters of rwm */
};

struct task_resources {
    int64_t cpu_shares;               /* MHz */
    double percent_ticks;             /* of the node's MHz, 0...1; 0: not told */
    int64_t memory_mb, memory_max_mb; /* max -1: no hard limit; 0: not given */
    char *cpuset_cpus;                /* or NULL */
    char *cpuset_cgroup;              /* directory prepared by the agent, or NULL */
};

struct task_spec {
    char *id; /* <alloc id>/<task name>/<random>: new for every start */
    char *name;
    char *alloc_id;
    char *alloc_dir; /* absolute */
    char *user;      /* "" is the driver's default */
    char *stdout_path, *stderr_path;
    char *job_id, *job_name, *group_name, *namespace_name, *node_name, *node_id;
    char *netns_path;               /* network namespace to enter, or NULL */
    char *host_name, *host_address; /* entry of /etc/hosts in that namespace; "" none */
    bool has_dns;                   /* resolv.conf is to say what follows */
    struct str_list dns_servers, dns_searches, dns_options;
    struct task_volume *volumes;
    size_t volume_count;
    struct task_device *devices;
    size_t device_count;
    struct task_resources resources;
    struct task_config config;
    struct buf env; /* "NAME=value\0" for each, sorted by name; wiped when freed */
    size_t env_count;
};

/** Decodes TaskConfig message bytes. Errors: INVALID, naming the field or configuration key:
 *  malformed message, text that is not UTF-8 or has a NUL, missing id, name, alloc_id or
 *  alloc_dir, a bad environment name, a bad configuration. */
MUST_USE bool task_spec_decode(struct view task_config, struct task_spec **out, struct err *err);
/** The same from the agent's stored copy, which comes back at a recovery: it lacks the job's own
 *  configuration block, and `config` is all absent. */
MUST_USE bool task_spec_decode_stored(struct view task_config, struct task_spec **out,
                                      struct err *err);
/** NULL is fine. */
void task_spec_free(struct task_spec *spec);

/** Lends the value of `name` in the environment, or NULL. */
const char *task_spec_env(const struct task_spec *spec, const char *name);

static inline void task_spec_freep(struct task_spec **spec)
{
    task_spec_free(*spec);
    *spec = NULL;
}
