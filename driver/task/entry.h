/* entry.h - one task in the driver's memory, the table of them, and how calls are answered.
 *
 * Inside this room only. Nothing here decides: entries are found, made and freed, answers are
 * delivered on the next turn of the loop. Loop thread.
 * Tested by driver/task/task_test.c. */
#pragma once
#include "common/base/fd.h"
#include "common/proc/identity.h"
#include "common/proc/spawn.h"
#include "driver/host/machine.h"
#include "driver/host/usage.h"
#include "driver/nomad/task_spec.h"
#include "driver/task/birth.h"
#include "driver/exec/inside.h"
#include "driver/task/ledger.h"
#include "driver/task/paths.h"
#include "driver/task/plan.h"
#include "driver/task/rules.h"
#include "driver/task/states.h"
#include "driver/task/task.h"

#define TASK_MAGIC   0x7461736bU /* "task" */
#define TASK_BUCKETS 256

struct execs;
struct shimlink;
struct loop_timer;
struct reaper;

struct call { /* a stop, destroy, recovery or close that waits */
    struct call *next;
    task_done_fn *on_done;
    void *arg;
};

struct task_wait {
    struct task_wait *next;
    struct task *task; /* NULL: answered, delivery is under way */
    struct tasks *tasks;
    task_result_fn *on_result; /* NULL: cancelled during delivery */
    void *arg;
    struct task_result result;
    struct err err;
};

/* What a job was given and what it found; the job's alone while one runs, and only there until the
 * task is the caller's: it is the larger part of an entry. */
struct task_job {
    bool is_ours, is_planned; /* how far a start has come */
    struct fd lock, stdout_fd, stderr_fd;
    struct ledger_entry found;
    struct birth_out born;
    struct task_plan plan;
    enum task_sign sign;
    struct err err;
};

struct task {
    unsigned magic;
    struct task *next; /* in its bucket */
    struct tasks *tasks;
    char *id, *alloc_id, *name;
    struct task_paths paths;
    struct rules *rules;    /* held: what this start or recovery goes by */
    struct task_spec *spec; /* until the start is answered */
    enum task_state state;
    bool is_working;      /* a job runs */
    struct task_job *job; /* or NULL */
    struct err err;       /* why the last job or link failed */

    bool is_asked; /* a start or recovery waits for its answer */
    task_started_fn *on_started;
    void *started_arg;
    struct call *recoveries, *stops, *destroys;
    struct task_wait *waits;
    bool is_stop_wanted, is_kill_wanted, is_yielding;
    bool is_by_id; /* looked for by its id, the nonce is not known */
    int stop_signo;
    int64_t stop_ms;

    uint8_t nonce[SHIM_NONCE_BYTES];
    struct wall launched, started, completed;
    char *cgroup_dir; /* of the launch; "" none */
    bool has_sidecar;
    struct shimlink *link;
    struct loop_timer *late, *pause;
    bool is_late;
    struct proc_identity shim; /* as STATE said; pid 0: not known */
    pid_t agent_pid;
    uint64_t agent_start_ticks, epoch;
    bool is_executed;  /* the agent's program runs: its surroundings are there */
    const char *phase; /* static */
    char *news;        /* what the shim said last before we came; NULL once it was told */

    bool has_result;
    struct task_result result;
    struct usage_raw last_usage[2]; /* agent, sidecar; at.ns 0: none */
    struct inside inside;
};

struct tasks {
    struct loop *loop;
    struct rules *rules;    /* held: for what begins from now on */
    struct machine machine; /* as the process began */
    char boot_id[PROC_BOOT_ID_BYTES];
    task_event_fn *on_event;
    void *event_arg;
    struct task *buckets[TASK_BUCKETS];
    size_t count;
    size_t jobs;                      /* running workers of any kind */
    struct host_health_memory health; /* the check's own while one runs */
    bool is_checking;
    struct reaper *reapers;
    struct execs *execs;
    bool is_closing;
    struct call *closing;
};

/** The entry with this id, or NULL. */
struct task *entry_find(const struct tasks *tasks, const char *id);
/** The entry with this directory key, or NULL. */
struct task *entry_find_key(const struct tasks *tasks, const char *key);
/** A new entry with paths, in the table. Errors: INVALID paths too long. */
MUST_USE bool entry_new(struct tasks *tasks, const char *id, const char *alloc_id, const char *name,
                        struct task **out, struct err *err);
/** A new entry for an id that we do not know but that may have a launch on disk: Nomad destroys by
 * id what it could not recover, and never comes back for it. NULL when there can be none. */
struct task *entry_new_by_id(struct tasks *tasks, const char *id);
/** The task's job data, made when there is none. */
struct task_job *entry_job(struct task *task);
/** Releases the job data; no job runs (asserted). */
void entry_job_free(struct task *task);
/** Out of the table, all released; no job runs and nobody waits any more (asserted). */
void entry_free(struct task *task);
/** Calls `each` for every entry, which may free it. */
void entry_each(struct tasks *tasks, void (*each)(struct task *task));

/** Adds a call at the end of a list. */
void call_add(struct call **list, task_done_fn *on_done, void *arg);
/** Answers all of a list on the next turn; `err` NULL is success. The list is empty afterwards. */
void calls_answer(struct loop *loop, struct call **list, const struct err *err);
/** Answers one call on the next turn. */
void call_answer(struct loop *loop, task_done_fn *on_done, void *arg, const struct err *err);
/** Answers the start on the next turn, with the handle of its launch, or `err`. */
void start_answer(struct task *task, const struct err *err);
/** Answers all waiters of the task on the next turn, with the result or `err`. */
void waits_answer(struct task *task, const struct task_result *result, const struct err *err);
/** Answers one waiter that is in no list. */
void wait_answer(struct task_wait *wait, const struct task_result *result, const struct err *err);

/** Tells the listener; the text is cleaned. */
void entry_event(const struct task *task, const char *text);
