/* taskkey.h - the name of a task's directory on the node: 16 hex digits of its identity.
 *
 * From allocation id and task name, which stay the same when Nomad repeats a StartTask; not from
 * the task id, which does not. Not a secret and not unforgeable: whoever finds a directory under
 * the key compares the launch record in it. */
#pragma once
#include "common/base/buf.h"

#define TASK_KEY_BYTES 17 /* 16 hex digits and a NUL */

/** The key of "<alloc_id>/<task_name>" (FNV-1a, 64 bits). */
void task_key(struct view alloc_id, struct view task_name, char out[TASK_KEY_BYTES]);
