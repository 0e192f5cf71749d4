#include "driver/dev/run.h"

#include "common/base/own.h"
#include "common/cgroup/cgroup.h"
#include "common/loop/loop.h"
#include "driver/dev/dirs.h"
#include "driver/hclspec/encode.h"
#include "driver/dev/guard.h"
#include "driver/dev/job.h"
#include "driver/dev/node.h"
#include "driver/dev/options.h"
#include "driver/dev/timeline.h"
#include "driver/rpc/rpc.h"

#include <assert.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>

struct fault { /* of the command line, with its timer */
    struct run *run;
    struct dev_fault what;
    struct loop_timer *timer;
};

struct run {
    const struct dev_options *options;
    const struct job *job;
    struct loop *loop;
    struct rpc *rpc;
    struct dirs dirs;
    struct timeline timeline;
    char *plugin_path, *cgroup, *nodes_dir; /* cgroup "": none */
    struct fd guard, signals;
    struct loop_watch *signal_watch;
    struct loop_timer *stop_timer, *timeout_timer;
    struct fault faults[OPTIONS_FAULTS_MAX];
    struct node *nodes[OPTIONS_NODES_MAX];
    unsigned started; /* nodes asked to start, in order */
    size_t looks;     /* answers that are still to come */
    void (*on_looked)(struct run *r, void *arg);
    void *looked_arg;
    bool is_ending, is_closing, has_code, is_timeout;
    int code, stopped_code;
};

static void nodes_start_next(struct run *r);
static void end_maybe(struct run *r);

static void say(struct run *r, enum timeline_event event, const char *text)
{
    timeline_put(&r->timeline, 0, event, "%s", text);
}

static bool all_over(const struct run *r)
{
    bool all = r->started == r->options->nodes || r->is_ending;
    for (unsigned i = 0; i < r->started; i++)
        all = all && (!r->nodes[i] || node_is_over(r->nodes[i]));
    return all;
}

static bool all_gone(const struct run *r)
{
    bool all = true;
    for (unsigned i = 0; i < r->started; i++)
        all = all && (!r->nodes[i] || node_is_gone(r->nodes[i]));
    return all;
}

/* Asks every node whether its agent runs, then calls `then`. One look at a time. */
static void on_node_looked(void *arg, struct node *node)
{
    struct run *r = arg;
    (void)node;
    if (--r->looks == 0)
        r->on_looked(r, r->looked_arg);
}

static bool look(struct run *r, void (*then)(struct run *r, void *arg), void *arg)
{
    if (r->looks)
        return false;
    r->on_looked = then;
    r->looked_arg = arg;
    for (unsigned i = 0; i < r->started; i++)
        r->looks += r->nodes[i] && !node_is_gone(r->nodes[i]);
    for (unsigned i = 0; i < r->started; i++)
        if (r->nodes[i] && !node_is_gone(r->nodes[i]))
            node_look(r->nodes[i], on_node_looked, r);
    if (r->looks == 0)
        then(r, arg);
    return true;
}

/* Standbys first: otherwise one of them would take over what is being stopped. */
static void stop_in_order(struct run *r, void *arg)
{
    bool any_standby = false;
    (void)arg;
    for (unsigned i = 0; i < r->started; i++)
        if (r->nodes[i] && !node_is_over(r->nodes[i]) && !node_is_active(r->nodes[i])) {
            node_stop(r->nodes[i]);
            any_standby = true;
        }
    for (unsigned i = 0; i < r->started && !any_standby; i++)
        if (r->nodes[i] && !node_is_over(r->nodes[i]))
            node_stop(r->nodes[i]);
    end_maybe(r);
}

static void end_begin(struct run *r)
{
    r->is_ending = true;
    (void)look(r, stop_in_order, NULL); /* a look under way ends in end_maybe */
}

static void on_rpc_stopped(void *arg)
{
    struct run *r = arg;
    loop_quit(r->loop);
}

