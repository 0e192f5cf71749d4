#include "sidecar/cmd/launch.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/cgroup/cgroup.h"
#include "common/log/log.h"
#include "common/shimwire/spec.h"
#include "common/shimwire/taskkey.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>

#define INSTALLED_SHIM "/usr/libexec/nomad-driver-agent/agent-shim"
#define CGROUP_PREFIX  "agent-"

extern char **environ;

struct words { /* a list of owned texts that ends with NULL */
    char **items;
    size_t count;
};

static void words_add(struct words *w, char *owned)
{
    w->items = mem_resize(w->items, w->count + 2, sizeof *w->items);
    w->items[w->count++] = owned;
    w->items[w->count] = NULL;
}

static void words_fini(struct words *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->items[i]);
    free(w->items);
    *w = (struct words){ 0 };
}

static void key_of(const struct sidecar_config *config, char out[TASK_KEY_BYTES])
{
    task_key(view_str(config->name), view_str(config->state.path), out);
}

/* Where sockets of this user go; made when it is not there. */
static char *run_dir(void)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0)
        return str_copy("/run/agent-sidecar");
    if (xdg != NULL && xdg[0] == '/')
        return str_format("%s/agent-sidecar", xdg);
    return str_format("/tmp/agent-sidecar-%u", (unsigned)geteuid());
}

static char *absolute(const char *path)
{
    char cwd[PATH_MAX];
    if (path[0] == '/' || getcwd(cwd, sizeof cwd) == NULL)
        return str_copy(path);
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    return str_format("%s/%s", cwd, path);
}

bool launch_api_path(const struct sidecar_config *config, char out[LAUNCH_API_BYTES],
                     struct err *err)
{
    char key[TASK_KEY_BYTES];
    CLEANUP(str_freep) char *state = absolute(config->state.path);
    CLEANUP(str_freep) char *dir = run_dir();
    task_key(view_str(config->name), view_str(state), key);
    CLEANUP(str_freep)
    char *path = config->api.path[0] != '\0' ? absolute(config->api.path)
                                             : str_format("%s/%s.api", dir, key);
    if (strlen(path) >= LAUNCH_API_BYTES)
        return err_set(err, ERR_INVALID, "api.path: \"%.100s...\" has %zu bytes, at most %d fit",
                       path, strlen(path), LAUNCH_API_BYTES - 1);
    memcpy(out, path, strlen(path) + 1);
    return true;
}

static bool is_program(const char *path, struct err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return errno == ENOENT || errno == ENOTDIR
                   ? err_set(err, ERR_NOT_FOUND, "find program \"%s\": not there", path)
                   : err_sys(err, errno, "find program \"%s\"", path);
    if (!S_ISREG(st.st_mode) || access(path, X_OK) != 0)
        return err_set(err, ERR_DENIED, "run \"%s\": not an executable file", path);
    return true;
}

bool launch_find(const char *program, char **out, struct err *err)
{
    if (strchr(program, '/') != NULL) {
        CLEANUP(str_freep) char *path = absolute(program);
        if (!is_program(path, err))
            return false;
        *out = STEAL(path);
        return true;
    }
    const char *at = getenv("PATH");
    for (at = at != NULL ? at : "/usr/local/bin:/usr/bin:/bin"; *at != '\0';) {
        size_t len = strcspn(at, ":");
        CLEANUP(str_freep) char *dir = str_copy_n(at, len);
        CLEANUP(str_freep) char *path = str_format("%s/%s", len > 0 ? dir : ".", program);
        struct err here;
        if (is_program(path, &here)) {
            *out = absolute(path);
            return true;
        }
        at += len + (at[len] == ':');
    }
    return err_set(err, ERR_NOT_FOUND, "find program \"%s\": not along PATH", program);
}

static bool own_exe(char **out, struct err *err)
{
    char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path);
    if (len < 0 || len == (ssize_t)sizeof path)
        return err_sys(err, errno, "read \"/proc/self/exe\"");
    *out = str_copy_n(path, (size_t)len);
    return true;
}

