#include "driver/shim/run.h"

#include "common/base/own.h"
#include "common/proc/identity.h"
#include "driver/shim/setup.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define BATCH_MAX    32   /* messages of one peer in one turn: no peer may starve the clock */
#define LAST_WORD_MS 1000 /* for a driver that is busy, when all else is done */
#define LOGS_LAST_MS 2000 /* for the scribe to write what the pipes still hold */
#define EXIT_BROKEN  71

static void feed(struct shim_run *run, const struct shim_input *input);

static struct shim_now now_of(void) { return (struct shim_now){ boot_now(), wall_now() }; }

/* ---- actions ---- */

static void later(struct shim_run *run, const struct shim_input *input)
{
    assert(run->pending_count < SHIM_PENDING_MAX);
    run->pending[run->pending_count++] = *input;
}

/* The environment may hold secrets: it is not kept once the agent has it. */
static void drop_spec(struct shim_run *run)
{
    if (run->spec_bytes.len == 0)
        return;
    (void)munmap((void *)(uintptr_t)run->spec_bytes.data, run->spec_bytes.len);
    run->spec_bytes = (struct view){ 0 };
    memset(&run->spec, 0, sizeof(run->spec));
}

static void spawn_sidecar(struct shim_run *run)
{
    struct err why = { 0 };
    CLEANUP(fd_closep) struct fd theirs = FD_NONE;
    if (shim_peers_pair(&run->peers, &theirs, &why) &&
        shim_launch_sidecar(&run->launch, theirs.raw, &run->sidecar, &why)) {
        fd_closep(&run->fds.config);
        struct shim_msg hello = { .type = SHIM_HELLO };
        memcpy(hello.hello.nonce, run->core.config.nonce, SHIM_NONCE_BYTES);
        shim_text_copy(hello.hello.api, run->api_path);
        (void)shim_peers_tell_sidecar(&run->peers, &hello);
        return;
    }
    shim_text_copy(run->last_text, why.msg);
    later(run, &(struct shim_input){ .event = SHIM_ON_SIDECAR_EXITED,
                                     .exit_code = EXIT_BROKEN,
                                     .text = run->last_text });
}

static void spawn_agent(struct shim_run *run, const struct shim_msg *gate)
{
    struct err why = { 0 };
    shim_env_build(&run->env, run->spec.agent.envp, run->core.config.has_sidecar ? gate : NULL);
    if (shim_launch_agent(&run->launch, &run->tree, &run->env, &run->agent, &why))
        return;
    shim_text_copy(run->last_text, why.msg);
    later(run, &(struct shim_input){ .event = SHIM_ON_EXEC_FAILED,
                                     .os_errno = why.os_errno,
                                     .text = run->last_text });
}

static void report_state(struct shim_run *run)
{
    struct shim_msg msg;
    shim_core_state(&run->core, &msg);
    msg.state.shim_pid = run->pid;
    msg.state.shim_start_ticks = run->start_ticks;
    (void)shim_peers_tell_driver(&run->peers, &msg, 0);
}

static void send_signal(struct proc *proc, int signo)
{
    struct err why = { 0 };
    if (proc->pid != 0 && !proc_signal(proc, signo, &why))
        return; /* gone already: it will be reaped */
}

/* In standalone mode a person is looking at our standard error, or nobody is: it is not waited for,
 * for the record is not written yet. */
static void explain_end(struct shim_run *run, const struct exit_record *rec)
{
    char line[2 * SHIM_TEXT_MAX];
    if (!run->is_standalone || !fd_is_open(run->fds.err) || rec->message[0] == '\0')
        return;
    struct pollfd room = { .fd = run->fds.err.raw, .events = POLLOUT };
    if (poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0)
        return;
    int len = snprintf(line, sizeof(line), "agent-shim: %s: %s\n", exit_cause_name(rec->cause),
                       rec->message);
    ssize_t got = write(run->fds.err.raw, line, (size_t)len);
    (void)got;
}

