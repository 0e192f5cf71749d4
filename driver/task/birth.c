#include "driver/task/birth.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/own.h"
#include "common/base/time.h"
#include "common/cgroup/cgroup.h"
#include "common/shimwire/spec.h"
#include "driver/exec/environ.h"
#include "driver/limits/apply.h"
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_spec.h"
#include "driver/task/ledger.h"
#include "driver/task/plan.h"
#include "driver/task/statedir.h"

/* Numbers of the descriptors in the shim. */
enum { SHIM_LOCK = 4, SHIM_CONTROL, SHIM_STDOUT, SHIM_STDERR, SHIM_CONFIG };
#define NULL_DEVICE "/dev/null"

#define STOP_TIMEOUT_MS 5000 /* Nomad's default kill_timeout; StopTask brings its own */
#define STOP_RESERVE_MS                                                      \
    2000 /* of it, for the final checkpoint of an agent that ignores signals \
          */

/* The arrays of the agent's program. */
struct texts {
    const char **argv;
    struct environ env;
};

static void texts_fini(struct texts *texts)
{
    free(texts->argv);
    environ_fini(&texts->env);
}

static void texts_fill(const struct birth_in *in, struct texts *out)
{
    const struct task_spec *spec = in->spec;
    const struct str_list *args = &spec->config.args;
    out->argv = mem_array(args->count + 2, sizeof(char *));
    out->argv[0] = in->plan->command;
    for (size_t i = 0; i < args->count; i++)
        out->argv[i + 1] = args->items[i];
    environ_fill(&(struct environ_in){ .env = &spec->env,
                                       .env_count = spec->env_count,
                                       .agent_name = in->plan->agent_name,
                                       .api_path = in->paths->api,
                                       .state_path = in->plan->state_path },
                 &out->env);
}

/* A job that wants no logs gets the null device, as from Nomad. */
bool birth_has_own_logs(const struct plugin_config *config, const struct task_spec *spec)
{
    return plugin_config_has_own_logs(config) && strcmp(spec->stdout_path, NULL_DEVICE) != 0;
}

static void fill_logs(const struct birth_in *in, struct shim_spec *spec)
{
    const struct task_config *job = &in->spec->config;
    const struct plugin_config *node = in->config;
    if (!birth_has_own_logs(node, in->spec)) {
        spec->stdout_fd = SHIM_STDOUT;
        spec->stderr_fd = SHIM_STDERR;
        return;
    }
    spec->log_dir_fd = SHIM_STDOUT;
    spec->log_max_files = (uint32_t)(job->logs.max_files ? job->logs.max_files
                                                         : node->log_max_files);
    spec->log_max_mb = (uint32_t)(job->logs.max_file_size ? job->logs.max_file_size
                                                          : node->log_max_file_size);
}

static bool spec_seal(const struct birth_in *in, const struct launch *launch,
                      const struct limits_applied *limits, struct fd *out, struct err *err)
{
    static const char *const sidecar_env[] = { "PATH=/usr/local/bin:/usr/bin:/bin", NULL };
    const char *const sidecar_argv[] = { in->plan->sidecar, "attach", NULL };
    CLEANUP(texts_fini) struct texts texts = { 0 };
    struct shim_spec spec;
    texts_fill(in, &texts);
    shim_spec_init(&spec);
    memcpy(spec.nonce, launch->nonce, sizeof(spec.nonce));
    spec.task_id = in->spec->id;
    spec.task_name = in->spec->name;
    spec.agent = (struct shim_program){ texts.argv, texts.env.list };
    if (in->plan->sidecar)
        spec.sidecar = (struct shim_program){ sidecar_argv, sidecar_env };
    spec.cwd = launch->inside.cwd;
    spec.uid = launch->inside.uid;
    spec.gid = launch->inside.gid;
    spec.groups = launch->inside.groups;
    spec.group_count = launch->inside.group_count;
    spec.lock_fd = SHIM_LOCK;
    spec.control_fd = SHIM_CONTROL;
    fill_logs(in, &spec);
    spec.config_fd = in->plan->sidecar ? SHIM_CONFIG : -1;
    spec.record_path = in->paths->exit_record;
    spec.socket_path = in->paths->socket;
    spec.api_path = in->plan->sidecar ? in->paths->api : "";
    spec.cgroup_dir = launch->cgroup_dir;
    spec.memory_dir = limits->memory_dir ? limits->memory_dir : "";
    spec.cores = limits->affinity ? limits->affinity : "";
    spec.agent_enters = (const char *const *)limits->agent;
    spec.sidecar_enters = (const char *const *)limits->sidecar;
    spec.isolation = view_of(launch->inside.isolation, launch->inside.isolation_len);
    spec.stop_signal = SIGTERM;
    spec.stop_timeout_ms = STOP_TIMEOUT_MS;
    spec.reserve_ms = in->plan->sidecar ? STOP_RESERVE_MS : 0;
    spec.oom_score_adj = geteuid() == 0 ? (int32_t)in->config->shim_oom_score_adj : 0;
    return shim_spec_seal(&spec, out, err);
}

