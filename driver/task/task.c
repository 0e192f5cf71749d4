#include "driver/task/task.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/own.h"
#include "common/log/log.h"
#include "common/loop/loop.h"
#include "common/shimlink/shimlink.h"
#include "common/shimwire/msg.h"
#include "driver/exec/exec.h"
#include "driver/exec/wish.h"
#include "driver/limits/dirs.h"
#include "driver/nomad/driver_state.h"
#include "driver/task/entry.h"
#include "driver/task/life.h"
#include "driver/task/reaper.h"
#include "driver/task/signals.h"

#define SIDECAR_NAME "agent-sidecar" /* of the process */

static bool no_such_task(const char *id, struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "no such task \"%.128s\"", id);
}

struct tasks *tasks_new(struct loop *loop, const struct plugin_config *config,
                        task_event_fn *on_event, void *arg)
{
    struct tasks *tasks = mem_new(struct tasks);
    struct err err = { 0 };
    tasks->loop = loop;
    tasks->on_event = on_event;
    tasks->event_arg = arg;
    tasks->rules = rules_new(config);
    machine_read(&tasks->machine);
    machine_raise_files(&tasks->machine);
    tasks->execs = execs_new(loop);
    if (!proc_boot_id(tasks->boot_id, &err))
        LOG(LOG_ERROR, "boot id cannot be read", F(error, &err)); /* no launch will match it */
    return tasks;
}

void tasks_reconfigure(struct tasks *tasks, const struct plugin_config *config)
{
    rules_drop(&tasks->rules);
    tasks->rules = rules_new(config);
}

/* A worker of the table itself: opening it, or a check. */
struct work {
    struct tasks *tasks;
    struct rules *rules; /* held */
    unsigned stuck;
    bool ok;
    enum host_health health;
    struct err err;
    task_done_fn *on_done;
    task_health_fn *on_health;
    void *arg;
};

static void job_counted(struct tasks *tasks)
{
    tasks->jobs--;
    if (tasks->is_closing && tasks->jobs == 0)
        calls_answer(tasks->loop, &tasks->closing, NULL);
}

static void work_begin(const struct work *what, loop_fn *job, loop_fn *done)
{
    struct work *w = mem_new(struct work);
    *w = *what;
    w->rules = rules_hold(w->tasks->rules);
    w->tasks->jobs++;
    loop_work(w->tasks->loop, job, done, w);
}

static void work_end(struct work *w)
{
    job_counted(w->tasks);
    rules_drop(&w->rules);
    free(w);
}

static void open_job(void *arg)
{
    struct work *w = arg;
    const struct plugin_config *config = &w->rules->config;
    w->ok = ledger_sweep(config->state_dir, config->run_dir, w->tasks->boot_id, &w->stuck, &w->err);
}

static void open_done(void *arg)
{
    struct work *w = arg;
    if (w->stuck)
        LOG(LOG_WARN, "launches left something that cannot be removed", F(count, w->stuck));
    w->on_done(w->arg, w->ok ? NULL : &w->err);
    work_end(w);
}

void tasks_open(struct tasks *tasks, task_done_fn *on_done, void *arg)
{
    work_begin(&(struct work){ .tasks = tasks, .on_done = on_done, .arg = arg }, open_job,
               open_done);
}

static void check_job(void *arg)
{
    struct work *w = arg;
    const struct plugin_config *config = &w->rules->config;
    CLEANUP(str_freep) char *shim = NULL;
    CLEANUP(str_freep) char *sidecar = NULL;
    if (!helpers_find(config, &shim, &sidecar, &w->err)) {
        w->health = shim ? HOST_SIDECAR : HOST_SHIM;
        return;
    }
    const struct host_health_ask ask = { .state_dir = config->state_dir,
                                         .run_dir = config->run_dir,
                                         .cgroup_parent = config->cgroup_parent,
                                         .shim = shim,
                                         .sidecar = sidecar,
                                         .version = AGENT_VERSION,
                                         .now = wall_now() };
    w->health = host_health_check(&ask, &w->tasks->health, &w->err);
}

static void check_done(void *arg)
{
    struct work *w = arg;
    w->tasks->is_checking = false;
    w->on_health(w->arg, w->health, &w->err);
    work_end(w);
}

void tasks_check(struct tasks *tasks, task_health_fn *on_health, void *arg)
{
    assert(!tasks->is_checking); /* one at a time: `health` is its own while it runs */
    tasks->is_checking = true;
    work_begin(&(struct work){ .tasks = tasks, .on_health = on_health, .arg = arg }, check_job,
               check_done);
}