/* Order: nothing of the task is left; log pipes end; record durable; lock free; then it is told. */
static void finish(struct shim_run *run)
{
    struct err why = { 0 };
    struct shim_msg msg = { .type = SHIM_EXITED };
    explain_end(run, &run->core.record);
    /* First: a keeper that has not run yet still has every descriptor of ours. */
    shim_tree_close(&run->tree);
    fd_closep(&run->fds.in);
    fd_closep(&run->fds.out);
    fd_closep(&run->fds.err);
    fd_closep(&run->fds.config);
    shim_logs_close(&run->logs, LOGS_LAST_MS);
    shim_oom_close(&run->oom);
    msg.end.record = run->core.record;
    msg.end.recorded = shim_record_publish(&run->record, &msg.end.record, &why);
    if (!msg.end.recorded && why.kind != ERR_NOT_FOUND && msg.end.record.message[0] == '\0')
        shim_text_copy(msg.end.record.message, why.msg);
    if (run->api_path[0] != '\0')
        (void)unlink(run->api_path);
    (void)shim_peers_accept(&run->peers); /* a driver that just came is told, too */
    shim_peers_unlisten(&run->peers);
    fd_closep(&run->fds.lock);
    (void)shim_peers_tell_driver(&run->peers, &msg, LAST_WORD_MS);
    run->finished = true;
}

static struct shim_spared spared(const struct shim_run *run)
{
    return (struct shim_spared){ run->sidecar.pid, run->logs.scribe };
}

static void act(struct shim_run *run, const struct shim_action *action)
{
    switch (action->type) {
    case SHIM_ACT_SPAWN_SIDECAR:
        spawn_sidecar(run);
        return;
    case SHIM_ACT_SPAWN_AGENT:
        spawn_agent(run, &action->msg);
        return;
    case SHIM_ACT_SIGNAL_AGENT:
        send_signal(&run->agent, action->msg.signal.signo);
        return;
    case SHIM_ACT_FREEZE:
        shim_tree_freeze(&run->tree, true);
        return;
    case SHIM_ACT_THAW:
        shim_tree_freeze(&run->tree, false);
        return;
    case SHIM_ACT_KILL_TREE:
        shim_tree_kill(&run->tree, spared(run));
        send_signal(&run->agent, SIGKILL);
        return;
    case SHIM_ACT_KILL_SIDECAR:
        send_signal(&run->sidecar, SIGKILL);
        return;
    case SHIM_ACT_TELL_SIDECAR:
        (void)shim_peers_tell_sidecar(&run->peers, &action->msg);
        return;
    case SHIM_ACT_TELL_DRIVER:
        (void)shim_peers_tell_driver(&run->peers, &action->msg, 0);
        return;
    case SHIM_ACT_REPORT_STATE:
        report_state(run);
        return;
    case SHIM_ACT_FINISH:
        finish(run);
        return;
    }
}

static void feed_one(struct shim_run *run, const struct shim_input *input)
{
    struct shim_now now = now_of();
    if (run->finished)
        return;
    shim_core_step(&run->core, input, &now);
    for (size_t i = 0; i < run->core.action_count; i++)
        act(run, &run->core.actions[i]);
}

static void feed(struct shim_run *run, const struct shim_input *input)
{
    feed_one(run, input);
    while (run->pending_count > 0) {
        struct shim_input next = run->pending[0];
        run->pending_count--;
        memmove(&run->pending[0], &run->pending[1], run->pending_count * sizeof(next));
        feed_one(run, &next);
    }
}

static void feed_event(struct shim_run *run, enum shim_event event)
{
    feed(run, &(struct shim_input){ .event = event });
}

/* ---- what the kernel says ---- */

/* The kernel may kill a child at its birth into a cgroup (see proc_progress): once more, and this
 * time it walks in. True when a second child has taken the first one's place. */
