#include "driver/task/entry.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/loop/loop.h"
#include "common/shimlink/shimlink.h"
#include "driver/nomad/driver_state.h"

static unsigned bucket_of(const char *id)
{
    unsigned sum = 2166136261U;
    for (; *id; id++)
        sum = (sum ^ (unsigned char)*id) * 16777619U;
    return sum % TASK_BUCKETS;
}

struct task *entry_find(const struct tasks *tasks, const char *id)
{
    for (struct task *task = tasks->buckets[bucket_of(id)]; task; task = task->next)
        if (strcmp(task->id, id) == 0)
            return task;
    return NULL;
}

struct task *entry_find_key(const struct tasks *tasks, const char *key)
{
    for (unsigned i = 0; i < TASK_BUCKETS; i++)
        for (struct task *task = tasks->buckets[i]; task; task = task->next)
            if (strcmp(task->paths.key, key) == 0)
                return task;
    return NULL;
}

bool entry_new(struct tasks *tasks, const char *id, const char *alloc_id, const char *name,
               struct task **out, struct err *err)
{
    struct task_paths paths;
    const struct plugin_config *config = &tasks->rules->config;
    if (!task_paths_init(config->state_dir, config->run_dir, alloc_id, name, &paths, err))
        return false;
    struct task *task = mem_new(struct task);
    paths.layout = &tasks->machine.layout;
    *task = (struct task){ .magic = TASK_MAGIC,
                           .tasks = tasks,
                           .id = str_copy(id),
                           .alloc_id = str_copy(alloc_id),
                           .name = str_copy(name),
                           .paths = paths,
                           .rules = rules_hold(tasks->rules),
                           .cgroup_dir = str_copy(""),
                           .phase = "starting" };
    const unsigned bucket = bucket_of(id);
    task->next = tasks->buckets[bucket];
    tasks->buckets[bucket] = task;
    tasks->count++;
    *out = task;
    return true;
}

struct task *entry_new_by_id(struct tasks *tasks, const char *id)
{
    struct task *task = NULL;
    struct err ignored = { 0 };
    const char *first = strchr(id, '/');
    const char *last = strrchr(id, '/');
    if (!first || first == last || strlen(id) > TASK_ID_MAX)
        return NULL;
    CLEANUP(str_freep) char *alloc_id = str_copy_n(id, (size_t)(first - id));
    CLEANUP(str_freep) char *name = str_copy_n(first + 1, (size_t)(last - first - 1));
    char key[TASK_KEY_BYTES];
    task_key(view_str(alloc_id), view_str(name), key);
    const struct task *same = entry_find_key(tasks, key);
    bool is_known = same && !same->is_by_id; /* two may be looked for at once: one id is older */
    if (is_known || !entry_new(tasks, id, alloc_id, name, &task, &ignored))
        return NULL;
    task->is_by_id = true;
    return task;
}

static void entry_unlink(struct task *task)
{
    struct task **at = &task->tasks->buckets[bucket_of(task->id)];
    while (*at != task)
        at = &(*at)->next;
    *at = task->next;
    task->tasks->count--;
}

struct task_job *entry_job(struct task *task)
{
    if (task->job)
        return task->job;
    task->job = mem_new(struct task_job);
    *task->job = (struct task_job){ .lock = FD_NONE,
                                    .stdout_fd = FD_NONE,
                                    .stderr_fd = FD_NONE,
                                    .found = { .lock = FD_NONE },
                                    .born = { .shim = PROC_NONE, .control = FD_NONE } };
    return task->job;
}

void entry_job_free(struct task *task)
{
    struct task_job *job = task->job;
    assert(!task->is_working);
    if (!job)
        return;
    fd_closep(&job->lock);
    fd_closep(&job->stdout_fd);
    fd_closep(&job->stderr_fd);
    fd_closep(&job->born.control);
    proc_fini(&job->born.shim);
    free(job->born.unlimited);
    ledger_entry_fini(&job->found);
    task_plan_fini(&job->plan);
    free(job);
    task->job = NULL;
}

void entry_free(struct task *task)
{
    assert(task->magic == TASK_MAGIC && !task->is_working && !task->is_asked && !task->waits &&
           !task->recoveries && !task->stops && !task->destroys);
    entry_unlink(task);
    shimlink_freep(&task->link);
    loop_timer_freep(&task->late);
    loop_timer_freep(&task->pause);
    entry_job_free(task);
    task_spec_free(task->spec);
    task_paths_fini(&task->paths);
    rules_drop(&task->rules);
    inside_fini(&task->inside);
    free(task->id);
    free(task->alloc_id);
    free(task->name);
    free(task->cgroup_dir);
    free(task->news);
    task->magic = 0;
    free(task);
}

