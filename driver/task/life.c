#include "driver/task/life.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/own.h"
#include "common/log/log.h"
#include "common/loop/loop.h"
#include "common/shimlink/shimlink.h"
#include "common/shimwire/msg.h"
#include "driver/task/jobs.h"
#include "driver/task/reaper.h"
#include "driver/task/result.h"

#define START_WAIT_MS   8000  /* for readers of the logs; for the new shim; for a recovery */
#define YIELD_WAIT_MS   15000 /* for an older launch: its stop budget, and slack */
#define YIELD_STOP_MS   5000
#define KILL_WAIT_MS    5000
#define OPEN_PAUSE_MS   20
#define LOOK_PAUSE_MS   50
#define RELINK_PAUSE_MS 500 /* nobody waits: another driver may have taken the shim over */

static void on_late(void *arg)
{
    struct task *task = arg;
    task->is_late = true;
    /* A job or a pause ends by itself, and then NOT_YET counts as LATE. */
    if (task->is_working || task->state == TASK_PREPARING || task->state == TASK_LOOKING)
        return;
    if (task->is_asked)
        (void)err_set(&task->err, ERR_UNAVAILABLE, "%s task: the shim does not answer",
                      task->on_started ? "start" : "recover");
    life_sign(task, SIGN_LATE);
}

static void late_arm(struct task *task, int64_t ms)
{
    if (!task->late)
        task->late = loop_timer_new(task->tasks->loop, on_late, task);
    task->is_late = false;
    loop_timer_arm(task->late, boot_add_ms(boot_now(), ms));
}

static void late_cancel(struct task *task)
{
    task->is_late = false;
    if (task->late)
        loop_timer_cancel(task->late);
}

static void take_record(struct task *task, const struct exit_record *record)
{
    task->result = result_of_record(record);
    task->has_result = true;
    if (record->started.ns)
        task->started = record->started;
    task->completed = record->ended;
}

static void take_loss(struct task *task, const char *why)
{
    task->result = result_lost(why);
    task->has_result = true;
    task->completed = wall_now();
}

static void take_cgroup(struct task *task, const struct launch *launch)
{
    free(task->cgroup_dir);
    task->cgroup_dir = str_copy(launch->cgroup_dir);
}

static void take_launch(struct task *task, const struct launch *launch)
{
    memcpy(task->nonce, launch->nonce, sizeof(task->nonce));
    take_cgroup(task, launch);
    inside_take_launch(&task->inside, &launch->inside);
    task->launched = task->started = launch->at;
}

/* From the job's data, which was its own until now, into the task. */
static void take_findings(struct task *task)
{
    struct task_job *job = task->job;
    const struct ledger_entry *found = &job->found;
    if (job->sign == SIGN_OVER && found->found == LEDGER_LOST && task->on_started)
        job->sign = SIGN_NOT_YET; /* the copy that was to be adopted died: start anew */
    else if (job->sign == SIGN_FAILED || job->sign == SIGN_NOT_YET)
        task->err = job->err;
    if (task->state == TASK_PREPARING && job->is_ours)
        take_cgroup(task, &job->born.launch);
    if (job->sign == SIGN_ALIVE || job->sign == SIGN_OVER)
        take_launch(task, &found->launch);
    if (job->plan.shim && (job->sign == SIGN_ALIVE || job->sign == SIGN_SPAWNED)) {
        free(task->inside.shim);
        task->inside.shim = STEAL(job->plan.shim);
    }
    if (job->sign == SIGN_OVER && found->found == LEDGER_OVER)
        take_record(task, &found->record);
    else if (job->sign == SIGN_OVER)
        take_loss(task, "");
}

static void job_done(void *arg)
{
    struct task *task = arg;
    struct tasks *tasks = task->tasks;
    assert(task->is_working);
    task->is_working = false;
    tasks->jobs--;
    if (!tasks->is_closing) {
        take_findings(task);
        life_sign(task, task->job->sign);
    } else if (tasks->jobs == 0) {
        calls_answer(tasks->loop, &tasks->closing, NULL);
    }
}