/* The one place where it is decided: the shim's spec repeats it, and so does each later exec's. */
static bool inside_fill(const struct birth_in *in, struct launch_inside *out, struct err *err)
{
    const struct view plan = buf_view(&in->plan->surround.plan);
    const struct user_ids *user = &in->plan->user;
    _Static_assert(USER_GROUPS_MAX <= SHIM_SPEC_GROUPS_MAX, "all groups fit");
    if (plan.len > sizeof(out->isolation))
        return err_set(
            err, ERR_INVALID,
            "task config: mount, read_paths, write_paths: the plan has %zu bytes, at most "
            "%zu fit",
            plan.len, sizeof(out->isolation));
    out->is_known = true;
    out->uid = user->uid;
    out->gid = user->gid;
    memcpy(out->groups, user->groups, user->group_count * sizeof(out->groups[0]));
    out->group_count = (uint32_t)user->group_count;
    memcpy(out->isolation, plan.data, plan.len);
    out->isolation_len = (uint32_t)plan.len;
    return true;
}

static bool launch_fill(const struct birth_in *in, struct launch *out, struct err *err)
{
    const bool has_sidecar = in->plan->sidecar != NULL;
    const struct {
        char *to;
        const char *from;
        size_t size;
    } texts[] = {
        { out->inside.cwd, in->plan->surround.work_dir, sizeof(out->inside.cwd) },
        { out->inside.agent_name, has_sidecar ? in->plan->agent_name : "",
          sizeof(out->inside.agent_name) },
        { out->inside.state_path, has_sidecar ? in->plan->state_path : "",
          sizeof(out->inside.state_path) },
        { out->alloc_id, in->spec->alloc_id, sizeof(out->alloc_id) },
        { out->task_name, in->spec->name, sizeof(out->task_name) },
        { out->task_id, in->spec->id, sizeof(out->task_id) },
        { out->cgroup_dir, in->plan->cgroup_dir, sizeof(out->cgroup_dir) },
        { out->boot_id, in->boot_id, sizeof(out->boot_id) },
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        if (strlen(texts[i].from) >= texts[i].size)
            return err_set(err, ERR_INVALID, "start task: \"%.64s...\" is too long", texts[i].from);
        memcpy(texts[i].to, texts[i].from, strlen(texts[i].from) + 1);
    }
    if (!inside_fill(in, &out->inside, err))
        return false;
    if (getrandom(out->nonce, sizeof(out->nonce), 0) != (ssize_t)sizeof(out->nonce))
        return err_sys(err, errno, "read random bytes");
    out->at = wall_now();
    return true;
}

/* A directory of that name that is there already is an older launch's. It is emptied and made anew,
 * not used again: on Linux 6.18 a process that is born into a cgroup which was once killed dies at
 * birth (its kill sequence is compared with that of the parent's cgroup). */
static bool cgroup_make_new(const char *dir, struct err *err)
{
    struct cgroup cg = CGROUP_NONE;
    struct err inner = { 0 };
    if (cgroup_open(dir, false, &cg, &inner)) {
        const bool is_empty = cgroup_kill_wait(&cg, LEDGER_EMPTY_WAIT_MS, err);
        cgroup_fini(&cg);
        if (!is_empty || !cgroup_remove(dir, err))
            return false;
    }
    if (!cgroup_open(dir, true, &cg, err)) {
        (void)rmdir(dir); /* it may have been made and not opened */
        return false;
    }
    cgroup_fini(&cg);
    return true;
}

/* "Not here" is a fact about the host and makes do without; "not now" is an error. */
static bool is_not_here(const struct err *err)
{
    return err->kind == ERR_DENIED || err->kind == ERR_NOT_FOUND || err->kind == ERR_INVALID ||
           err->os_errno == EROFS;
}

