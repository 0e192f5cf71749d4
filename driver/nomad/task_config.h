/* task_config.h - the `config` block of a task with driver = "agent".
 *
 * Keys in task_config.def; what this release does not implement is not in the table, so that
 * Nomad itself refuses it. A plain value, owned by whoever decoded it. */
#pragma once
#include "driver/nomad/config_table.h"

struct task_mount {
    char *source, *target; /* relative to the task directory, or absolute */
    bool readonly;
    char *propagation; /* private, host-to-task, bidirectional, as Nomad says it */
};

struct task_config {
    char *command;
    struct str_list args;
    bool has_state;
    struct {
        char *path;  /* relative to the task directory, or absolute */
        char *store; /* URL, or NULL: the plugin's default */
        int64_t interval_ms;
        struct str_list exclude;
        char *name; /* or NULL: namespace/job/group/task/index */
    } state;
    char *work_dir;             /* or NULL: the task directory */
    char *isolation;            /* best, require, or NULL: the plugin's */
    struct str_list unconfined; /* not checked here */
    char *pid_mode, *ipc_mode;  /* private or host */
    struct str_list cap_add, cap_drop, ulimit, read_paths, write_paths;
    char *umask; /* octal digits */
    int64_t nice, oom_score_adj;
    struct {
        struct config_items all; /* of struct task_mount */
        struct task_mount one;   /* empty; see struct config_items */
    } mounts;
    bool has_lease;
    struct {
        char *store; /* URL, or NULL: the plugin's, or else the record lives in the state store */
        int64_t ttl_ms;    /* 0: the plugin's */
        int64_t margin_ms; /* 0: chosen by the sidecar from ttl and measured kill time */
    } lease;
    bool has_logs;
    struct {
        int64_t max_files, max_file_size; /* 0: the plugin's default */
    } logs;
    int64_t pids_limit;        /* 0: the plugin's */
    int64_t memory_swap_mb;    /* -1: not asked */
    int64_t memory_swappiness; /* -1: not asked */
    int64_t io_weight;         /* 0: not asked */
    bool cpu_hard_limit;
};

extern const struct config_table task_config_table;

/** Decodes TaskConfig.msgpack_driver_config and checks what spans keys (a lease needs a state).
 *  Unknown keys are errors. Errors: INVALID naming the key. */
MUST_USE bool task_config_decode(struct view msgpack, struct task_config *out, struct err *err);
/** The margin fits the ttl, which is the job's own or the plugin's `ttl_ms`. Errors: INVALID. */
MUST_USE bool task_config_check_margin(const struct task_config *config, int64_t ttl_ms,
                                       struct err *err);
/** Releases; zeroed memory is fine. */
void task_config_fini(struct task_config *config);
