#include "driver/surround/policy.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "common/base/own.h"
#include "driver/isolation/caps.h"
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_config.h"

static bool is_listed(const struct str_list *list, const char *text)
{
    for (size_t i = 0; text && i < list->count; i++)
        if (fnmatch(list->items[i], text, 0) == 0)
            return true;
    return false;
}

bool policy_user(const struct plugin_config *config, const char *name, uint32_t uid,
                 struct err *err)
{
    char number[16];
    (void)snprintf(number, sizeof(number), "%u", uid);
    const char *shown = name ? name : number;
    if (is_listed(&config->denied_users, name) || is_listed(&config->denied_users, number))
        return err_set(err, ERR_DENIED, "task: user: \"%.64s\" is in denied_users of this node",
                       shown);
    if (config->allowed_users.count == 0 || is_listed(&config->allowed_users, name) ||
        is_listed(&config->allowed_users, number))
        return true;
    return err_set(err, ERR_DENIED, "task: user: \"%.64s\" is not in allowed_users of this node",
                   shown);
}

bool policy_command(const struct plugin_config *config, const char *path, const char *real,
                    struct err *err)
{
    if (is_listed(&config->denied_commands, path) || is_listed(&config->denied_commands, real))
        return err_set(err, ERR_DENIED,
                       "task config: command: \"%.128s\" is in denied_commands of this node", path);
    /* Where it leads decides: a link of the job's own is not the program it points to. */
    if (config->allowed_commands.count == 0 || is_listed(&config->allowed_commands, real))
        return true;
    return err_set(err, ERR_DENIED,
                   "task config: command: \"%.128s\" is not in allowed_commands of this node",
                   real);
}

static bool is_below(const char *path, const char *dir, size_t len)
{
    while (len > 0 && dir[len - 1] == '/')
        len--;
    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

bool policy_path(const struct plugin_config *config, const char *key, const char *path,
                 bool is_write, struct err *err)
{
    static const char suffix[] = ":ro";
    const char *why = "is not in allow_host_paths of this node";
    for (size_t i = 0; i < config->allow_host_paths.count; i++) {
        const char *dir = config->allow_host_paths.items[i];
        size_t len = strlen(dir);
        const bool is_read_only = len > 3 && strcmp(dir + len - 3, suffix) == 0;
        if (!is_below(path, dir, is_read_only ? len - 3 : len))
            continue;
        if (!is_read_only || !is_write)
            return true;
        why = "is in allow_host_paths of this node only to read";
    }
    return err_set(err, ERR_DENIED, "task config: %s: \"%.128s\" %s", key, path, why);
}

bool policy_allows(const struct plugin_config *config, const char *word)
{
    for (size_t i = 0; i < config->allow_unconfined.count; i++)
        if (strcmp(config->allow_unconfined.items[i], word) == 0)
            return true;
    return false;
}

static bool check_word(const struct plugin_config *config, const char *key, const char *word,
                       struct err *err)
{
    return policy_allows(config, word) ||
           err_set(err, ERR_DENIED,
                   "task config: %s: \"%.32s\" is not in allow_unconfined of this node", key, word);
}

bool policy_modes(const struct plugin_config *config, const struct task_config *task,
                  struct err *err)
{
    static const char *const words[] = { "seccomp", "landlock", "mounts", "no_new_privs" };
    for (size_t i = 0; i < task->unconfined.count; i++) {
        const char *word = task->unconfined.items[i];
        size_t at = 0;
        while (at < COUNT(words) && strcmp(words[at], word) != 0)
            at++;
        if (at == COUNT(words))
            return err_set(err, ERR_INVALID, "task config: unconfined: \"%.32s\" is unknown", word);
        if (!check_word(config, "unconfined", word, err))
            return false;
    }
    if (strcmp(task->pid_mode, "host") == 0 && !check_word(config, "pid_mode", "pid", err))
        return false;
    if (strcmp(task->ipc_mode, "host") == 0 && !check_word(config, "ipc_mode", "ipc", err))
        return false;
    if ((task->nice < 0 || task->oom_score_adj < 0) && !config->allow_priority)
        return err_set(err, ERR_DENIED,
                       "task config: %s: is below 0, and allow_priority of this node is false",
                       task->nice < 0 ? "nice" : "oom_score_adj");
    return true;
}

static bool parse_list(const char *key, const struct str_list *list, uint64_t *out, struct err *err)
{
    *out = 0;
    for (size_t i = 0; i < list->count; i++) {
        uint64_t caps = 0;
        if (!isolation_cap_parse(view_str(list->items[i]), &caps, err))
            return err_wrap(err, "%s", key);
        *out |= caps;
    }
    return true;
}

bool policy_caps(const struct plugin_config *config, const struct task_config *task,
                 uint64_t *out_kept, uint64_t *out_added, struct err *err)
{
    uint64_t allowed = 0, added = 0, dropped = 0;
    if (!parse_list("plugin config: allow_caps", &config->allow_caps, &allowed, err) ||
        !parse_list("task config: cap_add", &task->cap_add, &added, err) ||
        !parse_list("task config: cap_drop", &task->cap_drop, &dropped, err))
        return false;
    if (config->allow_caps.count == 0)
        allowed = isolation_caps_default();
    if ((added & ~allowed) != 0)
        return err_set(err, ERR_DENIED,
                       "task config: cap_add: \"%s\" is not in allow_caps of this node",
                       isolation_cap_name(added & ~allowed));
    *out_added = added;
    *out_kept = ((isolation_caps_default() & allowed & ~dropped) | added);
    return true;
}