/* Made here and not by the shim, to learn whether it can be: on a host where it cannot, the agent
 * is contained by its PID namespace alone. A parent that an operator named must work. */
static bool cgroup_make(const struct birth_in *in, struct launch *launch, struct err *err)
{
    struct err inner = { 0 };
    if (launch->cgroup_dir[0] == '\0' || cgroup_make_new(launch->cgroup_dir, &inner))
        return true;
    if (!is_not_here(&inner) || in->config->cgroup_parent) {
        *err = inner;
        return err_wrap(err, "make the agent's cgroup");
    }
    launch->cgroup_dir[0] = '\0';
    return true;
}

static bool limits_make(const struct birth_in *in, const struct launch *launch,
                        struct limits_applied *out, struct err *err)
{
    const char *cpuset = in->spec->resources.cpuset_cgroup;
    CLEANUP(str_freep) char *nomad = limits_nomad_parent(in->paths->layout, cpuset);
    const struct limits_site site = { .place = { .layout = in->paths->layout,
                                                 .agent_v2 = launch->cgroup_dir,
                                                 .nomad = nomad,
                                                 .alloc_id = launch->alloc_id,
                                                 .task_name = launch->task_name,
                                                 .key = in->paths->key },
                                      .cpuset = cpuset ? cpuset : "",
                                      .has_sidecar = in->plan->sidecar != NULL };
    return limits_apply(&site, &in->plan->limits, out, err);
}

static bool shim_spawn(const struct birth_in *in, const struct fd *spec, const struct fd *config,
                       struct birth_out *out, struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(err, errno, "create control socket");
    CLEANUP(fd_closep) struct fd ours = { pair[0] };
    CLEANUP(fd_closep) struct fd theirs = { pair[1] };
    CLEANUP(fd_closep) struct fd null = { open(NULL_DEVICE, O_RDWR | O_CLOEXEC) };
    if (!fd_is_open(null))
        return err_sys(err, errno, "open \"" NULL_DEVICE "\"");
    /* 0, 1 and 2 too: a shim that held our own stdout or stderr would keep Nomad from noticing that
     * we have died. */
    const struct proc_map fds[] = {
        { null.raw, 0 },
        { null.raw, 1 },
        { null.raw, 2 },
        { spec->raw, SHIM_SPEC_FD },
        { in->lock_fd, SHIM_LOCK },
        { theirs.raw, SHIM_CONTROL },
        { in->stdout_fd, SHIM_STDOUT },
        { in->stderr_fd >= 0 ? in->stderr_fd : null.raw, SHIM_STDERR },
        { config->raw, SHIM_CONFIG },
    };
    const char *const argv[] = { in->plan->shim, NULL };
    const char *const envp[] = { NULL };
    const struct proc_spec proc = { .argv = argv,
                                    .envp = envp,
                                    .fds = fds,
                                    .fd_count = COUNT(fds) - (fd_is_open(*config) ? 0 : 1),
                                    .cgroup_fd = -1 };
    if (!proc_spawn(&proc, &out->shim, err))
        return err_wrap(err, "start shim");
    if (!proc_wait_start(&out->shim, err))
        return err_wrap(err, "start shim \"%.128s\"", in->plan->shim);
    out->control = fd_take(&ours);
    return true;
}

bool birth(const struct birth_in *in, struct birth_out *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd spec = FD_NONE;
    CLEANUP(fd_closep) struct fd config = FD_NONE;
    CLEANUP(limits_applied_fini) struct limits_applied limits = { 0 };
    *out = (struct birth_out){ .shim = PROC_NONE, .control = FD_NONE };
    if (in->plan->sidecar &&
        !state_dir_make(in->spec->alloc_dir, in->plan->state_path, &in->plan->user, err))
        return false;
    if (!launch_fill(in, &out->launch, err) || !cgroup_make(in, &out->launch, err) ||
        !limits_make(in, &out->launch, &limits, err) ||
        !spec_seal(in, &out->launch, &limits, &spec, err))
        return false;
    out->unlimited = STEAL(limits.missing);
    if (in->plan->sidecar &&
        !fd_sealed("agent.hcl", in->plan->agent_hcl.data, in->plan->agent_hcl.len, &config, err))
        return false;
    return ledger_publish(in->paths, &out->launch, err) && shim_spawn(in, &spec, &config, out, err);
}
