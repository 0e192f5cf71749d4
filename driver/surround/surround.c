#include "driver/surround/surround.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/own.h"
#include "driver/isolation/limits.h"
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_spec.h"
#include "driver/surround/places.h"
#include "driver/surround/policy.h"

#define ETC "/etc"

/* What the wish borrows, beside the places. */
struct gathered {
    struct places places;
    struct isolation_limit limits[ISOLATION_LIMITS_MAX];
    char *hidden_dir, *records_dir, *sockets_dir, *api, *command, *login;
    char *resolv_at, *hosts_at;
    struct buf resolv, hosts;
};

static void gathered_fini(struct gathered *g)
{
    char **const texts[] = { &g->hidden_dir, &g->records_dir, &g->sockets_dir, &g->api,
                             &g->command,    &g->login,       &g->resolv_at,   &g->hosts_at };
    for (size_t i = 0; i < COUNT(texts); i++)
        str_freep(texts[i]);
    places_fini(&g->places);
    buf_fini(&g->resolv);
    buf_fini(&g->hosts);
}

/* The directory itself where it cannot be found: it is then in nobody's way. */
static char *real_or_same(const char *path)
{
    char *real = realpath(path, NULL);
    return real ? real : str_copy(path);
}

static bool has_word(const struct str_list *list, const char *word)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], word) == 0)
            return true;
    return false;
}

/* ---- what is hidden ---- */

/* The outermost directory above the task that its user may not pass through: Nomad's data directory
 * is closed to all but root, and a user of the pool could never enter its own task. */
static char *closed_dir(const char *task_dir, const struct user_ids *user)
{
    for (const char *at = strchr(task_dir + 1, '/'); at; at = strchr(at + 1, '/')) {
        char *dir = str_copy_n(task_dir, (size_t)(at - task_dir));
        struct stat st;
        if (stat(dir, &st) == 0 && !user_may(user, &st, 01))
            return dir;
        free(dir);
    }
    return NULL;
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return str_copy_n(path, (size_t)(slash - path));
}

/* Else the directory of all allocations; never one at the top of the machine. */
static char *hidden_of(const char *task_dir, const struct user_ids *user)
{
    char *closed = closed_dir(task_dir, user);
    if (closed)
        return closed;
    char *alloc = parent_of(task_dir), *all = parent_of(alloc);
    const bool is_top = all[0] == '\0' || strchr(all + 1, '/') == NULL;
    free(is_top ? all : alloc);
    return is_top ? alloc : all;
}

/* ---- names ---- */

static bool is_clean(const char *text) { return strpbrk(text, " \t\r\n#") == NULL; }

static void put_names(struct buf *out, const char *key, const struct str_list *list)
{
    if (list->count == 0)
        return;
    buf_put_str(out, key);
    for (size_t i = 0; i < list->count; i++)
        buf_put_fmt(out, " %s", list->items[i]);
    buf_put_str(out, "\n");
}

static bool gather_dns(const struct task_spec *spec, struct gathered *g, struct err *err)
{
    if (!spec->has_dns)
        return true;
    g->resolv_at = realpath(ETC "/resolv.conf", NULL);
    if (!g->resolv_at)
        return err_set(err, ERR_NOT_FOUND, "task: dns: this machine has no " ETC "/resolv.conf");
    put_names(&g->resolv, "search", &spec->dns_searches);
    for (size_t i = 0; i < spec->dns_servers.count; i++)
        buf_put_fmt(&g->resolv, "nameserver %s\n", spec->dns_servers.items[i]);
    put_names(&g->resolv, "options", &spec->dns_options);
    return true;
}

static bool gather_hosts(const struct task_spec *spec, struct gathered *g, struct err *err)
{
    const char *name = spec->host_name, *address = spec->host_address;
    if (!name || !address || !*name || !*address || has_word(&spec->config.unconfined, "mounts"))
        return true;
    if (!is_clean(name) || !is_clean(address))
        return err_set(err, ERR_INVALID, "task: hosts_config: is not a name and an address");
    g->hosts_at = realpath(ETC "/hosts", NULL);
    if (!g->hosts_at)
        return err_set(err, ERR_NOT_FOUND, "task: hosts_config: this machine has no " ETC "/hosts");
    buf_put_fmt(&g->hosts,
                "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n"
                "ff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n%s %s\n",
                address, name);
    return true;
}

/* ---- all of it ---- */

static bool gather_limits(const struct task_config *task, struct gathered *g, size_t *count,
                          struct err *err)
{
    for (size_t i = 0; i < task->ulimit.count; i++) {
        const char *pair = task->ulimit.items[i];
        const size_t len = strcspn(pair, "=");
        if (*count == COUNT(g->limits))
            return err_set(err, ERR_INVALID, "task config: ulimit: has too many limits");
        if (!isolation_limit_parse(view_of(pair, len), view_str(pair + len + 1),
                                   &g->limits[(*count)++], err))
            return err_wrap(err, "task config: ulimit");
    }
    return true;
}

