/* plugin_config.h - the `config` block of the plugin stanza on a client node.
 *
 * Keys in plugin_config.def. A plain value, owned by whoever decoded it. */
#pragma once
#include "driver/nomad/config_table.h"

struct plugin_config {
    char *state_dir;      /* absolute; launch and exit records */
    char *run_dir;        /* absolute; sockets, must be on a local file system */
    char *shim, *sidecar; /* absolute paths, or NULL: beside the plugin, then libexec */
    char *store;          /* default state store URL, or NULL */
    char *lease_store;    /* default register URL, or NULL: the state store is it */
    int64_t lease_ttl_ms;
    char *key_file;      /* never NULL after decoding: <state_dir>/agent.key by default */
    char *cgroup_parent; /* cgroup v2 directory for tasks without one from Nomad, or NULL */
    char *log_level;     /* debug, info, warn, error */
    int64_t shim_oom_score_adj;
    char *log_collection;                     /* nomad, shim */
    int64_t log_max_files, log_max_file_size; /* MB; with shim */
    int64_t pids_limit;                       /* 0: none */
    int64_t sidecar_memory_mb;                /* 0: none */
    bool require_limits;
    char *isolation;                  /* best, require */
    struct str_list allow_unconfined; /* words of the key's documentation; checked */
    struct str_list allow_caps;       /* empty: the default set */
    bool allow_priority;
    struct str_list allow_host_paths, read_paths; /* absolute */
    struct str_list allowed_users, denied_users, allowed_commands, denied_commands;
};

extern const struct config_table plugin_config_table;

/** Decodes SetConfig's msgpack_config. Keys of other versions are collected in `unknown` (may be
 *  NULL: then they are errors). Errors: INVALID naming the key. */
MUST_USE bool plugin_config_decode(struct view msgpack, struct plugin_config *out,
                                   struct str_list *unknown, struct err *err);
/** A copy of its own. */
void plugin_config_copy(const struct plugin_config *from, struct plugin_config *out);
/** True when a plugin that runs with `from` may go on with `to`. Errors: CONFLICT naming the first
 *  key that tasks that run, or what Nomad was told, depend on. */
MUST_USE bool plugin_config_check_change(const struct plugin_config *from,
                                         const struct plugin_config *to, struct err *err);
/** True when the shims write the tasks' log files, and Nomad starts no process for it. */
bool plugin_config_has_own_logs(const struct plugin_config *config);
/** Releases; zeroed memory is fine. */
void plugin_config_fini(struct plugin_config *config);
