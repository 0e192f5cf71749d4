#include "driver/nomad/task_config.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/own.h"
#include "driver/nomad/task_config.def"

#define MARGIN_MIN_MS 200
#define REQUIRED      1
#define ZERO_OK       2
#define ROW(in, key, kind, flags, initial, low, high, member, words) \
    { .block = (in),                                                 \
      .name = (key),                                                 \
      .type = CONFIG_##kind,                                         \
      .required = ((flags)&REQUIRED) != 0,                           \
      .zero_ok = ((flags)&ZERO_OK) != 0,                             \
      .otherwise = (initial),                                        \
      .min = (low),                                                  \
      .max = (high),                                                 \
      .offset = offsetof(struct task_config, member),                \
      .doc = (words) },
static const struct config_row rows[] = { TASK_CONFIG_KEYS(ROW) };
const struct config_table task_config_table = { "task config", rows, COUNT(rows) };

/* The rule is the sidecar's; checked here too, so that a wrong job fails before anything starts. */
bool task_config_check_margin(const struct task_config *config, int64_t ttl_ms, struct err *err)
{
    const int64_t margin_ms = config->lease.margin_ms, share_ms = 50 + ttl_ms / 100;
    const int64_t floor_ms = share_ms < MARGIN_MIN_MS ? MARGIN_MIN_MS : share_ms;
    if (margin_ms == 0 || (margin_ms >= floor_ms && margin_ms <= ttl_ms / 3))
        return true;
    return err_set(err, ERR_INVALID,
                   "task config: lease.margin: is not in %lld...%lld ms for a ttl of %lld ms",
                   (long long)floor_ms, (long long)(ttl_ms / 3), (long long)ttl_ms);
}

static bool has_parent_step(const char *path)
{
    for (const char *at = path; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
            return true;
    }
    return false;
}

static bool check_word(const char *key, const char *value, const char *const words[2],
                       struct err *err)
{
    if (!value || strcmp(value, words[0]) == 0 || strcmp(value, words[1]) == 0)
        return true;
    return err_set(err, ERR_INVALID, "task config: %s: is neither \"%s\" nor \"%s\"", key, words[0],
                   words[1]);
}

static bool check_isolation(const struct task_config *c, struct err *err)
{
    static const char *const modes[2] = { "private", "host" };
    static const char *const levels[2] = { "best", "require" };
    if (strspn(c->umask, "01234567") != strlen(c->umask) || strtol(c->umask, NULL, 8) > 0777)
        return err_set(err, ERR_INVALID, "task config: umask: is not octal, up to 777");
    return check_word("pid_mode", c->pid_mode, modes, err) &&
           check_word("ipc_mode", c->ipc_mode, modes, err) &&
           check_word("isolation", c->isolation, levels, err);
}

static bool check(const struct task_config *c, struct err *err)
{
    if (c->has_lease && !c->has_state)
        return err_set(err, ERR_INVALID, "task config: lease: needs a state block");
    if (c->has_state && has_parent_step(c->state.path))
        return err_set(err, ERR_INVALID, "task config: state.path: has a \"..\" in it");
    const bool has_ttl = c->lease.ttl_ms != 0; /* else the plugin's, which is not known here */
    return (!has_ttl || task_config_check_margin(c, c->lease.ttl_ms, err)) &&
           check_isolation(c, err) &&
           config_check_store(&task_config_table, "state.store", c->state.store, err) &&
           config_check_store(&task_config_table, "lease.store", c->lease.store, err);
}

bool task_config_decode(struct view msgpack, struct task_config *out, struct err *err)
{
    *out = (struct task_config){ 0 };
    if (!config_decode(&task_config_table, msgpack, out, NULL, err))
        return false;
    if (check(out, err))
        return true;
    task_config_fini(out);
    return false;
}

void task_config_fini(struct task_config *config) { config_fini(&task_config_table, config); }
