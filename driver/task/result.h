/* result.h - an exit record as what Nomad is told: a code, a signal, a text. Pure. */
#pragma once
#include "common/base/err.h"
#include "common/shimwire/exit_record.h"
#include "driver/task/task.h"

/** How a task ended. Success (0, 0, "") only when the agent returned 0 and its state is safe. */
struct task_result result_of_record(const struct exit_record *record);

/** A task whose supervisor died without a record. */
struct task_result result_lost(const char *why);

/** False when the agent never ran: then the start has failed, and may be tried again. */
bool result_has_run(const struct exit_record *record);

/** The error of a start whose agent never ran. Always false. */
bool result_start_error(const struct exit_record *record, struct err *err);
