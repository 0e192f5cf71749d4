/* exec_calls.h - ExecTask and ExecTaskStreaming: bytes to a session of driver/exec and back.
 *
 * A peer that goes takes its command with it. What a command says is read only when the last
 * message has left, so a slow peer stops the command and not the driver. */
#pragma once
#include "driver/rpc/server.h"

/* What is kept of a command's output, its end; the agent itself keeps 4 KiB of a check's. */
#define EXEC_KEPT_BYTES 65536
/* A stream that is silent this long sends an empty message: how else would the agent learn that its
 * user has gone (protocol 8.5). */
#define EXEC_BEAT_MS 10000

/* Each is an rpc_handler_fn with a struct plugin as its argument. */

/** ExecTask: runs to the end, or to its timeout: then DEADLINE_EXCEEDED. */
void call_exec(void *arg, struct rpc_call *call, struct view request);
/** ExecTaskStreaming. */
void call_exec_stream(void *arg, struct rpc_call *call, struct view request);
