/* chat_test.h - for tests only: the asking side of a call with messages both ways.
 *
 * Over the library itself, because nothing of ours asks that way. Runs on the loop of a struct rpc;
 * reads one message at a time, and none while `is_deaf`. */
#pragma once
#include <assert.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/own.h"
#include "driver/rpc/core.h"
#include "driver/rpc/socket.h"

struct chat {
    struct rpc *rpc;
    grpc_channel *channel;
    grpc_call *call;
    struct rpc_tag opened, sent, received, ended;
    grpc_metadata_array head, trailer;
    grpc_byte_buffer *message;
    grpc_status_code code;
    grpc_slice text;
    unsigned in_flight;
    bool is_sending, is_receiving, is_deaf, is_read_out, has_ended;
    void (*on_message)(void *arg, struct view message); /* NULL: only counted */
    void *arg;
    size_t messages;
};

static inline void chat_receive(struct chat *chat);

static inline void chat_opened(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    CONTAINER(tag, struct chat, opened)->in_flight--;
}

static inline void chat_sent(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    struct chat *chat = CONTAINER(tag, struct chat, sent);
    chat->in_flight--;
    chat->is_sending = false;
}

static inline void chat_ended(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    struct chat *chat = CONTAINER(tag, struct chat, ended);
    chat->in_flight--;
    chat->has_ended = true;
}

static inline void chat_received(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    struct chat *chat = CONTAINER(tag, struct chat, received);
    chat->in_flight--;
    chat->is_receiving = false;
    chat->is_read_out = chat->message == NULL;
    if (chat->message == NULL)
        return;
    grpc_slice bytes = rpc_core_unpack(chat->message);
    chat->messages++;
    if (chat->on_message != NULL)
        chat->on_message(chat->arg, rpc_core_view(&bytes));
    grpc_slice_unref(bytes);
    grpc_byte_buffer_destroy(STEAL(chat->message));
    if (!chat->is_deaf)
        chat_receive(chat);
}

static inline void chat_receive(struct chat *chat)
{
    if (chat->is_receiving || chat->is_read_out)
        return;
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };
    op.data.recv_message.recv_message = &chat->message;
    chat->is_receiving = true;
    chat->in_flight++;
    rpc_tag_batch(chat->rpc, chat->call, &op, 1, &chat->received, chat_received);
}

/** Connects to `socket` and opens `method`. Reads at once unless `is_deaf` was set. */
static inline void chat_open(struct chat *chat, struct rpc *rpc, const char *socket,
                             const char *method)
{
    struct err err = { 0 };
    struct fd fd = FD_NONE;
    bool is_open = socket_connect(socket, &fd, &err);
    assert(is_open);
    chat->rpc = rpc;
    grpc_channel_credentials *plain = grpc_insecure_credentials_create();
    chat->channel = grpc_channel_create_from_fd("unused", fd_take(&fd).raw, plain, NULL);
    grpc_channel_credentials_release(plain);
    grpc_slice path = grpc_slice_from_copied_string(method);
    chat->call = grpc_channel_create_call(chat->channel, NULL, GRPC_PROPAGATE_DEFAULTS,
                                          rpc_core_queue(rpc), path, NULL,
                                          gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    grpc_slice_unref(path);
    grpc_metadata_array_init(&chat->head);
    grpc_metadata_array_init(&chat->trailer);
    chat->text = grpc_empty_slice();
    grpc_op ops[] = { { .op = GRPC_OP_SEND_INITIAL_METADATA },
                      { .op = GRPC_OP_RECV_INITIAL_METADATA } };
    ops[1].data.recv_initial_metadata.recv_initial_metadata = &chat->head;
    chat->in_flight++;
    rpc_tag_batch(rpc, chat->call, ops, COUNT(ops), &chat->opened, chat_opened);
    grpc_op status = { .op = GRPC_OP_RECV_STATUS_ON_CLIENT };
    status.data.recv_status_on_client.trailing_metadata = &chat->trailer;
    status.data.recv_status_on_client.status = &chat->code;
    status.data.recv_status_on_client.status_details = &chat->text;
    chat->in_flight++;
    rpc_tag_batch(rpc, chat->call, &status, 1, &chat->ended, chat_ended);
    if (!chat->is_deaf)
        chat_receive(chat);
}

/** Sends one message; none may be on its way. */
static inline void chat_send(struct chat *chat, struct view message)
{
    assert(!chat->is_sending);
    grpc_byte_buffer *packed = rpc_core_pack(message);
    grpc_op op = { .op = GRPC_OP_SEND_MESSAGE };
    op.data.send_message.send_message = packed;
    chat->is_sending = true;
    chat->in_flight++;
    rpc_tag_batch(chat->rpc, chat->call, &op, 1, &chat->sent, chat_sent);
    grpc_byte_buffer_destroy(packed);
}

/** Says that no more follows; none may be on its way. */
static inline void chat_half_close(struct chat *chat)
{
    assert(!chat->is_sending);
    grpc_op op = { .op = GRPC_OP_SEND_CLOSE_FROM_CLIENT };
    chat->is_sending = true;
    chat->in_flight++;
    rpc_tag_batch(chat->rpc, chat->call, &op, 1, &chat->sent, chat_sent);
}

/** Gives the call up. */
static inline void chat_cancel(struct chat *chat) { (void)grpc_call_cancel(chat->call, NULL); }

/** True when all that was started has come back. */
static inline bool chat_is_idle(const struct chat *chat) { return chat->in_flight == 0; }

/** The call is over and idle (asserted). */
static inline void chat_fini(struct chat *chat)
{
    assert(chat_is_idle(chat));
    grpc_call_unref(chat->call);
    grpc_channel_destroy(chat->channel);
    grpc_metadata_array_destroy(&chat->head);
    grpc_metadata_array_destroy(&chat->trailer);
    grpc_slice_unref(chat->text);
}
