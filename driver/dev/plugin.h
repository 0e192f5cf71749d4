/* plugin.h - one plugin process as Nomad's agent sees it: start, handshake, calls, shutdown.
 *
 * The process is started with the cookie and the protocol version, says where it listens in one
 * line on stdout, and is then called by gRPC. Its stderr goes to a file. It dies with us. Callbacks
 * run on the loop, never inside the call that asked for them. Protocol: DESIGN.md, section 2. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"

struct loop;
struct rpc;
struct plugin;

#define PLUGIN_HANDSHAKE_MS 60000 /* Nomad's own limit */
#define PLUGIN_EXIT_MS      2000  /* from Shutdown to SIGKILL, as in Nomad */

struct plugin_spec { /* all borrowed; text is copied */
    struct loop *loop;
    struct rpc *rpc;
    const char *path;     /* of the program, absolute */
    const char *log_path; /* its stderr, appended */
    const char *tmp_dir;  /* its TMPDIR, where it makes its socket: short */
    int cgroup_fd;        /* it is born there; -1: our own */
    /** The handshake is done (err NULL), or failed; then the process is being killed. Once. */
    void (*on_ready)(void *arg, const struct err *err);
    /** The process is gone. Once, always last. */
    void (*on_gone)(void *arg, const char *how);
    void *arg;
};

/** Starts it. Errors: NOT_FOUND, DENIED the program; SYSTEM. */
MUST_USE bool plugin_start(const struct plugin_spec *spec, struct plugin **out, struct err *err);

/** A unary call: the reply (lent) or the error, once. The kind is the driver's, NOT_FOUND also for
 *  "unimplemented", UNAVAILABLE when the plugin went meanwhile or a start may be tried again,
 * SYSTEM for a code that is no kind. Once it is gone (and before the handshake) calls and streams
 * are dropped without a reply: on_gone has said it. */
typedef void plugin_reply_fn(void *arg, struct view reply, const struct err *err);
void plugin_call(struct plugin *plugin, const char *method, struct view request, int64_t timeout_ms,
                 plugin_reply_fn *on_reply, void *arg);

/** A stream: each message is lent; `why` it ended comes once. */
typedef void plugin_message_fn(void *arg, struct view message);
typedef void plugin_end_fn(void *arg, const char *why);
void plugin_stream(struct plugin *plugin, const char *method, struct view request,
                   plugin_message_fn *on_message, plugin_end_fn *on_end, void *arg);

/** Asks it to exit as Nomad does, and kills it after PLUGIN_EXIT_MS; tasks keep running. */
void plugin_shutdown(struct plugin *plugin);
/** Kills it now. */
void plugin_kill(struct plugin *plugin);
/** After on_gone only (asserted). Open calls are forgotten. NULL is fine. */
void plugin_free(struct plugin *plugin);
