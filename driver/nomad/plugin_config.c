#include "driver/nomad/plugin_config.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/own.h"
#include "driver/nomad/plugin_config.def"

#define REQUIRED 1
#define ZERO_OK  2
#define FIXED    4
#define ROW(in, key, kind, flags, initial, low, high, member, words) \
    { .block = (in),                                                 \
      .name = (key),                                                 \
      .type = CONFIG_##kind,                                         \
      .required = ((flags)&REQUIRED) != 0,                           \
      .zero_ok = ((flags)&ZERO_OK) != 0,                             \
      .fixed = ((flags)&FIXED) != 0,                                 \
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

static bool check_isolation(const char *level, struct err *err)
{
    return strcmp(level, "best") == 0 || strcmp(level, "require") == 0 ||
           err_set(err, ERR_INVALID, "plugin config: isolation: is neither best nor require");
}

static bool check_paths(const char *key, const struct str_list *paths, struct err *err)
{
    for (size_t i = 0; i < paths->count; i++)
        if (paths->items[i][0] != '/')
            return err_set(err, ERR_INVALID, "plugin config: %s: item %zu is not an absolute path",
                           key, i + 1);
    return true;
}

static bool check_words(const struct str_list *list, struct err *err)
{
    static const char *const words[] = { "seccomp", "landlock", "mounts",     "no_new_privs",
                                         "pid",     "ipc",      "propagation" };
    for (size_t i = 0; i < list->count; i++) {
        size_t at = 0;
        while (at < COUNT(words) && strcmp(list->items[i], words[at]) != 0)
            at++;
        if (at == COUNT(words))
            return err_set(err, ERR_INVALID, "plugin config: allow_unconfined: item %zu is unknown",
                           i + 1);
    }
    return true;
}

static bool check(const struct plugin_config *c, struct err *err)
{
    return check_absolute("state_dir", c->state_dir, err) &&
           check_absolute("run_dir", c->run_dir, err) && check_absolute("shim", c->shim, err) &&
           check_absolute("sidecar", c->sidecar, err) &&
           check_absolute("key_file", c->key_file, err) &&
           check_absolute("cgroup_parent", c->cgroup_parent, err) &&
           config_check_store(&plugin_config_table, "store", c->store, err) &&
           config_check_store(&plugin_config_table, "lease_store", c->lease_store, err) &&
           check_level(c->log_level, err) && check_collection(c->log_collection, err) &&
           check_isolation(c->isolation, err) && check_words(&c->allow_unconfined, err) &&
           check_paths("allow_host_paths", &c->allow_host_paths, err) &&
           check_paths("read_paths", &c->read_paths, err);
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

void plugin_config_copy(const struct plugin_config *from, struct plugin_config *out)
{
    config_copy(&plugin_config_table, from, out);
}

bool plugin_config_check_change(const struct plugin_config *from, const struct plugin_config *to,
                                struct err *err)
{
    const char *key = config_find_change(&plugin_config_table, from, to);
    return key == NULL ||
           err_set(err, ERR_CONFLICT,
                   "plugin config: %s: cannot be changed while the plugin runs: restart it", key);
}

bool plugin_config_has_own_logs(const struct plugin_config *config)
{
    return config->log_collection && strcmp(config->log_collection, "shim") == 0;
}

void plugin_config_fini(struct plugin_config *config) { config_fini(&plugin_config_table, config); }
