/* jobs.h - the file work of each state, run on workers, and what its findings mean for the task.
 *
 * Inside this room only. A job writes `task->job` and nothing else, and reads what does not change
 * while it runs: id, names, paths, spec, nonce, cgroup, shim, the table's configuration. It leaves
 * its sign in `job->sign`, with `job->err` for FAILED and NOT_YET.
 * Tested by driver/task/life_test.c. */
#pragma once
#include "driver/task/entry.h"

/** Claims the directory, plans, opens both log files, records and spawns; called again, it goes on
 *  where it stopped: SPAWNED, NOT_YET nobody reads a log, ALIVE, OTHER, OVER, FAILED. */
void job_prepare(void *task);
/** What became of the launch: ALIVE, OVER, FAILED. */
void job_look(void *task);
/** Takes back what a failed start made, if the directory was ours: CLEANED. */
void job_undo(void *task);
/** Removes all of an ended task: CLEANED. */
void job_remove(void *task);
