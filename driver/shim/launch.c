#include "driver/shim/launch.h"

#include "driver/isolation/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define EPOCH    "AGENT_EPOCH="
#define RESTORED "AGENT_RESTORED="

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

void shim_env_build(struct shim_env *env, const char *const *envp, const struct shim_msg *gate)
{
    size_t count = 0;
    for (; *envp != NULL && count < SHIM_SPEC_SLOTS; envp++)
        if (gate == NULL || !(starts_with(*envp, EPOCH) || starts_with(*envp, RESTORED)))
            env->list[count++] = *envp;
    if (gate != NULL) {
        (void)snprintf(env->epoch, SHIM_ENV_TEXT, EPOCH "%" PRIu64, gate->arm.epoch);
        (void)snprintf(env->restored, SHIM_ENV_TEXT, RESTORED "%s", gate->arm.restored);
        env->list[count++] = env->epoch;
        env->list[count++] = env->restored;
    }
    env->list[count] = NULL;
}

/* The first number of `*text`, which is moved behind it. */
static bool take_core(const char **text, unsigned long *out)
{
    char *end = NULL;
    if (**text < '0' || **text > '9')
        return false;
    *out = strtoul(*text, &end, 10);
    *text = end;
    return *out < CPU_SETSIZE;
}

bool shim_cores_parse(const char *text, cpu_set_t *out)
{
    CPU_ZERO(out);
    for (;; text++) {
        unsigned long first = 0, last;
        if (!take_core(&text, &first))
            return false;
        last = first;
        if (*text == '-' && (text++, !take_core(&text, &last) || last < first))
            return false;
        for (; first <= last; first++)
            CPU_SET(first, out);
        if (*text != ',')
            return *text == '\0';
    }
}

/* ---- in the children ---- */

static bool enter_cgroups(const char *const *files, struct proc_failure *why)
{
    for (; files != NULL && *files != NULL; files++) {
        const int fd = open(*files, O_WRONLY | O_CLOEXEC);
        const bool is_in = fd >= 0 && write(fd, "0", 1) == 1;
        *why = (struct proc_failure){ PROC_STAGE_CGROUP, errno, -1 };
        if (fd >= 0)
            (void)close(fd);
        if (!is_in)
            return false;
    }
    return true;
}

static bool keep_to_cores(const char *cores, struct proc_failure *why)
{
    cpu_set_t set;
    if (cores[0] == '\0')
        return true;
    const bool is_text = shim_cores_parse(cores, &set);
    if (is_text && sched_setaffinity(0, sizeof(set), &set) == 0)
        return true;
    *why = (struct proc_failure){ PROC_STAGE_CORES, is_text ? errno : EINVAL, -1 };
    return false;
}

static bool prepare_sidecar(const void *arg, int keep_fd, struct proc_failure *why)
{
    (void)keep_fd;
    const struct shim_launch *launch = arg;
    if (!enter_cgroups(launch->spec->sidecar_enters, why))
        return false;
    if (setpriority(PRIO_PROCESS, 0, launch->nice) == 0)
        return true;
    *why = (struct proc_failure){ ISOLATION_STAGE_NICE, errno, -1 };
    return false;
}

struct agent_child {
    const struct shim_spec *spec;
    struct isolation_subject subject;
};

static bool prepare_agent(const void *arg, int keep_fd, struct proc_failure *why)
{
    (void)keep_fd;
    const struct agent_child *child = arg;
    struct isolation_failure failure;
    if (!enter_cgroups(child->spec->agent_enters, why) || !keep_to_cores(child->spec->cores, why))
        return false;
    /* The shim is not dumpable; then /proc/self would not be ours to write in. Exec sets it anew.
     */
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    if (isolation_apply(&child->subject, &failure))
        return true;
    *why = (struct proc_failure){ failure.stage, failure.os_errno, failure.object };
    return false;
}

/* ---- in the shim ---- */