static const struct err closing_err = { .kind = ERR_UNAVAILABLE,
                                        .msg = "the driver is shutting down" };

static void execs_closed(void *arg) { job_counted(arg); }

static void leave(struct task *task) { life_leave(task, &closing_err); }

void tasks_close(struct tasks *tasks, task_done_fn *on_done, void *arg)
{
    assert(!tasks->is_closing);
    tasks->is_closing = true;
    entry_each(tasks, leave);
    reapers_free(&tasks->reapers);
    tasks->jobs++;
    execs_close(tasks->execs, execs_closed, tasks);
    call_add(&tasks->closing, on_done, arg);
    if (tasks->jobs == 0)
        calls_answer(tasks->loop, &tasks->closing, NULL);
}

void tasks_free(struct tasks *tasks)
{
    if (!tasks)
        return;
    assert(tasks->is_closing && tasks->jobs == 0);
    entry_each(tasks, entry_free);
    execs_free(tasks->execs);
    rules_drop(&tasks->rules);
    free(tasks);
}

/* Reports a start that got no entry, on the next turn. */
struct refusal {
    task_started_fn *on_started;
    void *arg;
    struct err err;
};

static void refusal_deliver(void *arg)
{
    struct refusal *r = arg;
    r->on_started(r->arg, NULL, &r->err);
    free(r);
}

static bool start_check(struct tasks *tasks, const struct task_spec *spec, struct task **out,
                        struct err *err)
{
    if (tasks->is_closing) {
        *err = closing_err;
        return false;
    }
    if (entry_find(tasks, spec->id))
        return err_set(err, ERR_CONFLICT, "start task \"%.128s\": is known already", spec->id);
    if (!entry_new(tasks, spec->id, spec->alloc_id, spec->name, out, err))
        return false;
    return true;
}

/* Nomad starts a task under a new id only when it knows nothing of the old one: its agent died
 * before it had stored the handle, and we did not die. What we remember goes; the launch itself is
 * then found on disk like one of an earlier driver's, and stopped before the new one starts. */
static bool twin_yields(struct tasks *tasks, const struct task_spec *spec, struct err *err)
{
    char key[TASK_KEY_BYTES];
    task_key(view_str(spec->alloc_id), view_str(spec->name), key);
    struct task *twin = entry_find_key(tasks, key);
    if (!twin || tasks->is_closing || strcmp(twin->id, spec->id) == 0)
        return true;
    if (strcmp(twin->alloc_id, spec->alloc_id) != 0 || strcmp(twin->name, spec->name) != 0)
        return err_set(err, ERR_CONFLICT, "start task \"%.100s\": has the key of \"%.100s\"",
                       spec->id, twin->id);
    LOG(LOG_WARN, "started under a new id: the old one is forgotten", F(task, spec->id),
        F(older, twin->id));
    return life_forget(twin) ||
           err_set(err, ERR_UNAVAILABLE, "start task \"%.100s\": \"%.100s\" of it is still busy",
                   spec->id, twin->id);
}

void tasks_start(struct tasks *tasks, struct task_spec *spec, task_started_fn *on_started,
                 void *arg)
{
    struct task *task = NULL;
    struct err err = { 0 };
    if (!twin_yields(tasks, spec, &err) || !start_check(tasks, spec, &task, &err)) {
        struct refusal *r = mem_new(struct refusal);
        *r = (struct refusal){ on_started, arg, err };
        loop_post(tasks->loop, refusal_deliver, r);
        task_spec_free(spec);
        return;
    }
    task->spec = spec;
    task->on_started = on_started;
    task->started_arg = arg;
    life_start(task);
}

/* Ids are <alloc id>/<task name>/<random>. */
static bool is_id_of(const char *id, const char *alloc_id, const char *name)
{
    const size_t alloc_len = strlen(alloc_id), name_len = strlen(name);
    return strncmp(id, alloc_id, alloc_len) == 0 && id[alloc_len] == '/' &&
           strncmp(id + alloc_len + 1, name, name_len) == 0 && id[alloc_len + 1 + name_len] == '/';
}

static bool recover_new(struct tasks *tasks, const char *id, struct view bytes, struct task **out,
                        struct err *err)
{
    struct driver_state state;
    if (tasks->is_closing) {
        *err = closing_err;
        return false;
    }
    if (!driver_state_decode(bytes, &state, err))
        return err_wrap(err, "recover task \"%.64s\"", id);
    if (!is_id_of(id, state.alloc_id, state.task_name))
        return err_set(err, ERR_INVALID, "recover task \"%.64s\": the handle is of \"%.64s/%.64s\"",
                       id, state.alloc_id, state.task_name);
    if (!entry_new(tasks, id, state.alloc_id, state.task_name, out, err))
        return false;
    const struct task *twin = entry_find_key(tasks, (*out)->paths.key);
    if (twin != *out && twin) {
        entry_free(*out);
        return err_set(err, ERR_CONFLICT, "recover task \"%.100s\": \"%.100s\" is the same launch",
                       id, twin->id);
    }
    memcpy((*out)->nonce, state.nonce, sizeof(state.nonce));
    (*out)->launched = (*out)->started = (struct wall){ state.started_wall_ns };
    return true;
}