static bool bear_again(struct shim_run *run, const struct proc_failure *why)
{
    struct err err = { 0 };
    struct proc second;
    if (why->stage != PROC_STAGE_BIRTH || run->launch.enters_cgroup_late ||
        run->core.phase != SHIM_PHASE_STARTING || !cgroup_is_open(&run->tree.cgroup))
        return false;
    run->launch.enters_cgroup_late = true;
    if (!shim_launch_agent(&run->launch, &run->tree, &run->env, &second, &err))
        return false;
    proc_fini(&run->agent); /* a stranger among our children now: reaped without a word */
    run->agent = second;
    return true;
}

/* True when the agent's start has been decided. */
static bool check_start(struct shim_run *run)
{
    struct proc_failure why = { 0, 0, -1 };
    if (!fd_is_open(run->agent.report))
        return true;
    enum proc_progress progress = proc_progress(&run->agent, &why);
    if (progress == PROC_PENDING || (progress == PROC_FAILED && bear_again(run, &why)))
        return false;
    fd_closep(&run->agent.report);
    struct shim_input input = { .event = SHIM_ON_AGENT_EXECUTED };
    struct err err = { 0 };
    if (progress == PROC_FAILED) {
        shim_launch_explain(&run->launch, &why, run->last_text);
        input = (struct shim_input){ .event = SHIM_ON_EXEC_FAILED,
                                     .stage = why.stage,
                                     .os_errno = why.os_errno,
                                     .text = run->last_text };
    } else {
        input.pid = (uint32_t)run->agent.pid;
        if (!proc_start_ticks(run->agent.pid, &input.start_ticks, &err))
            input.start_ticks = 0; /* no /proc: it cannot be adopted by identity */
    }
    drop_spec(run);
    feed(run, &input);
    return true;
}

static void read_sidecar(struct shim_run *run);

static void say(struct shim_run *run, const char *text)
{
    struct shim_msg msg = { .type = SHIM_EVENT };
    shim_text_copy(msg.event.text, text);
    (void)shim_peers_tell_driver(&run->peers, &msg, 0);
}

/* It died of it, or could not go on without whom the kernel killed: a shell says 137 then, others
 * what they like. Our own kill is not the kernel's. */
static bool is_end_by_oom(struct shim_run *run, const struct shim_input *input)
{
    if (run->core.phase == SHIM_PHASE_KILLING || input->exit_code == 0 ||
        (run->core.phase != SHIM_PHASE_RUNNING && input->signal != SIGKILL))
        return false;
    return shim_oom_is_recent(&run->oom, boot_now());
}

static void say_survived_oom(struct shim_run *run, bool is_due)
{
    char text[SHIM_TEXT_MAX];
    (void)snprintf(text, sizeof(text),
                   "out of memory: the kernel has killed %llu processes of the agent so far; its "
                   "main process survived",
                   (unsigned long long)run->oom.kills);
    if (is_due)
        say(run, text);
}

/* Said at powers of two: a task may lose children to its limit all day. */
static void watch_oom(struct shim_run *run)
{
    uint64_t before = run->oom.survived, fresh = 0;
    if (run->agent.pid == 0 || !shim_oom_look(&run->oom, boot_now(), &fresh))
        return;
    say_survived_oom(run,
                     before == 0 || __builtin_clzll(before) != __builtin_clzll(before + fresh));
}

static void on_agent_reaped(struct shim_run *run, struct shim_input *input)
{
    pid_t pid = run->agent.pid;
    (void)check_start(run); /* how it started comes before how it ended */
    if (run->agent.pid != pid)
        return; /* it was never born; another one was */
    proc_fini(&run->agent);
    input->event = SHIM_ON_AGENT_EXITED;
    input->oom_killed = is_end_by_oom(run, input);
    if (!input->oom_killed)
        say_survived_oom(run, shim_oom_is_recent(&run->oom, boot_now()));
    feed(run, input);
}