void entry_each(struct tasks *tasks, void (*each)(struct task *task))
{
    for (unsigned i = 0; i < TASK_BUCKETS; i++) {
        struct task *next = NULL;
        for (struct task *task = tasks->buckets[i]; task; task = next) {
            next = task->next;
            each(task);
        }
    }
}

/* One answer on its way to its caller. */
struct answer {
    task_done_fn *on_done;
    task_started_fn *on_started;
    void *arg;
    bool has_err;
    struct err err;
    struct buf state;
};

static void answer_deliver(void *arg)
{
    struct answer *a = arg;
    const struct err *err = a->has_err ? &a->err : NULL;
    if (a->on_started) {
        const struct task_handle handle = { buf_view(&a->state) };
        a->on_started(a->arg, err ? NULL : &handle, err);
    } else {
        a->on_done(a->arg, err);
    }
    buf_fini(&a->state);
    free(a);
}

static struct answer *answer_new(void *arg, const struct err *err)
{
    struct answer *a = mem_new(struct answer);
    a->arg = arg;
    a->has_err = err != NULL;
    if (err)
        a->err = *err;
    return a;
}

void call_answer(struct loop *loop, task_done_fn *on_done, void *arg, const struct err *err)
{
    struct answer *a = answer_new(arg, err);
    a->on_done = on_done;
    loop_post(loop, answer_deliver, a);
}

void call_add(struct call **list, task_done_fn *on_done, void *arg)
{
    struct call *call = mem_new(struct call);
    *call = (struct call){ .on_done = on_done, .arg = arg };
    while (*list)
        list = &(*list)->next;
    *list = call;
}

void calls_answer(struct loop *loop, struct call **list, const struct err *err)
{
    struct call *next = NULL;
    for (struct call *call = *list; call; call = next) {
        next = call->next;
        call_answer(loop, call->on_done, call->arg, err);
        free(call);
    }
    *list = NULL;
}

static void copy_text(char *out, size_t size, const char *text)
{
    const size_t len = strnlen(text, size - 1);
    memcpy(out, text, len);
    out[len] = '\0';
}

void start_answer(struct task *task, const struct err *err)
{
    struct answer *a = answer_new(task->started_arg, err);
    a->on_started = task->on_started;
    task->on_started = NULL;
    if (!err) {
        struct driver_state state = { .started_wall_ns = task->launched.ns };
        memcpy(state.nonce, task->nonce, sizeof(state.nonce));
        copy_text(state.boot_id, sizeof(state.boot_id), task->tasks->boot_id);
        copy_text(state.alloc_id, sizeof(state.alloc_id), task->alloc_id);
        copy_text(state.task_name, sizeof(state.task_name), task->name);
        driver_state_encode(&state, &a->state);
    }
    loop_post(task->tasks->loop, answer_deliver, a);
}

static void wait_deliver(void *arg)
{
    struct task_wait *wait = arg;
    const bool is_err = wait->err.kind != ERR_NONE;
    if (wait->on_result)
        wait->on_result(wait->arg, is_err ? NULL : &wait->result, is_err ? &wait->err : NULL);
    free(wait);
}

void wait_answer(struct task_wait *wait, const struct task_result *result, const struct err *err)
{
    wait->task = NULL;
    if (result)
        wait->result = *result;
    else
        wait->err = *err;
    loop_post(wait->tasks->loop, wait_deliver, wait);
}

void waits_answer(struct task *task, const struct task_result *result, const struct err *err)
{
    struct task_wait *next = NULL;
    for (struct task_wait *wait = task->waits; wait; wait = next) {
        next = wait->next;
        wait_answer(wait, result, err);
    }
    task->waits = NULL;
}

void entry_event(const struct task *task, const char *text)
{
    if (!task->tasks->on_event)
        return;
    CLEANUP(buf_fini) struct buf clean = { 0 };
    utf8_put_clean(&clean, view_str(text));
    const struct task_event event = { .task_id = task->id,
                                      .alloc_id = task->alloc_id,
                                      .task_name = task->name,
                                      .at = wall_now(),
                                      .message = buf_borrow_str(&clean) };
    task->tasks->on_event(task->tasks->event_arg, &event);
}
