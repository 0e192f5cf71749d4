/* job.h - one task of a Nomad job file, as far as one machine can run it.
 *
 * Takes the first task whose driver is "agent". Keys that have no meaning on one machine are noted,
 * keys that would change what the task is (artifacts, volumes, template functions) are errors, and
 * unknown keys are errors with the nearest known one; all with file, line and column. Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/time.h"
#include "common/hcl/hcl.h"

struct job_entry { /* lent by the tree */
    const char *key;
    const struct hcl_node *value;
};
struct job_entries { /* owns the list */
    struct job_entry *items;
    size_t count;
};

struct job_template { /* lent by the tree */
    const struct hcl_node *data, *destination;
    int64_t mode; /* of the file */
};

struct job_restart {
    bool is_given;
    int64_t attempts, interval_ms, delay_ms;
};

struct job_restarts { /* of one task; zeroed at the start */
    int64_t count;
    struct boot since;
};

/** May a task that failed at `now` be started again? Counts it. Without a restart block: never;
 *  Nomad's modes beyond the interval are not applied. */
bool job_restart_is_due(const struct job_restart *policy, struct job_restarts *done,
                        struct boot now);

struct job { /* owns its lists; texts are lent by the tree, which it owns too */
    struct hcl *tree;
    const char *name, *group, *task, *namespace_name, *region, *datacenter;
    const char *user, *kill_signal; /* "" unset */
    int64_t kill_timeout_ms;
    int64_t cpu_mhz, memory_mb, memory_max_mb; /* 0 unset */
    const struct hcl_node *config;             /* the block; NULL: none */
    struct job_entries env, meta;              /* job, group, task in this order; later wins */
    struct job_template *templates;
    size_t template_count;
    struct job_restart restart;
    struct buf not_applied; /* "datacenters (line 2), update (line 9)"; for people */
};

/** Reads a job file's text, called `name` in messages. The caller owns `*out`. Errors: INVALID. */
MUST_USE bool job_read(const char *name, struct view text, struct job **out, struct err *err);
void job_free(struct job *job);
static inline void job_freep(struct job **job)
{
    job_free(*job);
    *job = 0;
}