/* Called after every change: goes on with the end as far as it can go. */
static void end_maybe(struct run *r)
{
    if (!all_over(r))
        return;
    r->is_ending = true;
    for (unsigned i = 0; i < r->started; i++)
        if (r->nodes[i] && !node_is_gone(r->nodes[i]))
            node_shutdown(r->nodes[i]);
    if (r->is_closing || !all_gone(r))
        return;
    r->is_closing = true;
    rpc_stop(r->rpc, on_rpc_stopped, r);
}

static void on_settled(void *arg, struct node *node)
{
    struct run *r = arg;
    (void)node;
    nodes_start_next(r);
}

static void on_over(void *arg, struct node *node)
{
    struct run *r = arg;
    const int code = node_exit_code(node);
    const bool counts = code >= 0;
    const bool is_last_word = node_ended_alone(node) ? !r->has_code || code == 0
                                                     : node_is_active(node);
    if (counts && is_last_word) {
        r->has_code = true;
        r->code = code;
    }
    if (counts && code > r->stopped_code)
        r->stopped_code = code;
    if (r->is_ending || (counts && code == 0 && node_ended_alone(node)))
        end_begin(r);
    end_maybe(r);
}

static void on_gone(void *arg, struct node *node)
{
    (void)node;
    end_maybe(arg);
}

/* One after the other, so that the first node's agent runs and the others stand by. */
static void nodes_start_next(struct run *r)
{
    struct err err = { 0 };
    if (r->is_ending || r->started == r->options->nodes)
        return;
    const unsigned i = r->started++;
    const struct node_spec spec = { .loop = r->loop,
                                    .rpc = r->rpc,
                                    .job = r->job,
                                    .options = r->options,
                                    .timeline = &r->timeline,
                                    .dirs = &r->dirs,
                                    .plugin_path = r->plugin_path,
                                    .cgroup = r->cgroup,
                                    .number = i + 1,
                                    .on_settled = on_settled,
                                    .on_over = on_over,
                                    .on_gone = on_gone,
                                    .arg = r };
    if (node_start(&spec, &r->nodes[i], &err))
        return;
    timeline_put(&r->timeline, i + 1, TIMELINE_ERROR, "%s", err.msg);
    if (!r->has_code)
        r->code = err_exit_code(err.kind);
    r->has_code = true;
    nodes_start_next(r);
    end_maybe(r);
}

static struct node *fault_target(struct run *r, const struct dev_fault *fault)
{
    if (fault->node)
        return fault->node <= r->started ? r->nodes[fault->node - 1] : NULL;
    struct node *first = NULL;
    for (unsigned i = 0; i < r->started; i++) {
        if (!r->nodes[i] || node_is_over(r->nodes[i]))
            continue;
        first = first ? first : r->nodes[i];
        if (node_is_active(r->nodes[i]))
            return r->nodes[i];
    }
    return first;
}

static void fault_apply(struct run *r, void *arg)
{
    const struct dev_fault *fault = arg;
    struct node *node = fault_target(r, fault);
    struct err err = { 0 };
    if (r->is_ending) {
        end_begin(r); /* the end had to wait for this look */
        return;
    }
    if (!node || node_is_over(node)) {
        say(r, TIMELINE_NOTE, "a fault finds no node that it could hit");
        return;
    }
    if (fault->kind == DEV_KILL) {
        timeline_put(&r->timeline, node_number(node), TIMELINE_KILL,
                     "killed: every process at once");
        node_kill(node);
    } else if (node_cut(node, &err)) {
        timeline_put(&r->timeline, node_number(node), TIMELINE_PARTITION, "cut off the store");
    } else {
        timeline_put(&r->timeline, node_number(node), TIMELINE_ERROR, "%s", err.msg);
    }
}

static void on_fault(void *arg)
{
    struct fault *fault = arg;
    if (fault->run->is_ending)
        return;
    if (!look(fault->run, fault_apply, &fault->what))
        loop_timer_arm(fault->timer, boot_add_ms(boot_now(), 10)); /* another look is under way */
}

static void on_stop(void *arg)
{
    struct run *r = arg;
    if (r->is_ending)
        return;
    say(r, TIMELINE_STOP, "stopping the job");
    end_begin(r);
}

