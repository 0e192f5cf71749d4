/* inside.h - inside this room only: what its services share. */
#pragma once
#include <stdbool.h>

#include "driver/nomad/plugin_config.h"
#include "driver/plugin/plugin.h"
#include "driver/rpc/server.h"

struct events;
struct fingerprint;
struct loop_timer;
struct tasks;

enum open_state { OPEN_NOT, OPEN_RUNNING, OPEN_CHECKING, OPEN_DONE };

struct plugin {
    struct plugin_spec spec;
    struct rpc_server *server;
    struct events *events;
    struct fingerprint *fingerprint;
    struct tasks *tasks;         /* NULL until the final SetConfig */
    struct plugin_config config; /* of the last good one */
    bool is_reconfigured;        /* since the check that runs began */
    int64_t core_mhz;            /* by the agent's count; 0: not told */
    enum open_state open;        /* of the tasks' directories */
    uint64_t open_failures;      /* in a row, of opening and of checks */
    struct answer *configuring;  /* SetConfig, waiting for the directories */
    struct loop_timer *tick;
    uint64_t handled; /* task calls since memory was given back */
    bool is_asked_to_end;
    size_t stopping; /* parts that have not stopped */
    void (*on_stopped)(void *arg);
    void *stop_arg;
};

/** Makes the tasks' directories usable and checks what starts need, unless that is done with this
 *  configuration or under way. */
void plugin_open(struct plugin *plugin);
/** True when tasks can be spoken to; otherwise ends `call` with FAILED_PRECONDITION. */
bool plugin_is_configured(struct plugin *plugin, struct rpc_call *call);
