/* host_test.h - for this room's tests only: a plugin and the agent's side of it, in one process. */
#pragma once
#include <criterion/criterion.h>

#include "driver/nomad/driver_state.h"
#include "driver/plugin/fake_tasks_test.h"
#include "driver/plugin/plugin.h"
#include "driver/proto/base.pb-c.h"
#include "driver/proto/driver.pb-c.h"
#include "driver/proto/task.pb-c.h"
#include "driver/rpc/world_test.h"

#define BASE   "/hashicorp.nomad.plugins.base.proto.BasePlugin/"
#define DRIVER "/hashicorp.nomad.plugins.drivers.proto.Driver/"

struct host { /* the agent's side */
    struct world w;
    struct plugin *plugin;
    int asked_to_end, stopped;
};

static inline void host_asked(void *arg) { ((struct host *)arg)->asked_to_end++; }
static inline void host_stopped(void *arg)
{
    ((struct host *)arg)->stopped++;
    loop_quit(((struct host *)arg)->w.loop);
}

/** A plugin that serves, and a client of it. */
static inline void host_init(struct host *host)
{
    struct err err;
    struct fd listener;
    memset(host, 0, sizeof(*host));
    world_init(&host->w);
    cr_assert(socket_listen(host->w.path, &listener, &err), "%s", err.msg);
    host->plugin = plugin_new(
        &(struct plugin_spec){ host->w.loop, host->w.rpc, listener, host_asked, host });
    cr_assert(rpc_client_open(host->w.rpc, host->w.path, &host->w.client, &err), "%s", err.msg);
}

/** Stops the plugin and proves that nothing is left. */
static inline void host_fini(struct host *host)
{
    rpc_client_free(STEAL(host->w.client));
    plugin_stop(host->plugin, host_stopped, host);
    while (host->stopped == 0)
        loop_run(host->w.loop);
    plugin_free(host->plugin);
    world_fini(&host->w);
}

/** One unary call with a packed message. */
static inline void host_ask(struct host *host, const char *path, const void *message,
                            struct seen *seen)
{
    uint8_t bytes[4096];
    size_t len = 0;
    if (message != NULL) {
        cr_assert_leq(protobuf_c_message_get_packed_size(message), sizeof(bytes));
        len = protobuf_c_message_pack(message, bytes);
    }
    world_ask(&host->w, path, view_of(bytes, len), seen);
}

/** As host_ask, for the code alone. */
static inline enum rpc_code host_code(struct host *host, const char *path, const void *message)
{
    struct seen seen;
    host_ask(host, path, message, &seen);
    seen_fini(&seen);
    return seen.code;
}

/** Runs the loop until `*value` is at least `at_least`. */
static inline void host_run_until(struct host *host, const int *value, int at_least)
{
    while (*value < at_least) {
        loop_post(host->w.loop, world_quit, &host->w);
        loop_run(host->w.loop);
    }
}

static inline ProtobufCBinaryData bytes_of(const char *text)
{
    union {
        const char *from;
        uint8_t *to;
    } cast = { .from = text };
    return (ProtobufCBinaryData){ strlen(text), cast.to };
}

/** The final SetConfig with an empty configuration. */
static inline void host_configure(struct host *host)
{
    Nd__SetConfigRequest request = ND__SET_CONFIG_REQUEST__INIT;
    Nd__NomadConfig nomad = ND__NOMAD_CONFIG__INIT;
    request.nomad_config = &nomad;
    request.plugin_api_version = bytes_of("v0.1.0");
    cr_assert_eq(host_code(host, BASE "SetConfig", &request), RPC_OK);
}

/** StartTask of `id` with `command`. */
static inline enum rpc_code host_start(struct host *host, const char *id, const char *command,
                                       struct seen *seen)
{
    uint8_t msgpack[256] = { 0x81, 0xa7, 'c', 'o', 'm', 'm', 'a', 'n', 'd', 0xd9 };
    msgpack[10] = (uint8_t)strlen(command);
    memcpy(msgpack + 11, command, strlen(command));
    Nd__TaskConfig config = ND__TASK_CONFIG__INIT;
    config.id = bytes_of(id);
    config.name = bytes_of("task");
    config.alloc_id = bytes_of("alloc");
    config.alloc_dir = bytes_of("/alloc");
    config.stdout_path = bytes_of("/dev/null");
    config.stderr_path = bytes_of("/dev/null");
    config.msgpack_driver_config = (ProtobufCBinaryData){ 11 + strlen(command), msgpack };
    uint8_t packed[1024];
    Nd__StartTaskRequest request = ND__START_TASK_REQUEST__INIT;
    request.task = (ProtobufCBinaryData){ nd__task_config__pack(&config, packed), packed };
    host_ask(host, DRIVER "StartTask", &request, seen);
    return seen->code;
}
