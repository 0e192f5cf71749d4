/* reaper.h - takes the exit status of shims we started, so that none stays a zombie.
 *
 * How a task ended is never read from here: it is in the exit record. Loop thread.
 * Tested by driver/task/task_test.c. */
#pragma once
#include "common/proc/spawn.h"

struct loop;
struct reaper;

/** Watches our child until it is dead, then reaps and forgets it; in the list `*list`. Takes
 *  `proc`, which is empty afterwards. */
void reaper_add(struct loop *loop, struct reaper **list, struct proc *proc);

/** Stops watching; the processes are not touched. */
void reapers_free(struct reaper **list);
