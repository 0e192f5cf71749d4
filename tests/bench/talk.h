/* talk.h - a plugin process and a client of it, for the benches: start it, configure it, call it.
 *
 * Whatever fails ends the bench with a sentence on standard error: a figure of half a run is none.
 * One thread, the loop's. */
#pragma once
#include "common/base/buf.h"
#include "common/proc/spawn.h"
#include "driver/proto/base.pb-c.h"
#include "driver/proto/driver.pb-c.h"
#include "driver/rpc/client.h"

#include <stdbool.h>
#include <stdint.h>

#define TALK_BASE   "/hashicorp.nomad.plugins.base.proto.BasePlugin/"
#define TALK_DRIVER "/hashicorp.nomad.plugins.drivers.proto.Driver/"

struct talk {
    struct loop *loop;
    struct rpc *rpc;
    struct rpc_client *client;
    struct proc proc; /* the plugin */
    enum rpc_code code;
    bool has_ended;
};

struct talk_node {    /* the plugin's config; NULL leaves a key out */
    const char *work; /* state/ and run/ are made in it */
    const char *shim, *sidecar, *cgroup_parent;
    const char *log_collection;
};

struct talk_task {
    const char *id, *alloc, *alloc_dir;
    const char *const *argv;
    const char *stdout_path, *stderr_path;
    const char *store; /* with state in local/state, kept there; NULL without */
    bool is_bare;      /* without the protections that a job can give up */
};

/** Prints and exits. */
_Noreturn void talk_fatal(const char *what, const char *why);
/** Starts `argv` with its stdout in a pipe and reads one line, or to the end; how long that took.
 *  The child dies with us. */
int64_t talk_spawn_us(const char *const *argv, struct proc *out, char *line, size_t line_bytes);
/** SIGTERM, then reaps. */
void talk_end(struct proc *proc);

/** Starts `plugin` and connects to the socket it names. */
void talk_open(struct talk *talk, const char *plugin);
/** Closes the connection, ends the plugin and frees the loop. */
void talk_close(struct talk *talk);

/** One call to its end, which must be OK; how long it took. `message` NULL is an empty one. */
int64_t talk_ask_us(struct talk *talk, const char *path, const void *message);
/** The same with a message that is packed already. */
int64_t talk_send_us(struct talk *talk, const char *path, struct view message);
/** Appends a packed message. */
void talk_pack(struct buf *out, const void *message);
/** The final SetConfig. */
void talk_configure(struct talk *talk, const struct talk_node *node);
/** Appends a StartTaskRequest, with resources as Nomad gives them to every task. */
void talk_put_start(struct buf *out, const struct talk_task *task);
/** A text as a bytes field; lent. */
ProtobufCBinaryData talk_data(const char *text);
