/* base_calls.h - handlers of what every plugin answers: who it is, its configuration, its end. */
#pragma once
#include "driver/rpc/server.h"

/* Each is an rpc_handler_fn with a struct plugin as its argument. */

/** PluginInfo. */
void call_plugin_info(void *arg, struct rpc_call *call, struct view request);
/** ConfigSchema: the table of plugin keys. */
void call_config_schema(void *arg, struct rpc_call *call, struct view request);
/** SetConfig: validates; the final one also makes the table of tasks and waits until its
 *  directories are there or cannot be had (which is a matter of health, not an error). A later
 *  final one changes what later starts go by, or is refused for a key that is fixed. */
void call_set_config(void *arg, struct rpc_call *call, struct view request);
/** GRPCController.Shutdown: answers, then asks the owner to end the process. */
void call_end_process(void *arg, struct rpc_call *call, struct view request);
/** Health.Check. */
void call_health(void *arg, struct rpc_call *call, struct view request);
/** GRPCStdio.StreamStdio and GRPCBroker.StartStream: open and silent until the peer cancels. */
void call_silent(void *arg, struct rpc_call *call, struct view request);
