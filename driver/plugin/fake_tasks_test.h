/* fake_tasks_test.h - for this room's tests only: every function of driver/task/task.h as a fake,
 * so that a test that includes this links no task room. */
#pragma once
#include "driver/plugin/fake_table_test.h"

struct tasks *tasks_new(struct loop *loop, const struct plugin_config *config,
                        task_event_fn *on_event, void *arg)
{
    cr_assert_not_null(config->state_dir);
    fake.made++;
    fake.tasks = mem_new(struct tasks);
    fake.tasks->loop = loop;
    fake.tasks->on_event = on_event;
    fake.tasks->event_arg = arg;
    return fake.tasks;
}

void tasks_reconfigure(struct tasks *tasks, const struct plugin_config *config)
{
    cr_assert_eq(tasks, fake.tasks);
    fake.reconfigured++;
    fake.pids_limit = config->pids_limit;
}

void tasks_open(struct tasks *tasks, task_done_fn *on_done, void *arg)
{
    fake.opened++;
    fake_post(tasks->loop, (struct fake_post){ POST_DONE, { .done = on_done }, arg, { 0 } },
              fake.open_error);
}

void tasks_check(struct tasks *tasks, task_health_fn *on_health, void *arg)
{
    fake.checks++;
    fake_post(tasks->loop, (struct fake_post){ POST_HEALTH, { .health = on_health }, arg, { 0 } },
              fake.health == HOST_GOOD ? ERR_NONE : ERR_SYSTEM);
}

const char *host_health_text(enum host_health health)
{
    return health == HOST_GOOD ? "good" : "bad";
}

void tasks_close(struct tasks *tasks, task_done_fn *on_done, void *arg)
{
    for (size_t i = 0; i < FAKE_TASKS; i++) {
        struct fake_task *task = &tasks->all[i];
        if (task->is_used && task->on_started != NULL)
            fake_post(tasks->loop,
                      (struct fake_post){
                          POST_STARTED, { .started = task->on_started }, task->start_arg, { 0 } },
                      ERR_UNAVAILABLE);
        if (task->is_used)
            fake_remove(tasks, task);
    }
    if (fake.on_usage != NULL)
        fake_give_usage(ERR_UNAVAILABLE);
    fake_post(tasks->loop, (struct fake_post){ POST_DONE, { .done = on_done }, arg, { 0 } },
              ERR_NONE);
}

void tasks_free(struct tasks *tasks) { free(tasks); }

void tasks_start(struct tasks *tasks, struct task_spec *spec, task_started_fn *on_started,
                 void *arg)
{
    struct fake_post post = { POST_STARTED, { .started = on_started }, arg, { 0 } };
    enum err_kind kind = fake_find(tasks, spec->id) != NULL ? ERR_CONFLICT : ERR_NONE;
    for (int i = 1; i < ERR_KIND_COUNT; i++) {
        if (strcmp(spec->config.command, err_kind_name((enum err_kind)i)) == 0)
            kind = (enum err_kind)i;
    }
    struct fake_task *task = kind == ERR_NONE ? fake_add(tasks, spec->id) : NULL;
    if (task != NULL && strcmp(spec->config.command, "later") == 0) {
        task->on_started = on_started;
        task->start_arg = arg;
    } else {
        fake_post(tasks->loop, post, kind);
    }
    task_spec_free(spec);
}

void tasks_recover(struct tasks *tasks, const char *task_id, struct view driver_state,
                   struct task_spec *stored, task_done_fn *on_done, void *arg)
{
    task_spec_free(stored);
    enum err_kind kind = view_is_equal(driver_state, view_str("driver state")) ? ERR_NONE
                                                                               : ERR_CORRUPT;
    if (kind == ERR_NONE && fake_find(tasks, task_id) == NULL)
        (void)fake_add(tasks, task_id);
    fake_post(tasks->loop, (struct fake_post){ POST_DONE, { .done = on_done }, arg, { 0 } }, kind);
}

