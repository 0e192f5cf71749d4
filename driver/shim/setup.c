#include "driver/shim/setup.h"

#include "common/proc/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

/* Freezing and thawing 75 spinning processes took up to 18 ms at nice 0, 1.2 ms at -15. */
#define OWN_NICE (-15)

static void write_score(int32_t score)
{
    char text[16];
    int len = snprintf(text, sizeof(text), "%d", (int)score);
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : write(fd, text, (size_t)len);
    (void)got; /* less protected, but able to work */
    if (fd >= 0)
        (void)close(fd);
}

static bool become_supervisor(struct shim_run *run, struct err *err)
{
    /* Alone we stay where the caller put us: its terminal's ^C is for us, and we make it a stop. */
    if (!run->is_standalone)
        (void)setsid(); /* refused when we lead a session already */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        return err_sys(err, errno, "become subreaper");
    run->launch.nice = getpriority(PRIO_PROCESS, 0);
    (void)setpriority(PRIO_PROCESS, 0, OWN_NICE);
    write_score(run->spec.oom_score_adj);
    /* No core of us, no ptrace by an agent of the same user: our memory holds its environment. */
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 || err_sys(err, errno, "become undumpable");
}

static bool open_tree(struct shim_run *run, struct err *err)
{
    struct keeper keeper = KEEPER_NONE;
    struct err why = { 0 };
    const bool host_pid = (run->launch.plan.flags & ISOLATION_HOST_PID) != 0;
    if (!host_pid && !keeper_start(run->spec_bytes, &keeper, &why) && why.kind != ERR_DENIED) {
        *err = why;
        return false;
    }
    if (!shim_tree_open(&run->tree, &keeper, run->spec.cgroup_dir, err))
        return false;
    shim_oom_open(&run->oom,
                  run->spec.memory_dir[0] != '\0' ? run->spec.memory_dir : run->spec.cgroup_dir);
    return true;
}

static bool open_logs(struct shim_run *run, struct err *err)
{
    return shim_logs_open(&run->logs, &run->spec, &run->fds, run->launch.nice, run->spec_bytes,
                          err);
}

static bool open_clocks(struct shim_run *run, struct err *err)
{
    static const int wanted[] = { SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2 };
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        (void)sigaddset(&set, wanted[i]);
    run->signals.raw = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    run->timer.raw = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (!fd_is_open(run->signals) || !fd_is_open(run->timer))
        return err_sys(err, errno, "make signal and timer descriptors");
    return true;
}

/* What the plan promises is in force once the agent runs: else its start fails. */
static uint8_t containment_of(const struct shim_run *run)
{
    const struct isolation_plan *plan = &run->launch.plan;
    const bool own = plan->mounts == ISOLATION_MOUNTS_OWN ||
                     (plan->mounts == ISOLATION_MOUNTS_AUTO && run->tree.keeper.pid != 0);
    return (uint8_t)(shim_tree_containment(&run->tree) | (own ? SHIM_CONTAINED_MOUNTS : 0) |
                     (plan->filter.len > 0 ? SHIM_CONTAINED_SECCOMP : 0) |
                     (plan->landlock_abi > 0 ? SHIM_CONTAINED_LANDLOCK : 0));
}

static void fill_core(struct shim_run *run)
{
    const struct shim_spec *spec = &run->spec;
    struct shim_core_config config = { .has_sidecar = spec->sidecar.argv != NULL,
                                       .can_freeze = cgroup_is_open(&run->tree.cgroup),
                                       .stop_signal = spec->stop_signal,
                                       .stop_timeout_ms = spec->stop_timeout_ms,
                                       .reserve_ms = spec->reserve_ms,
                                       .containment = containment_of(run) };
    memcpy(config.nonce, spec->nonce, SHIM_NONCE_BYTES);
    shim_core_init(&run->core, &config);
}

bool shim_setup(struct shim_run *run, struct err *err)
{
    bool ok = become_supervisor(run, err) &&
              isolation_decode(run->spec.isolation, &run->launch.plan, err) &&
              shim_record_open(&run->record, run->spec.record_path, err) && open_logs(run, err) &&
              open_tree(run, err) && shim_peers_listen(&run->peers, run->spec.socket_path, err) &&
              open_clocks(run, err) && proc_start_ticks(getpid(), &run->start_ticks, err);
    run->pid = (uint32_t)getpid();
    run->launch.spec = &run->spec;
    run->launch.fds = &run->fds;
    (void)snprintf(run->api_path, sizeof(run->api_path), "%s", run->spec.api_path);
    fill_core(run); /* also after a failure: the report needs it */
    return ok;
}
