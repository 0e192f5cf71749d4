/* task_calls.h - handlers of the Driver service: bytes to a call of driver/task and back.
 *
 * A call that waits (start, wait, stop, destroy, recover) is answered when the task room calls
 * back. A peer that goes meanwhile never changes what happens to the task. */
#pragma once
#include "driver/rpc/server.h"

/* Each is an rpc_handler_fn with a struct plugin as its argument. */

/** Init: nothing to prepare beyond what SetConfig did; tries again what failed there. */
void call_init(void *arg, struct rpc_call *call, struct view request);
/** Shutdown: tasks keep running, so nothing is to be done. */
void call_prepare_end(void *arg, struct rpc_call *call, struct view request);
/** TaskConfigSchema: the table of task keys. */
void call_task_schema(void *arg, struct rpc_call *call, struct view request);
/** Capabilities. */
void call_capabilities(void *arg, struct rpc_call *call, struct view request);
/** Fingerprint stream. */
void call_fingerprint(void *arg, struct rpc_call *call, struct view request);
/** TaskEvents stream. */
void call_task_events(void *arg, struct rpc_call *call, struct view request);
/** RecoverTask. */
void call_recover(void *arg, struct rpc_call *call, struct view request);
/** StartTask. */
void call_start(void *arg, struct rpc_call *call, struct view request);
/** WaitTask. */
void call_wait(void *arg, struct rpc_call *call, struct view request);
/** StopTask. */
void call_stop(void *arg, struct rpc_call *call, struct view request);
/** DestroyTask. */
void call_destroy(void *arg, struct rpc_call *call, struct view request);
/** InspectTask. */
void call_inspect(void *arg, struct rpc_call *call, struct view request);
/** SignalTask. */
void call_signal(void *arg, struct rpc_call *call, struct view request);
/** TaskStats stream. */
void call_stats(void *arg, struct rpc_call *call, struct view request);