static void job_start(struct task *task, loop_fn *job)
{
    assert(!task->is_working);
    (void)entry_job(task);
    task->is_working = true;
    task->tasks->jobs++;
    loop_work(task->tasks->loop, job, job_done, task);
}

static loop_fn *job_of_state(enum task_state state)
{
    switch (state) {
    case TASK_PREPARING:
        return job_prepare;
    case TASK_LOOKING:
        return job_look;
    case TASK_UNDOING:
        return job_undo;
    case TASK_REMOVING:
        return job_remove;
    case TASK_YIELDING:
    case TASK_BOOTING:
    case TASK_CONNECTING:
    case TASK_LIVE:
    case TASK_ENDED:
    case TASK_STATE_COUNT:
        break;
    }
    assert(false && "a state with a job");
    return NULL;
}

static void work(struct task *task) { job_start(task, job_of_state(task->state)); }

static void on_pause_over(void *arg) { work(arg); }

static void do_again(struct task *task)
{
    const bool has_logs_left = task->state == TASK_PREPARING && task->job && task->job->is_ours;
    const int64_t ms = has_logs_left    ? OPEN_PAUSE_MS
                       : task->is_asked ? LOOK_PAUSE_MS
                                        : RELINK_PAUSE_MS;
    shimlink_freep(&task->link);
    if (!task->pause)
        task->pause = loop_timer_new(task->tasks->loop, on_pause_over, task);
    loop_timer_arm(task->pause, boot_add_ms(boot_now(), ms));
}

/* What a shim says. */

static void note_state(struct task *task, const struct shim_msg *msg)
{
    task->phase = shim_phase_name(msg->state.phase);
    task->agent_pid = (pid_t)msg->state.agent_pid;
    task->agent_start_ticks = msg->state.agent_start_ticks;
    task->epoch = msg->state.epoch;
    task->is_executed = msg->state.phase == SHIM_PHASE_RUNNING ||
                        msg->state.phase == SHIM_PHASE_STOPPING;
    task->shim.pid = (pid_t)msg->state.shim_pid;
    task->shim.start_ticks = msg->state.shim_start_ticks;
    memcpy(task->shim.boot_id, task->tasks->boot_id, sizeof(task->shim.boot_id));
    if (msg->state.started.ns)
        task->started = msg->state.started;
}

/* For a new shim only what proves that the start has succeeded: a later phase may be the way out of
 * a failed one, and EXITED says which. */
static bool is_up(const struct task *task, enum shim_phase phase)
{
    if (task->state == TASK_BOOTING)
        return phase == SHIM_PHASE_RUNNING || phase == SHIM_PHASE_STOPPING ||
               (phase == SHIM_PHASE_STANDBY && task->has_sidecar);
    return phase != SHIM_PHASE_ENDED;
}

static void hear_state(struct task *task, const struct shim_msg *msg)
{
    const pid_t peer = shimlink_peer_pid(task->link);
    const bool is_ours = memcmp(msg->state.nonce, task->nonce, sizeof(task->nonce)) == 0 &&
                         (task->state != TASK_CONNECTING || peer == (pid_t)msg->state.shim_pid);
    if (task->state == TASK_YIELDING || (!is_ours && task->state == TASK_LIVE))
        return;
    if (!is_ours && (task->state == TASK_BOOTING || task->state == TASK_CONNECTING)) {
        (void)err_set(&task->err, ERR_NOT_FOUND, "link to shim: it is of another launch");
        life_sign(task, SIGN_FAILED);
        return;
    }
    note_state(task, msg);
    if (task->state == TASK_CONNECTING && !task->news && msg->state.text[0] != '\0')
        task->news = str_copy(msg->state.text);
    if (is_up(task, msg->state.phase))
        life_sign(task, SIGN_UP);
}