bool launch_find_shim(const char *given, char **out, struct err *err)
{
    CLEANUP(str_freep) char *exe = NULL;
    struct err here;
    if (given != NULL)
        return launch_find(given, out, err);
    if (!own_exe(&exe, err))
        return false;
    CLEANUP(str_freep)
    char *beside = str_format("%.*s/agent-shim", (int)(strrchr(exe, '/') - exe), exe);
    return launch_find(beside, out, &here) || launch_find(INSTALLED_SHIM, out, &here) ||
           err_set(err, ERR_NOT_FOUND, "find agent-shim: neither \"%.100s\" nor \"%s\"", beside,
                   INSTALLED_SHIM);
}

static void settle(char **member)
{
    char *path = absolute(*member);
    free(*member);
    *member = path;
}

bool launch_settle(struct sidecar_config *config, struct err *err)
{
    char api[LAUNCH_API_BYTES];
    if (config->state.is_present)
        settle(&config->state.path);
    settle(&config->state.key_file);
    if (!launch_api_path(config, api, err))
        return false;
    free(config->api.path);
    config->api.path = str_copy(api);
    config->api.is_present = true; /* or it is not handed over */
    CLEANUP(str_freep) char *dir = str_copy_n(api, (size_t)(strrchr(api, '/') - api));
    return dir[0] == '\0' || dir_make(dir, 0755, err) || err_wrap(err, "api.path");
}

/* Directories that killed runs of this agent left: their number is a process that is gone. */
static void sweep(const char *parent, const char *prefix)
{
    DIR *dir = opendir(parent);
    if (dir == NULL)
        return;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int pid;
        struct err left;
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0 ||
            sscanf(entry->d_name + strlen(prefix), "%d", &pid) != 1 || kill(pid, 0) == 0)
            continue;
        CLEANUP(str_freep) char *path = str_format("%s/%s", parent, entry->d_name);
        if (!cgroup_remove(path, &left))
            LOG(LOG_DEBUG, "an old cgroup stays", F(why, &left));
    }
    (void)closedir(dir);
}

/* A group of its own makes freezes and kills complete. Where we may not make one, checkpoints of a
 * busy agent are fuzzy, which is said once and counted. Here it is only tried: the shim makes it,
 * and removes what it made. */
static char *make_cgroup(const struct sidecar_config *config)
{
    char own[CGROUP_PATH_MAX], key[TASK_KEY_BYTES];
    struct cgroup cg = CGROUP_NONE;
    struct err err;
    key_of(config, key);
    if (!cgroup_own(own, &err)) {
        LOG(LOG_WARN, "no cgroup of its own: freezes are incomplete", F(why, &err));
        return str_copy("");
    }
    CLEANUP(str_freep) char *prefix = str_format("%s%s-", CGROUP_PREFIX, key);
    CLEANUP(str_freep) char *path = str_format("%s/%s%d", own, prefix, getpid());
    sweep(own, prefix);
    bool is_made = cgroup_open(path, true, &cg, &err);
    cgroup_fini(&cg);
    if (!is_made || !cgroup_remove(path, &err)) {
        LOG(LOG_WARN, "no cgroup of its own: freezes are incomplete", F(why, &err));
        return str_copy("");
    }
    return STEAL(path);
}

static bool is_ours(const char *variable)
{
    static const char *const names[] = { "AGENT_NAME=",     "AGENT_API=",   "AGENT_STATE_DIR=",
                                         "AGENT_RESTORED=", "AGENT_EPOCH=", "AGENT_SIDECAR_" };
    for (size_t i = 0; i < COUNT(names); i++)
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return true;
    return false;
}

static void agent_env(const struct sidecar_config *config, struct words *out)
{
    for (char **v = environ; *v != NULL; v++)
        if (!is_ours(*v))
            words_add(out, str_copy(*v));
    words_add(out, str_format("AGENT_NAME=%s", config->name));
    if (config->lease.is_present)
        words_add(out, str_format("AGENT_API=%s", config->api.path));
    if (config->state.is_present)
        words_add(out, str_format("AGENT_STATE_DIR=%s", config->state.path));
}

/* Nothing but the switches of sanitizers, which only test builds look at. */
static void sidecar_env(struct words *out)
{
    for (char **v = environ; *v != NULL; v++)
        if (strstr(*v, "SAN_OPTIONS=") != NULL)
            words_add(out, str_copy(*v));
    if (out->count == 0)
        words_add(out, str_copy("LC_ALL=C"));
}