void tasks_recover(struct tasks *tasks, const char *task_id, struct view driver_state,
                   struct task_spec *stored, task_done_fn *on_done, void *arg)
{
    CLEANUP(task_spec_freep) struct task_spec *owned = stored;
    struct task *task = entry_find(tasks, task_id);
    struct err err = { 0 };
    if (task && task->is_asked && !task->on_started) {
        call_add(&task->recoveries, on_done, arg);
        return;
    }
    if (task) {
        call_answer(tasks->loop, on_done, arg, NULL);
        return;
    }
    if (!recover_new(tasks, task_id, driver_state, &task, &err)) {
        call_answer(tasks->loop, on_done, arg, &err);
        return;
    }
    if (owned)
        inside_take_spec(&task->inside, owned);
    call_add(&task->recoveries, on_done, arg);
    life_recover(task);
}

/* "degraded" is said once, and may have been said while no driver listened. Not at once: during a
 * recovery the agent does not know the task yet and drops its events. */
static void tell_news(struct task *task)
{
    CLEANUP(str_freep) char *news = STEAL(task->news);
    if (news)
        entry_event(task, news);
}

struct task_wait *tasks_wait(struct tasks *tasks, const char *task_id, task_result_fn *on_result,
                             void *arg)
{
    struct task *task = entry_find(tasks, task_id);
    struct task_wait *wait = mem_new(struct task_wait);
    struct err err = { 0 };
    *wait = (struct task_wait){ .tasks = tasks, .on_result = on_result, .arg = arg };
    if (tasks->is_closing) {
        wait_answer(wait, NULL, &closing_err);
    } else if (!task || task->state == TASK_REMOVING) {
        (void)no_such_task(task_id, &err);
        wait_answer(wait, NULL, &err);
    } else if (task->has_result && task->state == TASK_ENDED) {
        wait_answer(wait, &task->result, NULL);
    } else {
        wait->task = task;
        wait->next = task->waits;
        task->waits = wait;
        tell_news(task);
    }
    return wait;
}

void task_wait_cancel(struct task_wait *wait)
{
    if (!wait->task) {
        wait->on_result = NULL; /* its delivery frees it */
        return;
    }
    struct task_wait **at = &wait->task->waits;
    while (*at != wait)
        at = &(*at)->next;
    *at = wait->next;
    free(wait);
}

static int signal_or_default(const struct task *task, const char *name)
{
    int signo = SIGTERM;
    if (name[0] != '\0' && !signal_parse(name, &signo)) {
        LOG(LOG_WARN, "unknown signal, SIGTERM is sent instead", F(task, task->id),
            F(signal, name));
        return SIGTERM;
    }
    return signo;
}

void tasks_stop(struct tasks *tasks, const char *task_id, const char *signal_name,
                int64_t timeout_ms, task_done_fn *on_done, void *arg)
{
    struct task *task = entry_find(tasks, task_id);
    if (!task || tasks->is_closing) {
        call_answer(tasks->loop, on_done, arg, tasks->is_closing ? &closing_err : NULL);
        return;
    }
    const int64_t longest_ms = UINT32_MAX - 1; /* the next value means "the spec's" to the shim */
    task->is_stop_wanted = true;
    task->stop_signo = signal_or_default(task, signal_name);
    task->stop_ms = timeout_ms < 0 ? 0 : timeout_ms > longest_ms ? longest_ms : timeout_ms;
    call_add(&task->stops, on_done, arg);
    life_sign(task, SIGN_STOP);
}

bool tasks_signal(struct tasks *tasks, const char *task_id, const char *signal_name,
                  struct err *err)
{
    struct task *task = entry_find(tasks, task_id);
    struct shim_msg msg = { .type = SHIM_SIGNAL };
    if (!task)
        return no_such_task(task_id, err);
    if (!signal_parse(signal_name, &msg.signal.signo))
        return err_set(err, ERR_INVALID, "signal task \"%.64s\": unknown signal \"%.32s\"", task_id,
                       signal_name);
    if (task->state != TASK_LIVE || task->agent_pid == 0)
        return err_set(err, ERR_INVALID, "signal task \"%.64s\": the agent is not running (%s)",
                       task_id, task->phase);
    return shimlink_send(task->link, &msg, err);
}