static void hear_end(struct task *task, const struct shim_msg *msg)
{
    const struct exit_record *record = &msg->end.record;
    if (task->state == TASK_YIELDING ||
        memcmp(record->nonce, task->nonce, sizeof(task->nonce)) != 0)
        return;
    if (task->state == TASK_BOOTING && result_has_run(record))
        life_sign(task, SIGN_UP); /* it was quicker than its STATE */
    if (task->state == TASK_BOOTING)
        (void)result_start_error(record, &task->err);
    else if (!task->has_result)
        take_record(task, record);
    life_sign(task, SIGN_EXITED);
}

static void on_message(void *arg, const struct shim_msg *msg)
{
    struct task *task = arg;
    if (msg->type == SHIM_STATE)
        hear_state(task, msg);
    else if (msg->type == SHIM_EXITED)
        hear_end(task, msg);
    else if (msg->type == SHIM_EVENT && task->state != TASK_YIELDING)
        entry_event(task, msg->event.text);
}

static void on_closed(void *arg, const struct err *why)
{
    struct task *task = arg;
    shimlink_freep(&task->link);
    if (task->state == TASK_BOOTING)
        (void)err_set(&task->err, ERR_UNAVAILABLE, "start task: the shim died (%s)", why->msg);
    life_sign(task, SIGN_CLOSED);
}

static void tell(struct task *task, const struct shim_msg *msg)
{
    struct err err = { 0 };
    if (task->link && !shimlink_send(task->link, msg, &err))
        LOG(LOG_WARN, "message to shim lost", F(task, task->id), F(error, &err)); /* CLOSED comes */
}

static void tell_hello(struct task *task)
{
    struct shim_msg hello = { .type = SHIM_HELLO };
    memcpy(hello.hello.nonce, task->nonce, sizeof(hello.hello.nonce));
    tell(task, &hello);
}

static bool link_open(struct task *task)
{
    const struct shimlink_events events = { on_message, on_closed, task };
    struct err err = { 0 };
    if (shimlink_open(task->tasks->loop, task->paths.socket, &events, &task->link, &err))
        return true;
    task->err = err;
    const bool is_soon = err.kind == ERR_NOT_FOUND || err.kind == ERR_UNAVAILABLE;
    if (is_soon)
        task->err.kind = ERR_UNAVAILABLE; /* it lives; that it does not listen will pass */
    life_sign(task, is_soon ? SIGN_NOT_YET : SIGN_FAILED);
    return false;
}

static void do_connect(struct task *task)
{
    if (link_open(task))
        tell_hello(task);
}

static void do_yield(struct task *task)
{
    const struct launch *older = &task->job->found.launch;
    if (!task->is_yielding) {
        LOG(LOG_WARN, "an older launch is stopped first", F(task, task->id),
            F(older, older->task_id));
        late_arm(task, YIELD_WAIT_MS);
    }
    task->is_yielding = true;
    memcpy(task->nonce, older->nonce, sizeof(task->nonce));
    if (!link_open(task))
        return;
    tell_hello(task);
    tell(task, &(struct shim_msg){ .type = SHIM_STOP, .stop = { .timeout_ms = YIELD_STOP_MS } });
}

static void say_unlimited(struct task *task, const char *limits)
{
    char text[160];
    (void)snprintf(text, sizeof(text),
                   "not enforced on this node, which lacks the cgroup controller: %s", limits);
    entry_event(task, text);
}

/* What is usual elsewhere and not to be had on this machine is not left out in silence. */
static void tell_missing(const struct task *task)
{
    const char *missing = task->job->plan.surround.missing;
    if (missing[0] == '\0')
        return;
    CLEANUP(str_freep) char *text = str_format("isolation: not to be had here: %s", missing);
    entry_event(task, text);
}