/* Out of the way of the numbers that the shim gives a meaning to; inherited. */
static bool keep_fd(int fd, int32_t *out, struct err *err)
{
    *out = fcntl(fd, F_DUPFD, 10); /* banned: it is to be inherited */
    if (*out >= 0 || errno == EBADF)
        return true;
    return err_sys(err, errno, "keep descriptor %d", fd);
}

struct launching {
    struct shim_spec spec;
    struct words agent_env, sidecar_argv, sidecar_env;
    char *program, *cgroup, cwd[PATH_MAX];
    char **argv;
    uint32_t groups[SHIM_SPEC_GROUPS_MAX];
};

static void launching_fini(struct launching *l)
{
    words_fini(&l->agent_env);
    words_fini(&l->sidecar_argv);
    words_fini(&l->sidecar_env);
    free(l->program);
    free(l->cgroup);
    free(l->argv);
}

static bool set_agent(struct launching *l, const struct sidecar_config *config,
                      char *const *command, struct err *err)
{
    size_t count = 0;
    if (!launch_find(command[0], &l->program, err))
        return false;
    while (command[count] != NULL)
        count++;
    l->argv = mem_array(count + 1, sizeof *l->argv);
    memcpy(l->argv, command, count * sizeof *l->argv);
    l->argv[0] = l->program;
    agent_env(config, &l->agent_env);
    l->spec.agent.argv = (const char *const *)l->argv;
    l->spec.agent.envp = (const char *const *)l->agent_env.items;
    if (getcwd(l->cwd, sizeof l->cwd) == NULL)
        return err_sys(err, errno, "find working directory");
    l->spec.cwd = l->cwd;
    l->spec.uid = geteuid();
    l->spec.gid = getegid();
    int groups = getgroups(SHIM_SPEC_GROUPS_MAX, l->groups);
    if (groups < 0)
        return err_sys(err, errno, "read groups");
    l->spec.groups = l->groups;
    l->spec.group_count = (size_t)groups;
    return keep_fd(0, &l->spec.stdin_fd, err) && keep_fd(1, &l->spec.stdout_fd, err) &&
           keep_fd(2, &l->spec.stderr_fd, err);
}

/* The shim is not told of the API's socket, which it would remove at its end: by then a standby
 * with the same configuration may listen there. The sidecar removes its own. */
static bool set_sidecar(struct launching *l, const struct sidecar_config *config, int config_fd,
                        const char *log_level, struct err *err)
{
    char *exe;
    if (!config->lease.is_present)
        return true;
    if (!own_exe(&exe, err))
        return false;
    words_add(&l->sidecar_argv, exe);
    words_add(&l->sidecar_argv, str_copy("attach"));
    words_add(&l->sidecar_argv, str_format("-log-level=%s", log_level));
    sidecar_env(&l->sidecar_env);
    l->spec.sidecar.argv = (const char *const *)l->sidecar_argv.items;
    l->spec.sidecar.envp = (const char *const *)l->sidecar_env.items;
    return keep_fd(config_fd, &l->spec.config_fd, err);
}

bool launch_spec(const struct sidecar_config *config, char *const *command, int config_fd,
                 const char *log_level, struct fd *out, struct err *err)
{
    CLEANUP(launching_fini) struct launching l = { 0 };
    shim_spec_init(&l.spec);
    if (!set_agent(&l, config, command, err) || !set_sidecar(&l, config, config_fd, log_level, err))
        return false;
    l.spec.stop_signal = config_stop_signal(config);
    if (getrandom(l.spec.nonce, sizeof l.spec.nonce, 0) != (ssize_t)sizeof l.spec.nonce)
        return err_sys(err, errno, "draw a nonce");
    l.spec.flags = SHIM_STANDALONE;
    l.spec.task_id = l.spec.task_name = config->name[0] != '\0' ? config->name : "agent";
    l.cgroup = make_cgroup(config);
    l.spec.cgroup_dir = l.cgroup;
    l.spec.stop_timeout_ms = (uint32_t)config->stop.timeout_ms;
    l.spec.reserve_ms = (uint32_t)config->stop.reserve_ms;
    return shim_spec_seal(&l.spec, out, err);
}
