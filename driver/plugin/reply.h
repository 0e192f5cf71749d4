/* reply.h - plain structs as the bytes of each reply.
 *
 * Every text is made clean UTF-8 here: the agent drops a whole reply that has one bad byte, and a
 * StartTask reply lost that way is a task nobody knows. What the agent dereferences without a
 * check (result, stats, timestamps) is always there. Pure. Wire: proto/. */
#pragma once
#include "common/base/buf.h"
#include "driver/exec/exec.h"
#include "driver/host/facts.h"
#include "driver/task/task.h"

/** PluginInfoResponse: a driver named `name`. */
void reply_put_info(struct buf *out, const char *name, const char *version);
/** ConfigSchemaResponse and TaskConfigSchemaResponse around an encoded Spec. */
void reply_put_schema(struct buf *out, struct view spec);
/** CapabilitiesResponse: signals, exec, host network, no mounts, and whether the tasks' log files
 *  are written without Nomad. */
void reply_put_capabilities(struct buf *out, bool has_own_logs);
/** HealthCheckResponse: SERVING. */
void reply_put_serving(struct buf *out);

enum reply_health { REPLY_UNDETECTED, REPLY_UNHEALTHY, REPLY_HEALTHY };
/** FingerprintResponse with the attributes of `facts`. */
void reply_put_fingerprint(struct buf *out, const struct host_facts *facts,
                           enum reply_health health, const char *description);

/** StartTaskResponse: a running task; `config` is the request's own TaskConfig. */
void reply_put_started(struct buf *out, struct view config, const struct task_handle *handle);
/** WaitTaskResponse. */
void reply_put_result(struct buf *out, const struct task_result *result);
/** InspectTaskResponse. */
void reply_put_status(struct buf *out, const struct task_status *status);
/** TaskStatsResponse: the sum, and the parts by process id; `core_mhz` turns percent into ticks. */
void reply_put_usage(struct buf *out, const char *task_id, const struct task_usage *usage,
                     struct wall at, int64_t core_mhz);
/** ExecTaskResponse: output and errors in one, and how it ended. */
void reply_put_exec(struct buf *out, struct view output, const struct exec_frame *end);
/** ExecTaskStreamingResponse: a frame that is OUTPUT, CLOSED or EXITED. */
void reply_put_exec_frame(struct buf *out, const struct exec_frame *frame);
/** DriverTaskEvent. */
void reply_put_event(struct buf *out, const struct task_event *event);
