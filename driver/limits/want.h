/* want.h - what a task may use, in plain numbers: Nomad's resources and the job's keys made one.
 *
 * The policy of soft and hard memory is here (DESIGN.md). Pure; the text is borrowed. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

struct plugin_config;
struct task_spec;

#define LIMITS_PERIOD_US 100000 /* of a CPU quota; the kernel's default */

struct limits_want {      /* 0 is "no such limit" unless said otherwise */
    bool has_memory;      /* a wish about memory; hard 0 then means explicitly none */
    int64_t memory_hard;  /* bytes */
    int64_t memory_soft;  /* bytes; what is not reclaimed before others' */
    int64_t swap;         /* bytes beyond memory_hard */
    bool is_swap_asked;   /* by a key of the job */
    int64_t swappiness;   /* 0...100; -1 not asked */
    int64_t cpu_shares;   /* Nomad's MHz */
    int64_t cpu_quota_us; /* of each LIMITS_PERIOD_US */
    const char *cores;    /* "0,2-3"; "" none */
    int64_t pids;         /* processes and threads */
    int64_t io_weight;    /* 1...10000 */
    int64_t sidecar;      /* bytes of memory for the sidecar */
    bool is_strict;       /* require_limits: PLAIN counts as ASKED */
};

/** From a job and its node; `cores` is how many the node has. Errors: INVALID naming the key:
 *  a limit above the node's, swap without a hard limit of memory. */
MUST_USE bool limits_want_make(const struct task_spec *spec, const struct plugin_config *config,
                               int64_t cores, struct limits_want *out, struct err *err);