static void on_sidecar_reaped(struct shim_run *run, struct shim_input *input)
{
    struct proc_failure why = { 0, 0, -1 };
    char text[SHIM_TEXT_MAX];
    for (int i = 0; i < BATCH_MAX && fd_is_open(run->peers.sidecar); i++)
        read_sidecar(run); /* its last words come before its end */
    fd_closep(&run->peers.sidecar);
    if (proc_progress(&run->sidecar, &why) == PROC_FAILED) {
        (void)snprintf(text, sizeof(text), "sidecar could not be started: %s: %s",
                       proc_stage_text(why.stage), strerror(why.os_errno));
        input->exit_code = EXIT_BROKEN;
    } else if (input->signal != 0) {
        (void)snprintf(text, sizeof(text), "sidecar was killed by signal %d", (int)input->signal);
    } else {
        (void)snprintf(text, sizeof(text), "sidecar exited with code %d", (int)input->exit_code);
    }
    proc_fini(&run->sidecar);
    shim_text_copy(run->last_text, text);
    input->event = SHIM_ON_SIDECAR_EXITED;
    input->text = run->last_text;
    feed(run, input);
}

/* Without a keeper the children of what has just died are ours now: they are next. */
static void kill_orphans(struct shim_run *run)
{
    if (run->tree.keeper.pid == 0 && run->core.phase == SHIM_PHASE_KILLING)
        feed_event(run, SHIM_ON_REKILL_DUE);
}

/* It ends by itself only when nobody can write any more, and we can. */
static void renew_scribe(struct shim_run *run)
{
    struct err why = { 0 };
    if (!shim_logs_renew(&run->logs, &run->fds, &why))
        say(run, why.msg);
    if (run->tree.keeper.pid != 0 && !run->tree.keeper_gone &&
        !keeper_enter(&run->tree.keeper, &why))
        say(run, why.msg);
}

static void reap(struct shim_run *run)
{
    siginfo_t info;
    bool any = false;
    for (;; any = true) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0)
            break;
        bool by_signal = info.si_code != CLD_EXITED;
        struct shim_input input = { .exit_code = by_signal ? 128 + info.si_status : info.si_status,
                                    .signal = by_signal ? info.si_status : 0 };
        if (info.si_pid == run->agent.pid)
            on_agent_reaped(run, &input);
        else if (info.si_pid == run->sidecar.pid)
            on_sidecar_reaped(run, &input);
        else if (info.si_pid == run->tree.keeper.pid)
            run->tree.keeper_gone = true;
        else if (info.si_pid == run->logs.scribe)
            renew_scribe(run);
    }
    if (any)
        kill_orphans(run);
}

struct signal_row {
    int signo;
    enum shim_event event;
};
static const struct signal_row signal_rows[] = {
    { SIGTERM, SHIM_ON_STOP },  { SIGINT, SHIM_ON_STOP },    { SIGQUIT, SHIM_ON_STOP },
    { SIGHUP, SHIM_ON_SIGNAL }, { SIGUSR1, SHIM_ON_SIGNAL }, { SIGUSR2, SHIM_ON_SIGNAL },
};

static void read_signals(struct shim_run *run)
{
    struct signalfd_siginfo got;
    while (read(run->signals.raw, &got, sizeof(got)) == (ssize_t)sizeof(got)) {
        for (size_t i = 0; i < COUNT(signal_rows); i++) {
            if ((uint32_t)signal_rows[i].signo != got.ssi_signo)
                continue;
            struct shim_input input = { .event = signal_rows[i].event };
            if (input.event == SHIM_ON_STOP)
                input.msg.stop.timeout_ms = UINT32_MAX; /* signal and time of the spec */
            else
                input.msg.signal.signo = signal_rows[i].signo;
            feed(run, &input);
        }
    }
    reap(run);
}

/* ---- what the peers say ---- */

