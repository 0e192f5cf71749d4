#include "driver/enter/child.h"

#include "common/base/own.h"
#include "common/proc/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GONE     "join the task: it has ended"
#define DYING_MS 1000

/* Every kind that the agent may have of its own; the order is the kernel's business. */
static const struct {
    const char *name;
    int flag;
} namespaces[] = {
    { "pid", CLONE_NEWPID }, { "mnt", CLONE_NEWNS },  { "net", CLONE_NEWNET },
    { "ipc", CLONE_NEWIPC }, { "uts", CLONE_NEWUTS }, { "cgroup", CLONE_NEWCGROUP },
};

/* ---- in the helper ---- */

static bool ends_within(int pidfd, int ms)
{
    struct pollfd ended = { .fd = pidfd, .events = POLLIN };
    return poll(&ended, 1, ms) != 0;
}

static bool is_alive(int pidfd) { return !ends_within(pidfd, 0); }

/* A kind that this kernel lacks cannot differ. */
static bool differs(pid_t pid, const char *name, bool *out, struct err *err)
{
    char path[64];
    struct stat own, other;
    (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
    *out = false;
    if (stat(path, &own) != 0)
        return errno == ENOENT || err_sys(err, errno, "look at \"%s\"", path);
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, name);
    if (stat(path, &other) != 0)
        return errno == ENOENT ? err_set(err, ERR_NOT_FOUND, GONE)
                               : err_sys(err, errno, "look at the task's namespaces");
    *out = own.st_ino != other.st_ino || own.st_dev != other.st_dev;
    return true;
}

static bool find_namespaces(struct enter_child *child, pid_t pid, struct err *err)
{
    for (size_t i = 0; i < COUNT(namespaces); i++) {
        bool is_other = false;
        if (!differs(pid, namespaces[i].name, &is_other, err))
            return false;
        if (is_other && namespaces[i].flag == CLONE_NEWPID)
            child->in_pidns = true;
        else if (is_other)
            child->subject.enter_namespaces |= namespaces[i].flag;
    }
    return true;
}

static bool open_agent(struct enter_child *child, struct err *err)
{
    struct proc_identity who = { .pid = (pid_t)child->spec->agent_pid,
                                 .start_ticks = child->spec->agent_start_ticks };
    (void)snprintf(who.boot_id, sizeof(who.boot_id), "%s", child->spec->boot_id);
    if (!proc_open(&who, &child->agent, err))
        return err->kind == ERR_NOT_FOUND ? err_set(err, ERR_NOT_FOUND, GONE) : false;
    if (!find_namespaces(child, who.pid, err) || !v1_open(who.pid, &child->v1, err))
        return false;
    if (sched_getaffinity(who.pid, sizeof(child->cores), &child->cores) != 0)
        return errno == ESRCH ? err_set(err, ERR_NOT_FOUND, GONE)
                              : err_sys(err, errno, "read the task's cores");
    /* What was read by the number was its own: it had not ended afterwards either. */
    return is_alive(child->agent.raw) || err_set(err, ERR_NOT_FOUND, GONE);
}

bool enter_child_open(struct enter_child *child, const struct exec_spec *spec, struct err *err)
{
    child->spec = spec;
    child->agent = FD_NONE;
    child->subject = (struct isolation_subject){ .plan = &child->plan,
                                                 .uid = spec->uid,
                                                 .gid = spec->gid,
                                                 .groups = spec->groups,
                                                 .group_count = spec->group_count,
                                                 .cwd = spec->cwd,
                                                 .nice = getpriority(PRIO_PROCESS, 0),
                                                 .death_signal = SIGKILL,
                                                 .is_guest = true };
    if (!isolation_decode(spec->isolation, &child->plan, err) || !open_agent(child, err))
        return false;
    child->subject.enter_fd = child->agent.raw;
    child->subject.in_pidns = child->in_pidns;
    for (size_t i = 0; spec->arguments[i] != NULL; i++)
        child->argv[i + 1] = spec->arguments[i];
    child->argv[0] = spec->programs[0];
    if (child->in_pidns && setns(child->agent.raw, CLONE_NEWPID) != 0)
        return errno == ESRCH ? err_set(err, ERR_NOT_FOUND, GONE)
                              : err_sys(err, errno, "enter the task's PID namespace");
    return true;
}

void enter_child_fini(struct enter_child *child)
{
    fd_closep(&child->agent);
    v1_fini(&child->v1);
}

/* ---- in the command's process ---- */

static int join_limits(const struct enter_child *child)
{
    int error = v1_join(&child->v1);
    if (error == 0 && sched_setaffinity(0, sizeof(child->cores), &child->cores) != 0)
        error = errno;
    return error;
}

/* All of ours but what the rest of the way needs: whoever gets hold of this process from inside the
 * task must find nothing that leads out. */
static int close_ours(int first, int second)
{
    unsigned low = (unsigned)(first < second ? first : second);
    unsigned high = (unsigned)(first < second ? second : first);
    if ((low > 3 && syscall(SYS_close_range, 3U, low - 1, 0U) != 0) ||
        (high > low + 1 && syscall(SYS_close_range, low + 1, high - 1, 0U) != 0) ||
        syscall(SYS_close_range, high + 1, ~0U, 0U) != 0)
        return errno;
    return 0;
}

