#include "driver/rpc/client.h"

#include "common/base/fd.h"
#include "common/base/own.h"
#include "driver/rpc/core.h"
#include "driver/rpc/socket.h"

#include <assert.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <stdlib.h>
#include <string.h>

#define CLIENT_MAGIC 0x636c6e74U /* "clnt" */

struct rpc_client {
    unsigned magic;
    struct rpc *rpc;
    grpc_channel *channel;
    struct rpc_request *open;
};

struct rpc_request {
    struct rpc *rpc;
    struct rpc_client *client;
    grpc_call *core;
    bool is_stream, is_forgotten;
    struct rpc_events events;
    struct rpc_tag started, received, ended;
    unsigned in_flight;
    grpc_byte_buffer *message;
    grpc_metadata_array head, trailer;
    grpc_status_code code;
    grpc_slice text;
    bool has_message, is_read_out, has_status;
    struct rpc_request *next, **link;
};

bool rpc_client_open(struct rpc *rpc, const char *path, struct rpc_client **out, struct err *err)
{
    CLEANUP(fd_closep) struct fd socket = FD_NONE;
    if (!socket_connect(path, &socket, err))
        return false;
    char limit[] = GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH;
    grpc_arg args[] = {
        { .type = GRPC_ARG_INTEGER, .key = limit, .value.integer = RPC_MESSAGE_BYTES_MAX },
    };
    grpc_channel_args all = { COUNT(args), args };
    struct rpc_client *client = mem_new(struct rpc_client);
    client->magic = CLIENT_MAGIC;
    client->rpc = rpc;
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    client->channel = grpc_channel_create_from_fd("unused", fd_take(&socket).raw, plain, &all);
    grpc_channel_credentials_release(plain);
    *out = client;
    return true;
}

static void unlink_request(struct rpc_request *request)
{
    *request->link = request->next;
    if (request->next != NULL)
        request->next->link = request->link;
}

void rpc_client_free(struct rpc_client *client)
{
    if (client == NULL)
        return;
    assert(client->magic == CLIENT_MAGIC);
    while (client->open != NULL)
        rpc_request_cancel(client->open);
    grpc_channel_destroy(client->channel);
    client->magic = 0;
    free(client);
}

void rpc_request_cancel(struct rpc_request *request)
{
    assert(!request->is_forgotten);
    request->is_forgotten = true;
    unlink_request(request);
    grpc_call_error refused = grpc_call_cancel(request->core, NULL);
    assert(refused == GRPC_CALL_OK);
}

static void request_free(struct rpc_request *request)
{
    grpc_call_unref(request->core);
    if (request->message != NULL)
        grpc_byte_buffer_destroy(request->message);
    grpc_metadata_array_destroy(&request->head);
    grpc_metadata_array_destroy(&request->trailer);
    grpc_slice_unref(request->text);
    free(request);
}

static struct view details_of(const struct rpc_request *request)
{
    for (size_t i = 0; i < request->trailer.count; i++) {
        const grpc_metadata *entry = &request->trailer.metadata[i];
        if (grpc_slice_str_cmp(entry->key, "grpc-status-details-bin") == 0)
            return rpc_core_view(&entry->value);
    }
    return (struct view){ 0 };
}

static void tell_end(struct rpc_request *request)
{
    CLEANUP(str_freep)
    char *text = str_copy_n((const char *)GRPC_SLICE_START_PTR(request->text),
                            GRPC_SLICE_LENGTH(request->text));
    struct rpc_status status = { (enum rpc_code)request->code, text, details_of(request) };
    if (status.code == RPC_OK && !request->is_stream && !request->has_message)
        status = (struct rpc_status){ RPC_INTERNAL, "the reply has no message", { 0 } };
    request->is_forgotten = true;
    unlink_request(request);
    request->events.on_end(request->events.arg, &status);
}

/* The end is told when the status is there and no message is left behind it. */
static void settle(struct rpc_request *request)
{
    if (!request->is_forgotten && request->has_status && request->is_read_out)
        tell_end(request);
    if (request->is_forgotten && request->in_flight == 0)
        request_free(request);
}