static bool is_in(const char *path, const char *dir)
{
    const size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* A volume in the machine's own tree must not come between the agent and its program, which was
 * looked at where it is, nor show or hide what is the driver's. */
static bool check_targets(const struct gathered *g, struct err *err)
{
    const char *const kept[] = { g->command, g->hidden_dir, g->records_dir, g->sockets_dir };
    for (size_t i = 0; i < g->places.mount_count; i++) {
        const struct isolation_wish_mount *mount = &g->places.mounts[i];
        if (strcmp(mount->root, "/") != 0)
            continue;
        const char *path = mount->target - 1; /* with its slash, as it was found */
        for (size_t k = 0; k < COUNT(kept); k++)
            if (is_in(path, kept[k]) || is_in(kept[k], path))
                return err_set(err, ERR_INVALID,
                               "task config: volume_mount.destination: \"%.128s\" would hide "
                               "\"%.64s\"",
                               path, kept[k]);
    }
    return true;
}

/* The plugin has raised its own, which its children inherit. */
static void gather_files(const struct rlimit *files, struct gathered *g, size_t *count)
{
    if (files->rlim_max == 0 || *count == COUNT(g->limits))
        return;
    for (size_t i = 0; i < *count; i++)
        if (g->limits[i].number == RLIMIT_NOFILE)
            return;
    g->limits[(*count)++] = (struct isolation_limit){ .number = RLIMIT_NOFILE,
                                                      .soft = files->rlim_cur,
                                                      .hard = files->rlim_max };
}

static bool gather(const struct surround_in *in, struct gathered *g, struct err *err)
{
    const struct user_ids *user = in->user;
    g->command = real_or_same(in->command);
    g->login = user_name(ETC, user->uid);
    if (!policy_user(in->config, g->login, user->uid, err) ||
        !policy_command(in->config, in->command, g->command, err) ||
        !policy_modes(in->config, &in->spec->config, err) ||
        !places_find(in->spec, in->config, in->task_dir, in->state_path, &g->places, err) ||
        !gather_dns(in->spec, g, err) || !gather_hosts(in->spec, g, err))
        return false;
    g->records_dir = real_or_same(in->config->state_dir);
    g->sockets_dir = real_or_same(in->config->run_dir);
    g->hidden_dir = hidden_of(g->places.task_dir, user);
    if (!check_targets(g, err))
        return false;
    if (in->state_path) /* only with a state is there a sidecar, and its socket */
        g->api = str_format("%s%s", g->sockets_dir, strrchr(in->api, '/'));
    return true;
}

static void fill_places(const struct gathered *g, const struct task_spec *spec,
                        struct isolation_wish *wish)
{
    wish->netns = spec->netns_path;
    wish->resolv_at = g->resolv_at;
    wish->hosts_at = g->hosts_at;
    wish->task_dir = g->places.task_dir;
    wish->shared_dir = g->places.shared_dir;
    wish->hidden_dir = g->hidden_dir;
    wish->records_dir = g->records_dir;
    wish->sockets_dir = g->sockets_dir;
    wish->api = g->api;
    wish->command = g->command;
    wish->paths = g->places.paths;
    wish->path_count = g->places.path_count;
    wish->mounts = g->places.mounts;
    wish->mount_count = g->places.mount_count;
    wish->devices = g->places.devices;
    wish->device_count = g->places.device_count;
}

static bool fill_caps(const struct surround_in *in, struct isolation_wish *wish, struct err *err)
{
    uint64_t kept = 0, added = 0;
    if (!policy_caps(in->config, &in->spec->config, &kept, &added, err))
        return false;
    /* Who is not root gets only what was asked for; a setuid program, if one may be, the rest. */
    wish->caps_given = wish->uid == 0 ? 0 : added;
    wish->caps_bound = wish->uid == 0 || wish->new_privs ? kept : added;
    return true;
}

static void fill_modes(const struct surround_in *in, struct isolation_wish *wish)
{
    const struct task_config *task = &in->spec->config;
    const char *level = task->isolation ? task->isolation : in->config->isolation;
    wish->kernel = *in->kernel;
    wish->require = strcmp(level, "require") == 0;
    wish->no_seccomp = has_word(&task->unconfined, "seccomp");
    wish->no_landlock = has_word(&task->unconfined, "landlock");
    wish->no_mounts = has_word(&task->unconfined, "mounts");
    wish->new_privs = has_word(&task->unconfined, "no_new_privs");
    wish->host_pid = strcmp(task->pid_mode, "host") == 0;
    wish->host_ipc = strcmp(task->ipc_mode, "host") == 0;
    wish->uid = in->user->uid;
    wish->nice = (int32_t)task->nice;
    wish->oom_score_adj = (int32_t)task->oom_score_adj;
    wish->umask = (uint32_t)strtoul(task->umask, NULL, 8);
}

static char *work_dir_of(const struct surround_in *in)
{
    const char *dir = in->spec->config.work_dir;
    if (!dir)
        return str_copy(in->task_dir);
    return dir[0] == '/' ? str_copy(dir) : str_format("%s/%s", in->task_dir, dir);
}

bool surround_make(const struct surround_in *in, struct surround *out, struct err *err)
{
    CLEANUP(gathered_fini) struct gathered g = { 0 };
    struct isolation_wish wish = { 0 };
    struct isolation_draft *draft = mem_new(struct isolation_draft); /* large */
    *out = (struct surround){ 0 };
    fill_modes(in, &wish);
    bool good = gather(in, &g, err) && fill_caps(in, &wish, err) &&
                gather_limits(&in->spec->config, &g, &wish.limit_count, err);
    wish.limits = g.limits;
    if (good) {
        gather_files(&in->files, &g, &wish.limit_count);
        fill_places(&g, in->spec, &wish);
        wish.resolv = g.resolv_at ? buf_borrow_str(&g.resolv) : NULL;
        wish.hosts = g.hosts_at ? buf_borrow_str(&g.hosts) : NULL;
        good = isolation_draft_make(&wish, draft, err);
    }
    if (good) {
        isolation_encode(&draft->plan, &out->plan);
        memcpy(out->missing, draft->missing, sizeof(draft->missing));
        out->work_dir = work_dir_of(in);
    }
    isolation_draft_fini(draft);
    free(draft);
    return good;
}

void surround_fini(struct surround *surround)
{
    buf_fini(&surround->plan);
    free(surround->work_dir);
    *surround = (struct surround){ 0 };
}