static void on_timeout(void *arg)
{
    struct run *r = arg;
    if (r->is_timeout)
        return;
    r->is_timeout = true;
    say(r, TIMELINE_ERROR, "the time given by --timeout is over");
    end_begin(r);
}

static void on_signal(void *arg, unsigned events)
{
    struct run *r = arg;
    struct signalfd_siginfo info;
    (void)events;
    if (read(r->signals.raw, &info, sizeof info) != (ssize_t)sizeof info)
        return;
    if (!r->is_ending) {
        on_stop(r);
        return;
    }
    say(r, TIMELINE_STOP, "killing everything");
    for (unsigned i = 0; i < r->started; i++)
        if (r->nodes[i])
            node_kill(r->nodes[i]);
}

static bool signals_open(struct run *r, struct err *err)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGHUP);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0)
        return err_sys(err, errno, "block signals");
    (void)signal(SIGPIPE, SIG_IGN);
    r->signals.raw = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd_is_open(r->signals) || err_sys(err, errno, "open a signalfd");
}

/* The plugin beside ourselves, or the one given. */
static bool plugin_find(struct run *r, struct err *err)
{
    char self[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n < 0)
        return err_sys(err, errno, "read \"/proc/self/exe\"");
    self[n] = '\0';
    *strrchr(self, '/') = '\0';
    CLEANUP(str_freep) char *beside = str_format("%s/nomad-driver-agent", self);
    const char *path = r->options->plugin ? r->options->plugin : beside;
    r->plugin_path = realpath(path, NULL);
    if (!r->plugin_path)
        return err_set(err, ERR_NOT_FOUND, "find plugin \"%s\": name it with -plugin", path);
    return true;
}

/* One cgroup for all nodes; without the right to make it there is none, and no -kill-node. */
static bool cgroup_find(struct run *r, struct err *err)
{
    char own[CGROUP_PATH_MAX];
    struct cgroup cg = CGROUP_NONE;
    struct err why = { 0 };
    bool ok = cgroup_own(own, &why);
    free(r->cgroup);
    r->cgroup = str_format("%s/agent-dev-%d", ok ? own : "", getpid());
    ok = ok && cgroup_open(r->cgroup, true, &cg, &why);
    cgroup_fini(&cg);
    if (ok) {
        const size_t swept = guard_sweep(own, r->dirs.run);
        if (swept)
            timeline_put(&r->timeline, 0, TIMELINE_NOTE, "cleaned up after %zu dead agent-dev",
                         swept);
        return true;
    }
    r->cgroup[0] = '\0';
    (void)guard_sweep("", r->dirs.run);
    for (size_t i = 0; i < r->options->fault_count; i++)
        if (r->options->faults[i].kind == DEV_KILL)
            return err_set(err, ERR_INVALID,
                           "-kill-node needs a cgroup v2 to kill at one instant: %s", why.msg);
    return true;
}

static bool faults_check(const struct run *r, struct err *err)
{
    static const char *const stores[] = { "state.store", "lease.store" };
    for (size_t i = 0; i < r->options->fault_count; i++)
        for (size_t s = 0; s < COUNT(stores); s++) {
            const struct hcl_node *own = config_node_at(r->job->config, stores[s]);
            if (own && r->options->faults[i].kind == DEV_PARTITION)
                return hcl_fail(r->job->tree, own, err,
                                "-partition-node cuts off the store that "
                                "agent-dev makes, and this job names its own");
        }
    return true;
}

static bool data_check(const struct run *r, struct err *err)
{
    return !strpbrk(r->dirs.data, "?#%") ||
           err_set(err, ERR_INVALID,
                   "data directory \"%s\": ?, # and %% cannot stand in a store's URL",
                   r->dirs.data);
}