static enum shim_event event_of(enum shim_msg_type type)
{
    static const struct {
        enum shim_msg_type type;
        enum shim_event event;
    } rows[] = {
        { SHIM_ARM, SHIM_ON_ARM },     { SHIM_GATE_OPEN, SHIM_ON_GATE_OPEN },
        { SHIM_FENCE, SHIM_ON_FENCE }, { SHIM_FREEZE, SHIM_ON_FREEZE },
        { SHIM_THAW, SHIM_ON_THAW },   { SHIM_EVENT, SHIM_ON_NOTE },
        { SHIM_DONE, SHIM_ON_DONE },   { SHIM_STOP, SHIM_ON_STOP },
        { SHIM_KILL, SHIM_ON_KILL },   { SHIM_SIGNAL, SHIM_ON_SIGNAL },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].type == type)
            return rows[i].event;
    return SHIM_EVENT_COUNT;
}

static void say_bad(struct shim_run *run)
{
    uint64_t bad = run->peers.bad;
    if (bad == run->bad_said || (bad & (bad - 1)) != 0)
        return; /* once at 1, 2, 4, 8, ... */
    run->bad_said = bad;
    char text[SHIM_TEXT_MAX];
    (void)snprintf(text, sizeof(text), "ignored %llu bad messages", (unsigned long long)bad);
    say(run, text);
}

/* Every message that waits, within reason; false when the peer has hung up. */
static bool read_peer(struct shim_run *run, int fd, unsigned direction)
{
    for (int i = 0; i < BATCH_MAX && !run->finished; i++) {
        struct shim_input input = { 0 };
        switch (shim_peers_receive(&run->peers, fd, direction, &input.msg)) {
        case SHIM_NOTHING:
            return true;
        case SHIM_CLOSED:
            return false;
        case SHIM_PASSED_OVER:
            break;
        case SHIM_BAD:
            say_bad(run);
            break;
        case SHIM_GOT:
            input.event = event_of(input.msg.type);
            if (input.event != SHIM_EVENT_COUNT)
                feed(run, &input);
            else
                report_state(run); /* HELLO */
            break;
        }
        if (fd != run->peers.driver.raw && fd != run->peers.sidecar.raw)
            return true; /* dropped meanwhile: it took no answer */
    }
    return true;
}

static void read_sidecar(struct shim_run *run)
{
    if (!fd_is_open(run->peers.sidecar) ||
        read_peer(run, run->peers.sidecar.raw, SHIM_SIDECAR_SENDS))
        return;
    fd_closep(&run->peers.sidecar);
    if (run->sidecar.pid != 0)
        feed_event(run, SHIM_ON_SIDECAR_HUNG_UP);
}

static void read_driver(struct shim_run *run)
{
    if (fd_is_open(run->peers.driver) && !read_peer(run, run->peers.driver.raw, SHIM_DRIVER_SENDS))
        fd_closep(&run->peers.driver);
}

/* ---- the loop ---- */

static void run_due_timers(struct shim_run *run)
{
    enum shim_event event;
    while (!run->finished && shim_core_due(&run->core, boot_now(), &event))
        feed_event(run, event);
}

/* Facts that are looked up rather than delivered. */
static void settle(struct shim_run *run)
{
    if (run->core.hold == SHIM_FREEZING && shim_tree_is_frozen(&run->tree))
        feed_event(run, SHIM_ON_TREE_FROZEN);
    if (run->core.phase == SHIM_PHASE_KILLING && run->agent.pid == 0 &&
        shim_tree_is_empty(&run->tree, spared(run)))
        feed_event(run, SHIM_ON_TREE_EMPTY);
}

static void set_timer(struct shim_run *run)
{
    int64_t at = shim_core_next(&run->core);
    struct itimerspec spec = { 0 };
    if (at != SHIM_NEVER) {
        at = at < 1 ? 1 : at; /* zero would disarm */
        spec.it_value.tv_sec = at / (NS_PER_MS * MS_PER_S);
        spec.it_value.tv_nsec = at % (NS_PER_MS * MS_PER_S);
    }
    int got = timerfd_settime(run->timer.raw, TFD_TIMER_ABSTIME, &spec, NULL);
    assert(got == 0);
}