static void start(struct rpc_request *request, const grpc_op *ops, size_t count,
                  struct rpc_tag *tag, void (*on_back)(struct rpc_tag *tag, bool ok))
{
    request->in_flight++;
    rpc_tag_batch(request->rpc, request->core, ops, count, tag, on_back);
}

static void started_back(struct rpc_tag *tag, bool ok)
{
    (void)ok; /* the status says what went wrong */
    struct rpc_request *request = CONTAINER(tag, struct rpc_request, started);
    request->in_flight--;
    settle(request);
}

static void ended_back(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    struct rpc_request *request = CONTAINER(tag, struct rpc_request, ended);
    request->in_flight--;
    request->has_status = true;
    settle(request);
}

static void receive(struct rpc_request *request);

static void received_back(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    struct rpc_request *request = CONTAINER(tag, struct rpc_request, received);
    request->in_flight--;
    grpc_byte_buffer *message = STEAL(request->message);
    request->is_read_out = message == NULL || !request->is_stream;
    if (message != NULL) {
        grpc_slice bytes = rpc_core_unpack(message);
        request->has_message = true;
        if (!request->is_forgotten && request->events.on_message != NULL)
            request->events.on_message(request->events.arg, rpc_core_view(&bytes));
        grpc_slice_unref(bytes);
        grpc_byte_buffer_destroy(message);
    }
    if (!request->is_forgotten && !request->is_read_out)
        receive(request);
    settle(request);
}

static void receive(struct rpc_request *request)
{
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };
    op.data.recv_message.recv_message = &request->message;
    start(request, &op, 1, &request->received, received_back);
}

static void send_request(struct rpc_request *request, struct view message)
{
    grpc_byte_buffer *packed = rpc_core_pack(message);
    grpc_op ops[] = { { .op = GRPC_OP_SEND_INITIAL_METADATA },
                      { .op = GRPC_OP_SEND_MESSAGE },
                      { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT },
                      { .op = GRPC_OP_RECV_INITIAL_METADATA } };
    ops[1].data.send_message.send_message = packed;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &request->head;
    start(request, ops, COUNT(ops), &request->started, started_back);
    grpc_byte_buffer_destroy(packed);
}

static struct rpc_request *begin(struct rpc_client *client, const char *path, struct view message,
                                 gpr_timespec deadline, const struct rpc_events *events)
{
    assert(client->magic == CLIENT_MAGIC && events->on_end != NULL);
    struct rpc_request *request = mem_new(struct rpc_request);
    request->rpc = client->rpc;
    request->client = client;
    request->events = *events;
    request->text = grpc_empty_slice();
    grpc_metadata_array_init(&request->head);
    grpc_metadata_array_init(&request->trailer);
    grpc_slice method = grpc_slice_from_copied_string(path);
    request->core = grpc_channel_create_call(client->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                             rpc_core_queue(client->rpc), method, NULL, deadline,
                                             NULL);
    grpc_slice_unref(method);
    request->next = client->open;
    request->link = &client->open;
    if (request->next != NULL)
        request->next->link = &request->next;
    client->open = request;
    send_request(request, message);
    grpc_op status = { .op = GRPC_OP_RECV_STATUS_ON_CLIENT };
    status.data.recv_status_on_client.trailing_metadata = &request->trailer;
    status.data.recv_status_on_client.status = &request->code;
    status.data.recv_status_on_client.status_details = &request->text;
    start(request, &status, 1, &request->ended, ended_back);
    return request;
}

struct rpc_request *rpc_client_call(struct rpc_client *client, const char *path,
                                    struct view message, int64_t timeout_ms,
                                    const struct rpc_events *events)
{
    gpr_timespec deadline = timeout_ms == 0
                                ? gpr_inf_future(GPR_CLOCK_MONOTONIC)
                                : gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                               gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
    struct rpc_request *request = begin(client, path, message, deadline, events);
    receive(request);
    return request;
}

struct rpc_request *rpc_client_stream(struct rpc_client *client, const char *path,
                                      struct view message, const struct rpc_events *events)
{
    struct rpc_request *request = begin(client, path, message, gpr_inf_future(GPR_CLOCK_MONOTONIC),
                                        events);
    request->is_stream = true;
    receive(request);
    return request;
}