static void timers_start(struct run *r)
{
    const struct boot zero = r->timeline.started;
    for (size_t i = 0; i < r->options->fault_count; i++) {
        r->faults[i] = (struct fault){ .run = r, .what = r->options->faults[i] };
        r->faults[i].timer = loop_timer_new(r->loop, on_fault, &r->faults[i]);
        loop_timer_arm(r->faults[i].timer, boot_add_ms(zero, r->options->faults[i].after_ms));
    }
    r->stop_timer = loop_timer_new(r->loop, on_stop, r);
    r->timeout_timer = loop_timer_new(r->loop, on_timeout, r);
    if (r->options->stop_after_ms >= 0)
        loop_timer_arm(r->stop_timer, boot_add_ms(zero, r->options->stop_after_ms));
    if (r->options->timeout_ms >= 0)
        loop_timer_arm(r->timeout_timer, boot_add_ms(zero, r->options->timeout_ms));
    r->signal_watch = loop_watch_new(r->loop, r->signals.raw, LOOP_READ, on_signal, r);
}

/* Everything that must stand before the first thread. */
static bool run_open(struct run *r, struct err *err)
{
    if (!faults_check(r, err) || !plugin_find(r, err) || !signals_open(r, err) ||
        !dirs_make(r->options->data_dir, r->options->store, &r->dirs, err) || !data_check(r, err) ||
        !cgroup_find(r, err))
        return false;
    r->nodes_dir = str_format("%s/nodes", r->dirs.data);
    const struct guard_plan plan = { r->cgroup, r->nodes_dir, r->dirs.run,
                                     r->dirs.is_temporary ? r->dirs.data : "" };
    return guard_clean(&(struct guard_plan){ "", r->nodes_dir, "", "" }, NULL, err) &&
           guard_start(&plan, &r->guard, err);
}

static void run_loop(struct run *r)
{
    r->loop = loop_new();
    r->rpc = rpc_new(r->loop);
    timers_start(r);
    nodes_start_next(r);
    loop_run(r->loop);
    for (unsigned i = 0; i < r->started; i++)
        node_free(r->nodes[i]);
    for (size_t i = 0; i < r->options->fault_count; i++)
        loop_timer_freep(&r->faults[i].timer);
    loop_timer_freep(&r->stop_timer);
    loop_timer_freep(&r->timeout_timer);
    loop_watch_freep(&r->signal_watch);
    rpc_free(r->rpc);
    loop_free(r->loop);
}

static void run_close(struct run *r)
{
    struct err err = { 0 };
    const char told = 'q';
    if (r->nodes_dir) {
        const struct guard_plan plan = { r->cgroup, r->nodes_dir, "", "" };
        if (!guard_clean(&plan, NULL, &err))
            say(r, TIMELINE_ERROR, err.msg);
    }
    dirs_remove(&r->dirs);
    if (fd_is_open(r->guard) && !fd_write_all(r->guard.raw, &told, 1, &err))
        say(r, TIMELINE_ERROR, err.msg);
    fd_closep(&r->guard);
    fd_closep(&r->signals);
    free(r->plugin_path);
    free(r->cgroup);
    free(r->nodes_dir);
}

static int code_choose(const struct run *r)
{
    if (r->is_timeout)
        return RUN_TIMEOUT_CODE;
    if (r->has_code)
        return r->code;
    return r->stopped_code >= 0 ? r->stopped_code : 128 + SIGKILL; /* every node was killed */
}

bool run_job(const struct dev_options *options, const struct job *job, int *exit_code,
             struct err *err)
{
    struct run r = { .options = options,
                     .job = job,
                     .dirs = DIRS_NONE,
                     .timeline = timeline_open(&clock_system, STDOUT_FILENO, options->json),
                     .guard = FD_NONE,
                     .signals = FD_NONE,
                     .cgroup = str_copy(""),
                     .stopped_code = -1 };
    const bool ok = run_open(&r, err);
    if (ok) {
        if (job->not_applied.len)
            timeline_put(&r.timeline, 0, TIMELINE_NOTE, "not applied here: %.*s",
                         (int)job->not_applied.len, (const char *)job->not_applied.data);
        run_loop(&r);
        *exit_code = code_choose(&r);
        timeline_put(&r.timeline, 0, TIMELINE_END, "exit code %d", *exit_code);
    }
    run_close(&r);
    return ok;
}