static void do_watch(struct task *task)
{
    const struct shimlink_events events = { on_message, on_closed, task };
    struct birth_out *born = &task->job->born;
    struct err err = { 0 };
    late_arm(task, START_WAIT_MS);
    take_launch(task, &born->launch);
    if (born->unlimited)
        say_unlimited(task, born->unlimited);
    /* Our child, not reaped yet: the number cannot be anybody else's. */
    if (!proc_identify(born->shim.pid, &task->shim, &err))
        LOG(LOG_WARN, "new shim cannot be identified", F(task, task->id), F(error, &err));
    tell_missing(task);
    reaper_add(task->tasks->loop, &task->tasks->reapers, &born->shim);
    task->link = shimlink_new(task->tasks->loop, fd_take(&born->control), SHIM_TELLS_DRIVER,
                              &events);
}

static void do_look(struct task *task) { work(task); }

/* Requests while it lives. */

static void pass_stop(struct task *task)
{
    struct shim_msg msg = { .type = SHIM_KILL };
    const int64_t ms = task->is_kill_wanted ? 0 : task->stop_ms;
    if (ms > 0)
        msg = (struct shim_msg){
            .type = SHIM_STOP, .stop = { .signo = task->stop_signo, .timeout_ms = (uint32_t)ms }
        };
    late_arm(task, ms > 0 ? ms + task_slack_ms(task->tasks->count) : KILL_WAIT_MS);
    tell(task, &msg);
}

static void do_pass(struct task *task) { pass_stop(task); }

static void do_force(struct task *task)
{
    struct proc shim = PROC_NONE;
    struct err err = { 0 };
    LOG(LOG_WARN, "the shim is late and is killed", F(task, task->id), F(pid, task->shim.pid));
    if (!proc_open(&task->shim, &shim.pidfd, &err) || !proc_signal(&shim, SIGKILL, &err))
        LOG(LOG_WARN, "shim cannot be killed", F(task, task->id), F(error, &err));
    proc_fini(&shim);
    late_arm(task, task_slack_ms(task->tasks->count));
}

static void do_nothing(struct task *task) { (void)task; }

/* Answers. */

static void release_start(struct task *task)
{
    if (task->spec)
        inside_take_spec(&task->inside, task->spec);
    task_spec_freep(&task->spec);
    entry_job_free(task);
}

static void answer_asked(struct task *task, const struct err *err)
{
    if (!task->is_asked)
        return;
    task->is_asked = false;
    if (task->on_started)
        start_answer(task, err);
    calls_answer(task->tasks->loop, &task->recoveries, err);
}

static void do_reply(struct task *task)
{
    late_cancel(task);
    answer_asked(task, NULL);
    release_start(task);
    if (task->is_stop_wanted || task->is_kill_wanted)
        pass_stop(task);
}

static void do_end(struct task *task)
{
    assert(task->has_result);
    late_cancel(task);
    task->phase = "ended";
    task->agent_pid = 0;
    task->is_executed = false;
    answer_asked(task, NULL);
    release_start(task);
    if (task->result.err[0])
        entry_event(task, task->result.err);
    waits_answer(task, &task->result, NULL);
    calls_answer(task->tasks->loop, &task->stops, NULL);
    if (task->destroys)
        life_sign(task, SIGN_DESTROY);
}

static void do_answer(struct task *task) { calls_answer(task->tasks->loop, &task->stops, NULL); }

static void do_undo(struct task *task)
{
    late_cancel(task);
    shimlink_freep(&task->link);
    if (task->pause)
        loop_timer_cancel(task->pause);
    work(task);
}

static void do_remove(struct task *task)
{
    late_cancel(task);
    shimlink_freep(&task->link);
    work(task);
}

static void let_go(struct task *task, const struct err *asked_err)
{
    const struct err gone = { .kind = ERR_NOT_FOUND, .msg = "no such task" };
    const bool is_stuck = task->is_by_id && asked_err && asked_err->kind == ERR_UNAVAILABLE;
    answer_asked(task, asked_err);
    waits_answer(task, NULL, &gone);
    calls_answer(task->tasks->loop, &task->stops, NULL);
    calls_answer(task->tasks->loop, &task->destroys, is_stuck ? asked_err : NULL);
    entry_free(task);
}

