/* fake_table_test.h - for this room's tests only: a table of tasks that do not exist.
 *
 * A task does what its command says: "ok" runs until
 * fake_exit, "later" starts at fake_release, a kind's name ("UNAVAILABLE") fails with that kind. */
#pragma once
#include <criterion/criterion.h>

#include "common/base/own.h"
#include "common/loop/loop.h"
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_spec.h"
#include "driver/task/task.h"

#define FAKE_TASKS 64

struct task_wait {
    struct fake_task *task;
    task_result_fn *on_result;
    void *arg;
    struct task_wait *next;
};

struct fake_task {
    char *id;
    bool is_used, has_ended;
    int last_signal;
    struct task_wait *waits;
    task_started_fn *on_started; /* of a "later" task */
    void *start_arg;
};

struct tasks {
    struct loop *loop;
    task_event_fn *on_event;
    void *event_arg;
    struct fake_task all[FAKE_TASKS];
};

static struct {
    struct tasks *tasks; /* the newest table */
    /* As tasks_exec; NULL: it knows no task. */
    bool (*exec)(const char *task_id, const struct exec_wish *wish, const struct exec_owner *owner,
                 struct exec **out, struct err *err);
    int64_t pids_limit; /* of the newest configuration after the first */
    int made, reconfigured, opened, waits_cancelled, usages;
    enum err_kind open_error;
    enum host_health health; /* what the next checks find */
    int checks;
    bool holds_usage; /* keep samples until fake_give_usage */
    task_usage_fn *on_usage;
    void *usage_arg;
} fake;

struct fake_post { /* a completion on the next turn of the loop */
    enum { POST_DONE, POST_STARTED, POST_RESULT, POST_USAGE, POST_HEALTH } what;
    union {
        task_done_fn *done;
        task_started_fn *started;
        task_result_fn *result;
        task_usage_fn *usage;
        task_health_fn *health;
    } fn;
    void *arg;
    struct err err; /* ERR_NONE: none */
};

static void fake_deliver(void *arg)
{
    struct fake_post *post = arg;
    static const uint8_t state[] = "driver state";
    const struct err *err = post->err.kind == ERR_NONE ? NULL : &post->err;
    struct task_handle handle = { view_of(state, sizeof(state) - 1) };
    struct task_result result = { .exit_code = 7 };
    struct task_usage usage = { .total = { .percent = 150, .raw = { .rss_bytes = 1 << 20 } } };
    switch (post->what) {
    case POST_DONE:
        post->fn.done(post->arg, err);
        break;
    case POST_STARTED:
        post->fn.started(post->arg, err == NULL ? &handle : NULL, err);
        break;
    case POST_RESULT:
        post->fn.result(post->arg, err == NULL ? &result : NULL, err);
        break;
    case POST_USAGE:
        post->fn.usage(post->arg, err == NULL ? &usage : NULL, err);
        break;
    case POST_HEALTH:
        post->fn.health(post->arg, fake.health, &post->err);
        break;
    }
    free(post);
}

static void fake_post(struct loop *loop, struct fake_post post, enum err_kind kind)
{
    struct fake_post *copy = mem_new(struct fake_post);
    *copy = post;
    if (kind != ERR_NONE)
        err_set(&copy->err, kind, "fake: %s", err_kind_name(kind));
    loop_post(loop, fake_deliver, copy);
}

static struct fake_task *fake_find(struct tasks *tasks, const char *id)
{
    for (size_t i = 0; i < FAKE_TASKS; i++) {
        if (tasks->all[i].is_used && strcmp(tasks->all[i].id, id) == 0)
            return &tasks->all[i];
    }
    return NULL;
}

static struct fake_task *fake_add(struct tasks *tasks, const char *id)
{
    struct fake_task *task = tasks->all;
    while (task->is_used)
        task++;
    *task = (struct fake_task){ .id = str_copy(id), .is_used = true };
    return task;
}

static void fake_wake(struct tasks *tasks, struct fake_task *task, enum err_kind kind)
{
    while (task->waits != NULL) {
        struct task_wait *wait = task->waits;
        task->waits = wait->next;
        fake_post(
            tasks->loop,
            (struct fake_post){ POST_RESULT, { .result = wait->on_result }, wait->arg, { 0 } },
            kind);
        free(wait);
    }
}

static void fake_remove(struct tasks *tasks, struct fake_task *task)
{
    fake_wake(tasks, task, ERR_NOT_FOUND);
    str_freep(&task->id);
    task->is_used = false;
}

/** The task ends with code 7. */
static inline void fake_exit(const char *id)
{
    struct fake_task *task = fake_find(fake.tasks, id);
    task->has_ended = true;
    fake_wake(fake.tasks, task, ERR_NONE);
}

/** A "later" task starts. */
static inline void fake_release(const char *id)
{
    struct fake_task *task = fake_find(fake.tasks, id);
    fake_post(
        fake.tasks->loop,
        (struct fake_post){ POST_STARTED, { .started = task->on_started }, task->start_arg, { 0 } },
        ERR_NONE);
    task->on_started = NULL;
}

/** The sample that is held arrives, or fails with `kind`. */
static inline void fake_give_usage(enum err_kind kind)
{
    task_usage_fn *on_usage = fake.on_usage;
    fake.on_usage = NULL;
    fake_post(fake.tasks->loop,
              (struct fake_post){ POST_USAGE, { .usage = on_usage }, fake.usage_arg, { 0 } }, kind);
}