bool tasks_exec(struct tasks *tasks, const char *task_id, const struct exec_wish *wish,
                const struct exec_owner *owner, struct exec **out, struct err *err)
{
    (void)tasks;
    return fake.exec != NULL ? fake.exec(task_id, wish, owner, out, err)
                             : err_set(err, ERR_NOT_FOUND, "no such task");
}

struct task_wait *tasks_wait(struct tasks *tasks, const char *task_id, task_result_fn *on_result,
                             void *arg)
{
    struct fake_task *task = fake_find(tasks, task_id);
    if (task == NULL || task->has_ended) {
        fake_post(tasks->loop,
                  (struct fake_post){ POST_RESULT, { .result = on_result }, arg, { 0 } },
                  task == NULL ? ERR_NOT_FOUND : ERR_NONE);
        return NULL;
    }
    struct task_wait *wait = mem_new(struct task_wait);
    *wait = (struct task_wait){ task, on_result, arg, task->waits };
    task->waits = wait;
    return wait;
}

void task_wait_cancel(struct task_wait *wait)
{
    struct task_wait **at = &wait->task->waits;
    while (*at != wait)
        at = &(*at)->next;
    *at = wait->next;
    free(wait);
    fake.waits_cancelled++;
}

void tasks_stop(struct tasks *tasks, const char *task_id, const char *signal_name,
                int64_t timeout_ms, task_done_fn *on_done, void *arg)
{
    struct fake_task *task = fake_find(tasks, task_id);
    cr_assert_eq(timeout_ms, 2500);
    cr_assert_str_eq(signal_name, "SIGUSR1");
    if (task != NULL)
        fake_exit(task_id);
    fake_post(tasks->loop, (struct fake_post){ POST_DONE, { .done = on_done }, arg, { 0 } },
              ERR_NONE);
}

bool tasks_signal(struct tasks *tasks, const char *task_id, const char *signal_name,
                  struct err *err)
{
    struct fake_task *task = fake_find(tasks, task_id);
    if (task == NULL)
        return err_set(err, ERR_NOT_FOUND, "signal \"%s\": unknown", task_id);
    return strcmp(signal_name, "SIGHUP") == 0 || err_set(err, ERR_INVALID, "unknown signal");
}

void tasks_destroy(struct tasks *tasks, const char *task_id, bool force, task_done_fn *on_done,
                   void *arg)
{
    struct fake_task *task = fake_find(tasks, task_id);
    bool is_refused = task != NULL && !task->has_ended && !force;
    if (task != NULL && !is_refused)
        fake_remove(tasks, task);
    fake_post(tasks->loop, (struct fake_post){ POST_DONE, { .done = on_done }, arg, { 0 } },
              is_refused ? ERR_CONFLICT : ERR_NONE);
}

bool tasks_inspect(struct tasks *tasks, const char *task_id, struct task_status *out,
                   struct err *err)
{
    struct fake_task *task = fake_find(tasks, task_id);
    if (task == NULL)
        return err_set(err, ERR_NOT_FOUND, "inspect \"%s\": unknown", task_id);
    *out = (struct task_status){ .id = task->id,
                                 .name = "bad \xff name",
                                 .running = true,
                                 .started = { 1500000000 },
                                 .phase = "running" };
    return true;
}

void tasks_usage(struct tasks *tasks, const char *task_id, task_usage_fn *on_usage, void *arg)
{
    struct fake_task *task = fake_find(tasks, task_id);
    fake.usages++;
    if (fake.holds_usage) {
        fake.on_usage = on_usage;
        fake.usage_arg = arg;
        return;
    }
    fake_post(tasks->loop, (struct fake_post){ POST_USAGE, { .usage = on_usage }, arg, { 0 } },
              task == NULL || task->has_ended ? ERR_NOT_FOUND : ERR_NONE);
}

size_t tasks_count(const struct tasks *tasks) { return sizeof(tasks->all) / sizeof(*tasks->all); }
