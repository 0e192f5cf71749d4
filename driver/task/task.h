/* task.h - the table of tasks: start, recover, wait, stop, signal, destroy as a state machine.
 *
 * The only room that acts on tasks; it speaks no gRPC. Everything runs on the loop thread, file
 * work on workers. Every call with a callback completes exactly once and never inside the call
 * itself; what a callback is lent is valid until it returns. States and events: DESIGN.md. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/time.h"
#include "driver/host/health.h"
#include "driver/host/usage.h"

/* At a time in one task: each is two processes and up to five pipes. */
#define TASK_EXECS_MAX 32

struct exec;
struct exec_owner;
struct exec_wish;
struct loop;
struct plugin_config;
struct task_spec;
struct tasks;

struct task_event { /* for TaskEvents; lent */
    const char *task_id, *alloc_id, *task_name;
    struct wall at;
    const char *message; /* clean UTF-8 */
};
typedef void task_event_fn(void *arg, const struct task_event *event);

struct task_handle {          /* lent */
    struct view driver_state; /* for TaskHandle.driver_state; version is DRIVER_STATE_VERSION */
};

struct task_result { /* the same for every waiter until destroy */
    int exit_code;   /* 128 + signal when killed; -1 with err */
    int signal;
    bool oom_killed;
    char err[240]; /* "" or what went wrong on the driver's side */
};

struct task_status { /* for InspectTask; strings lent until the next call on the table */
    const char *id, *name;
    bool running; /* else exited, and completed and result are set */
    struct wall started, completed;
    struct task_result result;
    const char *phase; /* "standby", "running", ... */
};

typedef void task_started_fn(void *arg, const struct task_handle *handle, const struct err *err);
typedef void task_done_fn(void *arg, const struct err *err); /* err NULL: done */
typedef void task_result_fn(void *arg, const struct task_result *result, const struct err *err);
struct task_usage { /* of the whole task, and of its parts */
    struct usage total, agent, sidecar;
    pid_t agent_pid, sidecar_pid; /* 0: there is no such part now */
};
typedef void task_usage_fn(void *arg, const struct task_usage *usage, const struct err *err);

/** An empty table. Touches nothing outside the process. `config` is copied; `on_event` gets the
 *  events of all tasks, between calls. */
struct tasks *tasks_new(struct loop *loop, const struct plugin_config *config,
                        task_event_fn *on_event, void *arg);

/** What is begun from now on goes by `config` (copied); what is under way and tasks that run keep
 *  theirs. The caller has checked that it may be changed (plugin_config_check_change). */
void tasks_reconfigure(struct tasks *tasks, const struct plugin_config *config);

/** Makes the directories and removes what dead launches left behind (no lock, no exit record that
 *  may still be asked for). Only for a process that is going to serve (SetConfig with
 *  nomad_config, or Init); may be called again. Errors: SYSTEM, DENIED: the driver is unhealthy. */
void tasks_open(struct tasks *tasks, task_done_fn *on_done, void *arg);

typedef void task_health_fn(void *arg, enum host_health health, const struct err *err);
/** Looks at what every start needs (driver/host/health.h); after tasks_open has succeeded. With a
 *  fault `err` has the details. */
void tasks_check(struct tasks *tasks, task_health_fn *on_health, void *arg);

/** Stops watching, completes what is pending with UNAVAILABLE, waits for workers, then calls
 *  on_done; tasks themselves keep running. Nothing but tasks_free may follow. */
void tasks_close(struct tasks *tasks, task_done_fn *on_done, void *arg);
/** After tasks_close has completed. NULL is fine. */
void tasks_free(struct tasks *tasks);

/** Starts or adopts; `spec` is ours now. Replies when the agent runs, or stands by for its lease.
 *  Errors: CONFLICT the id is known (the running task is untouched); INVALID, DENIED, NOT_FOUND
 *  the job cannot run here as written; UNAVAILABLE transient, worth a restart; SYSTEM. After an
 *  error nothing of the start remains. */
void tasks_start(struct tasks *tasks, struct task_spec *spec, task_started_fn *on_started,
                 void *arg);

/** Makes a task of an earlier driver process known again, or does nothing when it is known.
 * `stored` (ours now; NULL: none) is the agent's copy of the task's configuration: without it no
 * exec into the task is possible. Errors: INVALID, CORRUPT a driver_state that is not ours or
 * damaged; NOT_FOUND another boot, or neither a live shim nor an exit record of that launch;
 * UNAVAILABLE no answer in 8 s. Nobody is signalled on any error. */
void tasks_recover(struct tasks *tasks, const char *task_id, struct view driver_state,
                   struct task_spec *stored, task_done_fn *on_done, void *arg);

struct task_wait;
/** Completes with the result once the task has ended. Any number at a time, before and after the
 *  end. Errors: NOT_FOUND unknown id, or destroyed meanwhile. The token is good until completion.
 */
struct task_wait *tasks_wait(struct tasks *tasks, const char *task_id, task_result_fn *on_result,
                             void *arg);
/** Forgets the waiter; its callback is not called. The task is not touched. */
void task_wait_cancel(struct task_wait *wait);

/** Signal, up to `timeout_ms`, then kill; completes when the whole tree is gone. An exited task, an
 *  unknown id and a repeated stop are fine. "" or an unknown name is SIGTERM. Errors: UNAVAILABLE
 *  the driver is closing. */
void tasks_stop(struct tasks *tasks, const char *task_id, const char *signal_name,
                int64_t timeout_ms, task_done_fn *on_done, void *arg);

/** Sends a signal to the agent's main process. Errors: NOT_FOUND unknown id; INVALID unknown
 *  signal name, or the task has no agent process now. */
MUST_USE bool tasks_signal(struct tasks *tasks, const char *task_id, const char *signal_name,
                           struct err *err);

/** Forgets the task and removes all it left: tree, cgroup, records, sockets; its waiters get
 *  NOT_FOUND. By force also a launch that only its record knows under this id. An unknown id is
 *  fine. Errors: CONFLICT it runs and `force` is false; UNAVAILABLE its shim does not answer. */
void tasks_destroy(struct tasks *tasks, const char *task_id, bool force, task_done_fn *on_done,
                   void *arg);

/** Errors: NOT_FOUND. */
MUST_USE bool tasks_inspect(struct tasks *tasks, const char *task_id, struct task_status *out,
                            struct err *err);

/** One sample; rates are since the sample before it, zero for the first. Errors: NOT_FOUND unknown
 *  or ended. */
void tasks_usage(struct tasks *tasks, const char *task_id, task_usage_fn *on_usage, void *arg);

/** Begins a command in a running task. Errors: NOT_FOUND unknown id; CONFLICT the agent does not
 * run now, TASK_EXECS_MAX run in the task already, or an older driver has started it; INVALID too
 * long. What goes wrong later is told by exec_next. */
MUST_USE bool tasks_exec(struct tasks *tasks, const char *task_id, const struct exec_wish *wish,
                         const struct exec_owner *owner, struct exec **out, struct err *err);

/** Tasks in the table. */
size_t tasks_count(const struct tasks *tasks);