void tasks_destroy(struct tasks *tasks, const char *task_id, bool force, task_done_fn *on_done,
                   void *arg)
{
    struct task *task = entry_find(tasks, task_id);
    struct err err = { 0 };
    struct task *lost = task || tasks->is_closing || !force ? NULL
                                                            : entry_new_by_id(tasks, task_id);
    if (lost) {
        lost->is_kill_wanted = true;
        call_add(&lost->destroys, on_done, arg);
        life_recover(lost);
        return;
    }
    if (!task || tasks->is_closing) {
        call_answer(tasks->loop, on_done, arg, tasks->is_closing ? &closing_err : NULL);
        return;
    }
    const bool is_over = task->state == TASK_ENDED || task->state == TASK_REMOVING;
    if (!force && !is_over) {
        (void)err_set(&err, ERR_CONFLICT, "destroy task \"%.128s\": it runs", task_id);
        call_answer(tasks->loop, on_done, arg, &err);
        return;
    }
    task->is_kill_wanted = true;
    call_add(&task->destroys, on_done, arg);
    life_sign(task, SIGN_DESTROY);
}

bool tasks_inspect(struct tasks *tasks, const char *task_id, struct task_status *out,
                   struct err *err)
{
    const struct task *task = entry_find(tasks, task_id);
    if (!task || task->state == TASK_REMOVING)
        return no_such_task(task_id, err);
    *out = (struct task_status){ .id = task->id,
                                 .name = task->name,
                                 .running = task->state != TASK_ENDED,
                                 .started = task->started,
                                 .completed = task->completed,
                                 .result = task->result,
                                 .phase = task->phase };
    return true;
}

/* One sample under way; knows its task by id, because the task may be gone when it is done. */
struct sample {
    struct tasks *tasks;
    char *id, *alloc_id, *name, *cgroup;
    char key[TASK_KEY_BYTES];
    pid_t pid[2], shim; /* by LIMITS_AGENT, LIMITS_SIDECAR; 0: there is none */
    struct usage_raw raw[2];
    bool ok;
    struct err err;
    task_usage_fn *on_usage;
    void *arg;
};

/* The process's v1 cgroup, where it is in one of its own. */
static const char *own_v1(const struct sample *s, enum limits_who who,
                          enum cgroup_controller controller, char out[CGROUP_PATH_MAX])
{
    const struct limits_place place = { .layout = &s->tasks->machine.layout,
                                        .agent_v2 = s->cgroup,
                                        .nomad = "",
                                        .alloc_id = s->alloc_id,
                                        .task_name = s->name,
                                        .key = s->key };
    cgroup_layout_find(place.layout, s->pid[who], controller, out);
    return limits_is_own(&place, who, out) ? out : "";
}

static bool sample_part(struct sample *s, enum limits_who who, const char *v2)
{
    char memory[CGROUP_PATH_MAX], cpu[CGROUP_PATH_MAX], cpuacct[CGROUP_PATH_MAX];
    const struct usage_place place = { .v2 = v2,
                                       .memory = own_v1(s, who, CGROUP_MEMORY, memory),
                                       .cpu = own_v1(s, who, CGROUP_CPU, cpu),
                                       .cpuacct = own_v1(s, who, CGROUP_CPUACCT, cpuacct),
                                       .pid = s->pid[who] };
    return usage_read("", &place, &s->raw[who], &s->err);
}

static void sample_job(void *arg)
{
    struct sample *s = arg;
    CLEANUP(str_freep) char *beside = limits_sidecar_v2(s->cgroup);
    s->ok = s->pid[LIMITS_AGENT] == 0 || sample_part(s, LIMITS_AGENT, s->cgroup);
    s->pid[LIMITS_SIDECAR] = s->shim ? usage_child("", s->shim, SIDECAR_NAME) : 0;
    if (s->pid[LIMITS_SIDECAR] && !sample_part(s, LIMITS_SIDECAR, beside))
        s->pid[LIMITS_SIDECAR] = 0; /* it has ended meanwhile */
}

static struct usage rate_of(struct task *task, const struct sample *s, enum limits_who who)
{
    struct usage_raw *last = &task->last_usage[who];
    if (s->pid[who] == 0)
        return (struct usage){ 0 };
    const struct usage got = usage_rate(last->at.ns ? last : &s->raw[who], &s->raw[who]);
    *last = s->raw[who];
    return got;
}

