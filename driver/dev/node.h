/* node.h - one simulated node: a plugin process, one allocation of the job, its life.
 *
 * Does what a Nomad client does, in its order: handshake, schema, configuration, fingerprint,
 * start, wait, restart, stop, destroy. All processes of the node live in one cgroup, so that the
 * node can be killed at one instant. Loop thread; callbacks never run inside the call that caused
 * them. */
#pragma once
#include <stdbool.h>

#include "common/base/err.h"

struct dev_options;
struct dirs;
struct job;
struct loop;
struct node;
struct rpc;
struct timeline;

struct node_spec { /* all borrowed for the node's life */
    struct loop *loop;
    struct rpc *rpc;
    const struct job *job;
    const struct dev_options *options;
    struct timeline *timeline;
    const struct dirs *dirs;
    const char *plugin_path;
    const char *cgroup; /* directory of the tree of all nodes; "" none */
    unsigned number;    /* from 1 */
    /** StartTask was answered, or will never be. Once. */
    void (*on_settled)(void *arg, struct node *node);
    /** The allocation has ended: exit code by node_exit_code, or the node failed. Once. */
    void (*on_over)(void *arg, struct node *node);
    /** No process of the node's plugin is left; node_free is legal from now on. Once, last. */
    void (*on_gone)(void *arg, struct node *node);
    void *arg;
};

/** Makes directories and cgroup and starts the plugin. Errors: those of the parts; nothing is left
 *  running then. */
MUST_USE bool node_start(const struct node_spec *spec, struct node **out, struct err *err);
/** After on_gone (asserted). NULL is fine. */
void node_free(struct node *node);

/** From 1. */
unsigned node_number(const struct node *node);
/** on_over has come. */
bool node_is_over(const struct node *node);
/** on_gone has come. */
bool node_is_gone(const struct node *node);
/** Its agent ran (not in standby) at the last node_look. */
bool node_is_active(const struct node *node);
/** Of the last run of the task; -1 when none has ended. */
int node_exit_code(const struct node *node);
/** True when the task ended by itself, not because of node_stop or node_kill. */
bool node_ended_alone(const struct node *node);

/** Asks the driver whether the agent runs; on_looked comes once, also when nobody answers. */
void node_look(struct node *node, void (*on_looked)(void *arg, struct node *node), void *arg);

/** Stops the task as Nomad does; on_over follows. No restart after this. */
void node_stop(struct node *node);
/** Kills every process of the node at one instant (the plugin only, without a cgroup); on_over and
 *  on_gone follow. */
void node_kill(struct node *node);
/** Cuts the node off the shared store. Errors: SYSTEM. */
MUST_USE bool node_cut(struct node *node, struct err *err);
/** Ends the plugin as Nomad does; on_gone follows. */
void node_shutdown(struct node *node);
