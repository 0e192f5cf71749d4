/* life.h - the machine that moves one task through the table of states.
 *
 * Inside this room only. Loop thread; file work goes to workers, one job a task at a time. */
#pragma once
#include "driver/task/entry.h"

/** Begins a start: the entry has its spec, and the caller's callback is set. */
void life_start(struct task *task);

/** Begins to look for the launch with `task->nonce`; the recovery is in `task->recoveries`. */
void life_recover(struct task *task);

/** Something happened to the task. It may be freed when this returns. */
void life_sign(struct task *task, enum task_sign sign);

/** Takes a live or ended task out of the table, its processes and records untouched: waiters get
 *  NOT_FOUND. False, and nothing happens, while a job or a call of the task is under way. */
bool life_forget(struct task *task);

/** Ends all that is under way, answering with `err`; the processes of the task are not touched. A
 *  job that runs still ends, and is counted by `tasks->jobs`. */
void life_leave(struct task *task, const struct err *err);