static void sample_done(void *arg)
{
    struct sample *s = arg;
    struct task *task = entry_find(s->tasks, s->id);
    if (s->ok && (!task || s->tasks->is_closing || task->state == TASK_ENDED))
        s->ok = no_such_task(s->id, &s->err);
    if (!s->ok) {
        s->on_usage(s->arg, NULL, &s->err);
    } else {
        struct task_usage usage = { .agent = rate_of(task, s, LIMITS_AGENT),
                                    .sidecar = rate_of(task, s, LIMITS_SIDECAR),
                                    .agent_pid = s->pid[LIMITS_AGENT],
                                    .sidecar_pid = s->pid[LIMITS_SIDECAR] };
        usage.total = usage_sum(&usage.agent, &usage.sidecar);
        s->on_usage(s->arg, &usage, NULL);
    }
    job_counted(s->tasks);
    free(s->id);
    free(s->alloc_id);
    free(s->name);
    free(s->cgroup);
    free(s);
}

void tasks_usage(struct tasks *tasks, const char *task_id, task_usage_fn *on_usage, void *arg)
{
    const struct task *task = entry_find(tasks, task_id);
    struct sample *s = mem_new(struct sample);
    *s = (struct sample){ .tasks = tasks,
                          .id = str_copy(task_id),
                          .alloc_id = str_copy(task ? task->alloc_id : ""),
                          .name = str_copy(task ? task->name : ""),
                          .cgroup = str_copy(task ? task->cgroup_dir : ""),
                          .on_usage = on_usage,
                          .arg = arg };
    if (task) {
        memcpy(s->key, task->paths.key, sizeof(s->key));
        s->pid[LIMITS_AGENT] = task->agent_pid;
        s->shim = task->state == TASK_LIVE ? task->shim.pid : 0;
    }
    tasks->jobs++;
    loop_work(tasks->loop, sample_job, sample_done, s);
}

static bool exec_check(const struct tasks *tasks, const struct task *task, struct err *err)
{
    const struct inside *inside = &task->inside;
    if (task->state == TASK_ENDED || task->state == TASK_REMOVING)
        return err_set(err, ERR_CONFLICT, "the task has ended");
    if (task->state != TASK_LIVE || !task->is_executed || !task->agent_pid)
        return err_set(err, ERR_CONFLICT, "the agent does not run (%s)", task->phase);
    if (!inside->is_known)
        return err_set(err, ERR_CONFLICT,
                       "an older version of the driver has started it, which did not note what an "
                       "exec needs: restart the task");
    if (!inside->task_dir || !inside->shim)
        return err_set(err, ERR_CONFLICT, "%s is not known here",
                       inside->shim ? "the task's environment" : "agent-shim");
    if (execs_count(tasks->execs, task->id) >= TASK_EXECS_MAX)
        return err_set(err, ERR_CONFLICT, "%d execs run in it already", TASK_EXECS_MAX);
    return true;
}

static bool exec_begin(struct tasks *tasks, const struct task *task, const struct exec_wish *wish,
                       const struct exec_owner *owner, struct exec **out, struct err *err)
{
    const struct exec_target target = { .inside = &task->inside,
                                        .agent_pid = task->agent_pid,
                                        .agent_start_ticks = task->agent_start_ticks,
                                        .epoch = task->epoch,
                                        .boot_id = tasks->boot_id,
                                        .api_path = task->paths.api,
                                        .cgroup_dir = task->cgroup_dir };
    CLEANUP(str_freep) char *cgroup = NULL;
    struct exec_start start = { .spec = FD_NONE,
                                .shim = task->inside.shim,
                                .key = task->id,
                                .mode = wish->mode,
                                .uid = task->inside.uid };
    if (!exec_check(tasks, task, err) || !exec_wish_seal(wish, &target, &start.spec, &cgroup, err))
        return false;
    start.cgroup = cgroup;
    *out = exec_new(tasks->execs, &start, owner);
    return true;
}

bool tasks_exec(struct tasks *tasks, const char *task_id, const struct exec_wish *wish,
                const struct exec_owner *owner, struct exec **out, struct err *err)
{
    const struct task *task = entry_find(tasks, task_id);
    if (tasks->is_closing)
        return err_set(err, ERR_CONFLICT, "exec in task: the driver is shutting down");
    if (!task)
        return err_set(err, ERR_NOT_FOUND, "exec in task: no such task \"%.128s\"", task_id);
    return exec_begin(tasks, task, wish, owner, out, err) ||
           err_wrap(err, "exec in task \"%.100s\"", task_id);
}

size_t tasks_count(const struct tasks *tasks) { return tasks->count; }