/* The task's kill may have come before we were in its cgroup: then the agent is dead (DESIGN, E5).
 */
static int see_agent(const struct enter_child *child)
{
    return is_alive(child->agent.raw) ? 0 : ESRCH;
}

static int take_terminal(const struct enter_child *child)
{
    bool is_wanted = (child->spec->flags & EXEC_TERMINAL) != 0;
    return is_wanted && ioctl(STDIN_FILENO, TIOCSCTTY, 0) != 0 ? errno : 0;
}

static int find_program(const char *const *programs, const char **out)
{
    for (; *programs != NULL; programs++) {
        *out = *programs;
        if (faccessat(AT_FDCWD, *programs, F_OK, 0) == 0)
            return 0;
    }
    return ENOENT;
}

static bool failed(struct proc_failure *why, int stage, int error)
{
    *why = (struct proc_failure){ stage, error, -1 };
    return error != 0;
}

static bool prepare(const void *arg, int keep_fd, struct proc_failure *why)
{
    struct enter_child *child = (struct enter_child *)(uintptr_t)arg; /* our copy of it */
    struct isolation_failure failure;
    if (failed(why, ENTER_STAGE_LIMITS, join_limits(child)) ||
        failed(why, ENTER_STAGE_DESCRIPTORS, close_ours(keep_fd, child->agent.raw)) ||
        failed(why, ENTER_STAGE_AGENT, see_agent(child)) ||
        failed(why, ENTER_STAGE_TERMINAL, take_terminal(child)))
        return false;
    if (!isolation_apply(&child->subject, &failure)) {
        *why = (struct proc_failure){ failure.stage, failure.os_errno, failure.object };
        return false;
    }
    return !failed(why, ENTER_STAGE_PROGRAM, find_program(child->spec->programs, &child->argv[0]));
}

bool enter_child_spawn(struct enter_child *child, int cgroup_fd, bool enters_late, struct proc *out,
                       struct err *err)
{
    const struct proc_map map[] = { { EXEC_FD_STDIN, 0 },
                                    { EXEC_FD_STDOUT, 1 },
                                    { EXEC_FD_STDERR, 2 } };
    const struct proc_spec spec = { .argv = child->argv,
                                    .envp = child->spec->envp,
                                    .fds = map,
                                    .fd_count = COUNT(map),
                                    .cgroup_fd = cgroup_fd,
                                    .enters_late = enters_late,
                                    .death_signal = SIGKILL,
                                    .new_session = true,
                                    .in_child = prepare,
                                    .in_child_arg = child };
    if (proc_spawn(&spec, out, err))
        return true;
    /* A dead PID namespace, whose processes are dying, and a cgroup that was removed. */
    bool may_be_gone = err->os_errno == ENOMEM || err->os_errno == ENODEV;
    bool is_gone = may_be_gone && ends_within(child->agent.raw, DYING_MS);
    return is_gone ? err_set(err, ERR_NOT_FOUND, GONE) : false;
}

#define STAGE_TEXT(stage, number, text) { number, text },
static const struct {
    int stage;
    const char *text;
} stage_texts[] = { ENTER_STAGES(STAGE_TEXT) };

static const char *text_of(int stage)
{
    for (size_t i = 0; i < COUNT(stage_texts); i++)
        if (stage_texts[i].stage == stage)
            return stage_texts[i].text;
    const char *text = isolation_stage_text(stage);
    return text != NULL ? text : proc_stage_text(stage);
}

static bool program_error(const struct enter_child *child, int error, struct err *err)
{
    const char *const *programs = child->spec->programs;
    bool is_absent = error == ENOENT || error == ENOTDIR;
    if (is_absent && programs[1] != NULL)
        return err_set(err, ERR_NOT_FOUND,
                       "it is neither in the task's directories nor in its PATH");
    if (is_absent)
        return err_set(err, ERR_NOT_FOUND, "execute \"%.128s\": no such file", programs[0]);
    if (error == EACCES || error == EPERM)
        return err_set(err, ERR_DENIED, "execute it: permission denied");
    return err_sys(err, error, "execute it");
}

bool enter_child_error(const struct enter_child *child, const struct proc_failure *why,
                       struct err *err)
{
    bool is_gone = why->stage == ENTER_STAGE_AGENT ||
                   (why->stage == ISOLATION_STAGE_ENTER && why->os_errno == ESRCH) ||
                   !is_alive(child->agent.raw);
    if (is_gone)
        return err_set(err, ERR_NOT_FOUND, GONE);
    if (why->stage == ENTER_STAGE_PROGRAM || why->stage == PROC_STAGE_EXEC)
        return program_error(child, why->os_errno, err);
    if (why->stage == ISOLATION_STAGE_DIRECTORY)
        return err_sys(err, why->os_errno, "%s \"%.128s\"", text_of(why->stage), child->spec->cwd);
    return err_sys(err, why->os_errno, "%s", text_of(why->stage));
}
