#include "driver/nomad/plugin_config.h"

#include <stdlib.h>

#include "common/base/own.h"
#include "driver/nomad/plugin_config.def"

#define REQUIRED 1
#define ZERO_OK  2
#define ROW(in, key, kind, flags, initial, low, high, member, words) \
    { .block = (in),                                                 \
      .name = (key),                                                 \
      .type = CONFIG_##kind,                                         \
      .required = ((flags)&REQUIRED) != 0,                           \
      .zero_ok = ((flags)&ZERO_OK) != 0,                             \
      .otherwise = (initial),                                        \
      .min = (low),                                                  \
      .max = (high),                                                 \
      .offset = offsetof(struct plugin_config, member),              \
      .doc = (words) },
static const struct config_row rows[] = { PLUGIN_CONFIG_KEYS(ROW) };
const struct config_table plugin_config_table = { "plugin config", rows, COUNT(rows) };

static bool check_absolute(const char *key, const char *path, struct err *err)
{
    if (!path || path[0] == '/')
        return true;
    return err_set(err, ERR_INVALID, "plugin config: %s: is not an absolute path", key);
}

static bool check_level(const char *level, struct err *err)
{
    static const char *const levels[] = { "debug", "info", "warn", "error" };
    for (size_t i = 0; i < COUNT(levels); i++)
        if (strcmp(level, levels[i]) == 0)
            return true;
    return err_set(err, ERR_INVALID, "plugin config: log_level: is not debug, info, warn or error");
}

static bool check_collection(const char *who, struct err *err)
{
    return strcmp(who, "nomad") == 0 || strcmp(who, "shim") == 0 ||
           err_set(err, ERR_INVALID, "plugin config: log_collection: is not nomad or shim");
}

static bool check(const struct plugin_config *c, struct err *err)
{
    return check_absolute("state_dir", c->state_dir, err) &&
           check_absolute("run_dir", c->run_dir, err) && check_absolute("shim", c->shim, err) &&
           check_absolute("sidecar", c->sidecar, err) &&
           check_absolute("key_file", c->key_file, err) &&
           check_absolute("cgroup_parent", c->cgroup_parent, err) &&
           config_check_store(&plugin_config_table, "store", c->store, err) &&
           check_level(c->log_level, err) && check_collection(c->log_collection, err);
}

bool plugin_config_decode(struct view msgpack, struct plugin_config *out, struct str_list *unknown,
                          struct err *err)
{
    *out = (struct plugin_config){ 0 };
    if (!config_decode(&plugin_config_table, msgpack, out, unknown, err))
        return false;
    if (!check(out, err)) {
        plugin_config_fini(out);
        return false;
    }
    if (!out->key_file)
        out->key_file = str_format("%s/agent.key", out->state_dir);
    return true;
}

static char *copy_of(const char *text) { return text ? str_copy(text) : NULL; }

void plugin_config_copy(const struct plugin_config *from, struct plugin_config *out)
{
    *out = (struct plugin_config){
        .state_dir = copy_of(from->state_dir),
        .run_dir = copy_of(from->run_dir),
        .shim = copy_of(from->shim),
        .sidecar = copy_of(from->sidecar),
        .store = copy_of(from->store),
        .key_file = copy_of(from->key_file),
        .cgroup_parent = copy_of(from->cgroup_parent),
        .log_level = copy_of(from->log_level),
        .shim_oom_score_adj = from->shim_oom_score_adj,
        .log_collection = copy_of(from->log_collection),
        .log_max_files = from->log_max_files,
        .log_max_file_size = from->log_max_file_size,
        .pids_limit = from->pids_limit,
        .sidecar_memory_mb = from->sidecar_memory_mb,
        .require_limits = from->require_limits,
    };
}

bool plugin_config_has_own_logs(const struct plugin_config *config)
{
    return config->log_collection && strcmp(config->log_collection, "shim") == 0;
}

void plugin_config_fini(struct plugin_config *config) { config_fini(&plugin_config_table, config); }
