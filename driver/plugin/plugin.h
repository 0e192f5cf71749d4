/* plugin.h - the Nomad task driver plugin: its gRPC services over the table of tasks.
 *
 * It translates and waits; driver/task acts. Nothing outside the process is touched before the
 * agent's final SetConfig: the agent starts us twice only to ask. See DESIGN.md. */
#pragma once
#include "common/base/fd.h"

struct buf;
struct loop;
struct rpc;
struct plugin;

#define PLUGIN_NAME "agent" /* what a job's `driver` says */

struct plugin_spec {
    struct loop *loop;
    struct rpc *rpc;
    struct fd listener; /* ours now */
    /** The agent asks the process to end; its call is answered. Called once, or never. */
    void (*on_shutdown)(void *arg);
    void *arg;
};

/** Serves from the next turn of the loop on. */
struct plugin *plugin_new(const struct plugin_spec *spec);
/** Ends every call and connection and lets go of the tasks, which keep running; then on_done. */
void plugin_stop(struct plugin *plugin, void (*on_done)(void *arg), void *arg);
/** After plugin_stop has completed. NULL is fine. */
void plugin_free(struct plugin *plugin);
/** Appends the reference of all keys and attributes: docs/driver-config.md, and what -schema
 * prints.
 */
void plugin_put_page(struct buf *out);