enum slot { SIGNALS, TIMER, CGROUP, LISTENER, DRIVER, SIDECAR, REPORT, OOM, SLOTS };

static void wait_for_events(struct shim_run *run)
{
    /* Only while settle() reads it: an unread event would wake us for ever. */
    bool is_watching = run->core.hold == SHIM_FREEZING || run->core.phase == SHIM_PHASE_KILLING;
    struct pollfd table[SLOTS] = {
        [SIGNALS] = { .fd = run->signals.raw, .events = POLLIN },
        [TIMER] = { .fd = run->timer.raw, .events = POLLIN },
        [CGROUP] = { .fd = is_watching ? run->tree.cgroup.events.raw : -1, .events = POLLPRI },
        [LISTENER] = { .fd = run->peers.listener.raw, .events = POLLIN },
        [DRIVER] = { .fd = run->peers.driver.raw, .events = POLLIN },
        [SIDECAR] = { .fd = run->peers.sidecar.raw, .events = POLLIN },
        [REPORT] = { .fd = run->agent.report.raw, .events = POLLIN },
        [OOM] = run->agent.pid != 0 ? shim_oom_poll(&run->oom) : (struct pollfd){ .fd = -1 },
    };
    _Static_assert(SLOTS <= 8, "the table of the shim is small");
    set_timer(run);
    (void)poll(table, SLOTS, run->agent.pid != 0 ? shim_oom_wait_ms(&run->oom, boot_now()) : -1);
    uint64_t ticks;
    ssize_t got = read(run->timer.raw, &ticks, sizeof(ticks));
    (void)got; /* the clock itself is asked, not the count */
}

/* The clock first: whatever else has happened, a deadline that is past is past. */
static void turn(struct shim_run *run)
{
    run_due_timers(run);
    (void)check_start(run);
    read_signals(run);
    read_sidecar(run);
    read_driver(run);
    watch_oom(run);
    if (shim_peers_accept(&run->peers))
        report_state(run);
    settle(run);
}

bool shim_run_take_spec(struct shim_run *run, struct err *err)
{
    struct stat st;
    if (!fd_is_sealed(SHIM_SPEC_FD) || fstat(SHIM_SPEC_FD, &st) != 0)
        return err_set(err, ERR_INVALID, "read spec: descriptor %d is not a sealed memfd",
                       SHIM_SPEC_FD);
    if (st.st_size <= 0 || (size_t)st.st_size > SHIM_SPEC_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "read spec: %lld bytes", (long long)st.st_size);
    size_t len = (size_t)st.st_size;
    void *bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, SHIM_SPEC_FD, 0);
    if (bytes == MAP_FAILED)
        return err_sys(err, errno, "map spec");
    run->spec_bytes = view_of(bytes, len);
    if (!shim_spec_decode(run->spec_bytes, &run->store, &run->spec, err))
        return false;
    run->is_standalone = (run->spec.flags & SHIM_STANDALONE) != 0;
    run->peers = SHIM_PEERS_NONE;
    run->agent = run->sidecar = PROC_NONE;
    run->signals = run->timer = run->record.dir = FD_NONE;
    run->tree.cgroup = CGROUP_NONE;
    run->logs = SHIM_LOGS_NONE;
    run->oom = SHIM_OOM_NONE;
    return shim_fds_take(&run->spec, &run->fds, err);
}

int shim_run_live(struct shim_run *run)
{
    struct err why = { 0 };
    run->peers.driver = fd_take(&run->fds.control);
    if (shim_setup(run, &why)) {
        feed_event(run, SHIM_ON_START);
    } else {
        run->core.record.cause = EXIT_SHIM_ERROR;
        run->core.record.os_errno = why.os_errno;
        run->core.record.started = run->core.record.ended = wall_now();
        shim_text_copy(run->core.record.message, why.msg);
        finish(run);
    }
    while (!run->finished) {
        wait_for_events(run);
        turn(run);
    }
    return run->is_standalone ? exit_record_status(&run->core.record) : 0;
}