static int or_null(struct fd fd, int null_fd) { return fd_is_open(fd) ? fd.raw : null_fd; }

bool shim_launch_sidecar(const struct shim_launch *launch, int channel, struct proc *out,
                         struct err *err)
{
    const struct shim_fds *fds = launch->fds;
    struct proc_map map[] = { { STDIN_FILENO, 0 },
                              { STDOUT_FILENO, 1 },
                              { or_null(fds->err, STDERR_FILENO), 2 },
                              { channel, SHIM_SIDECAR_FD },
                              { fds->config.raw, SHIM_SIDECAR_CONFIG } };
    struct proc_spec spec = { .argv = launch->spec->sidecar.argv,
                              .envp = launch->spec->sidecar.envp,
                              .fds = map,
                              .fd_count = fd_is_open(fds->config) ? 5 : 4,
                              .cgroup_fd = -1,
                              .death_signal = SIGKILL,
                              .new_session = true,
                              .in_child = prepare_sidecar,
                              .in_child_arg = launch };
    return proc_spawn(&spec, out, err);
}

bool shim_launch_agent(const struct shim_launch *launch, const struct shim_tree *tree,
                       const struct shim_env *env, struct proc *out, struct err *err)
{
    const struct shim_fds *fds = launch->fds;
    bool in_pidns = tree->keeper.pid != 0;
    struct agent_child child = { .spec = launch->spec };
    child.subject = (struct isolation_subject){ .plan = &launch->plan,
                                                .uid = launch->spec->uid,
                                                .gid = launch->spec->gid,
                                                .groups = launch->spec->groups,
                                                .group_count = launch->spec->group_count,
                                                .cwd = launch->spec->cwd,
                                                .nice = launch->nice,
                                                .in_pidns = in_pidns,
                                                .death_signal = SIGKILL };
    struct proc_map map[] = { { or_null(fds->in, STDIN_FILENO), 0 },
                              { or_null(fds->out, STDOUT_FILENO), 1 },
                              { or_null(fds->err, STDERR_FILENO), 2 } };
    struct proc_spec spec = { .argv = launch->spec->agent.argv,
                              .envp = env->list,
                              .fds = map,
                              .fd_count = 3,
                              .cgroup_fd = tree->cgroup.dir.raw,
                              .enters_late = launch->enters_cgroup_late,
                              .death_signal = SIGKILL,
                              .new_session = true,
                              .in_child = prepare_agent,
                              .in_child_arg = &child };
    if (in_pidns && !launch->enters_cgroup_late && !keeper_enter(&tree->keeper, err))
        return false; /* at the second try we are in it already */
    return proc_spawn(&spec, out, err);
}

/* The kernel's word, but for two that would mislead. */
static const char *reason(const struct shim_spec *spec, const struct proc_failure *why)
{
    if (why->stage == PROC_STAGE_EXEC && why->os_errno == ENOENT &&
        access(spec->agent.argv[0], F_OK) == 0)
        return "its interpreter is not there";
    if (why->stage == ISOLATION_STAGE_MOUNTS && why->os_errno == EINVAL)
        return "the root directory is no mount point (before a chroot, bind it onto itself)";
    return strerror(why->os_errno);
}

void shim_launch_explain(const struct shim_launch *launch, const struct proc_failure *why,
                         char out[SHIM_TEXT_MAX + 1])
{
    char text[2 * SHIM_TEXT_MAX], named[SHIM_TEXT_MAX];
    const struct shim_spec *spec = launch->spec;
    const char *doing = isolation_stage_text(why->stage);
    const char *object = why->stage == ISOLATION_STAGE_DIRECTORY ? spec->cwd : spec->agent.argv[0];
    if (isolation_object_text(&launch->plan, why->stage, why->object, named, sizeof(named)))
        object = named;
    (void)snprintf(text, sizeof(text), "%s \"%s\": %s",
                   doing != NULL ? doing : proc_stage_text(why->stage), object, reason(spec, why));
    shim_text_copy(out, text);
}
