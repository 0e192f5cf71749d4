#include "common/shimwire/taskkey.h"

#include <inttypes.h>
#include <stdio.h>

#include "common/shimwire/pen.h"

void task_key(struct view alloc_id, struct view task_name, char out[TASK_KEY_BYTES])
{
    uint64_t hash = fnv_add(FNV_START, alloc_id);
    hash = fnv_add(hash, view_str("/"));
    hash = fnv_add(hash, task_name);
    (void)snprintf(out, TASK_KEY_BYTES, "%016" PRIx64, hash);
}