static void do_refuse(struct task *task)
{
    static const int transient[] = { ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, EAGAIN };
    struct err err = task->err;
    for (size_t i = 0; i < COUNT(transient); i++)
        if (err.kind == ERR_SYSTEM && err.os_errno == transient[i])
            err.kind = ERR_UNAVAILABLE;
    assert(err.kind != ERR_NONE);
    let_go(task, &err);
}

static void do_forget(struct task *task) { let_go(task, NULL); }

static void do_never(struct task *task)
{
    (void)task;
    assert(false && "this pair cannot happen");
}

static void (*const actions[TASK_ACTION_COUNT])(struct task *) = {
    [DO_NEVER] = do_never,   [DO_IGNORE] = do_nothing, [DO_CONNECT] = do_connect,
    [DO_YIELD] = do_yield,   [DO_AGAIN] = do_again,    [DO_WATCH] = do_watch,
    [DO_LOOK] = do_look,     [DO_REPLY] = do_reply,    [DO_NOTE] = do_nothing,
    [DO_END] = do_end,       [DO_STOP] = do_pass,      [DO_KILL] = do_pass,
    [DO_FORCE] = do_force,   [DO_DEFER] = do_nothing,  [DO_ANSWER] = do_answer,
    [DO_UNDO] = do_undo,     [DO_REMOVE] = do_remove,  [DO_REFUSE] = do_refuse,
    [DO_FORGET] = do_forget,
};

/* What the table cannot say: a deadline turns waiting into failure, and a task that is already the
 * caller's is never refused: what cannot be found out about it is a loss. */
static enum task_sign interpret(struct task *task, enum task_sign sign)
{
    const bool is_late = task->is_late && task->is_asked;
    if (sign == SIGN_NOT_YET && is_late)
        return SIGN_LATE;
    if (sign == SIGN_OTHER && is_late) {
        (void)err_set(&task->err, ERR_UNAVAILABLE, "start task: launch \"%.100s\" does not end",
                      task->job->found.launch.task_id);
        return SIGN_FAILED;
    }
    if (task->is_asked)
        return sign;
    if (task->state == TASK_CONNECTING && (sign == SIGN_FAILED || sign == SIGN_LATE))
        return SIGN_NOT_YET;
    if (task->state != TASK_LOOKING || sign != SIGN_FAILED)
        return sign;
    take_loss(task, task->err.msg);
    return SIGN_OVER;
}

void life_sign(struct task *task, enum task_sign sign)
{
    assert(task->magic == TASK_MAGIC);
    const enum task_sign meant = interpret(task, sign);
    const struct task_move move = task_move(task->state, meant);
    task->state = move.next;
    actions[move.action](task);
}

void life_start(struct task *task)
{
    task->state = TASK_PREPARING;
    task->is_asked = true;
    task->has_sidecar = task->spec->config.has_state;
    late_arm(task, START_WAIT_MS);
    work(task);
}

void life_recover(struct task *task)
{
    task->state = TASK_LOOKING;
    task->is_asked = true;
    late_arm(task, START_WAIT_MS);
    work(task);
}

bool life_forget(struct task *task)
{
    const bool is_settled = task->state == TASK_LIVE || task->state == TASK_ENDED;
    if (!is_settled || task->stops || task->destroys)
        return false;
    let_go(task, NULL);
    return true;
}

void life_leave(struct task *task, const struct err *err)
{
    shimlink_freep(&task->link);
    loop_timer_freep(&task->late);
    loop_timer_freep(&task->pause);
    answer_asked(task, err);
    waits_answer(task, NULL, err);
    calls_answer(task->tasks->loop, &task->stops, err);
    calls_answer(task->tasks->loop, &task->destroys, err);
}
