#include "driver/rpc/call.h"

#include "common/base/own.h"
#include "common/base/text.h"

#include <assert.h>
#include <stdlib.h>

#define CALL_MAGIC  0x63616c6cU /* "call" */
#define DETAILS_KEY "grpc-status-details-bin"

bool rpc_method_has_request(const struct rpc_method *method)
{
    return method->kind == RPC_UNARY || method->kind == RPC_STREAM;
}

struct rpc_call *rpc_call_new(struct rpc *rpc, const struct rpc_method *method, void *owner)
{
    struct rpc_call *call = mem_new(struct rpc_call);
    call->magic = CALL_MAGIC;
    call->rpc = rpc;
    call->method = method;
    call->owner = owner;
    grpc_metadata_array_init(&call->metadata);
    grpc_call_details_init(&call->details);
    return call;
}

void rpc_call_free(struct rpc_call *call)
{
    assert(call->magic == CALL_MAGIC && call->in_flight == 0);
    if (call->core != NULL)
        grpc_call_unref(call->core);
    if (call->payload != NULL)
        grpc_byte_buffer_destroy(call->payload);
    if (call->input != NULL)
        grpc_byte_buffer_destroy(call->input);
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    call->magic = 0;
    free(call);
}

static void release_if_done(struct rpc_call *call)
{
    if (!call->is_over || call->in_flight > 0)
        return;
    call->on_gone(call);
    rpc_call_free(call);
}

static void start(struct rpc_call *call, const grpc_op *ops, size_t count, struct rpc_tag *tag,
                  void (*on_back)(struct rpc_tag *tag, bool ok))
{
    call->in_flight++;
    rpc_tag_batch(call->rpc, call->core, ops, count, tag, on_back);
}

static void set_over(struct rpc_call *call)
{
    call->is_over = true;
    call->on_over(call);
}

static void ended_back(struct rpc_tag *tag, bool ok)
{
    (void)ok; /* a reply that did not arrive: the peer is gone, nobody else is to be told */
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, ended);
    call->in_flight--;
    release_if_done(call);
}

static void headed_back(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, headed);
    call->in_flight--;
    release_if_done(call);
}

static void sent_back(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, sent);
    call->in_flight--;
    call->is_sending = false;
    if (ok && call->is_held && !call->is_over && call->hold.on_ready != NULL)
        call->hold.on_ready(call->hold.arg); /* may send or end, which keeps the call alive */
    release_if_done(call);
}

static void received_back(struct rpc_tag *tag, bool ok)
{
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, received);
    grpc_byte_buffer *input = STEAL(call->input);
    call->in_flight--;
    rpc_input_fn *on_input = STEAL(call->on_input);
    if (!call->is_over) {
        grpc_slice bytes = rpc_core_unpack(input);
        struct view message = rpc_core_view(&bytes);
        on_input(call->hold.arg, ok && input != NULL ? &message : NULL);
        grpc_slice_unref(bytes);
    }
    if (input != NULL)
        grpc_byte_buffer_destroy(input);
    release_if_done(call);
}

static void closed_back(struct rpc_tag *tag, bool ok)
{
    (void)ok;
    struct rpc_call *call = CONTAINER(tag, struct rpc_call, closed);
    call->in_flight--;
    if (!call->is_over) { /* not answered: the peer cancelled or its connection broke */
        set_over(call);
        call->hold.on_end(call->hold.arg);
    }
    release_if_done(call);
}

static grpc_op watch_op(struct rpc_call *call)
{
    call->is_watched = true;
    grpc_op op = { .op = GRPC_OP_RECV_CLOSE_ON_SERVER };
    op.data.recv_close_on_server.cancelled = &call->is_cancelled;
    return op;
}

static grpc_op head_op(struct rpc_call *call)
{
    call->has_head = true;
    return (grpc_op){ .op = GRPC_OP_SEND_INITIAL_METADATA };
}

static grpc_op message_op(grpc_byte_buffer *packed)
{
    grpc_op op = { .op = GRPC_OP_SEND_MESSAGE };
    op.data.send_message.send_message = packed;
    return op;
}

/* The last batch of a call: what it still lacks of {head, message, status, watch}. */
static void finish(struct rpc_call *call, grpc_byte_buffer *packed, const struct rpc_status *status)
{
    assert(call->magic == CALL_MAGIC && !call->is_over);
    size_t text_len = strnlen(status->text, RPC_STATUS_TEXT_MAX);
    CLEANUP(buf_fini) struct buf clean = { 0 };
    utf8_put_clean(&clean, view_of(status->text, text_len));
    grpc_slice text = grpc_slice_from_copied_buffer((const char *)clean.data, clean.len);
    grpc_metadata details = { .key = grpc_slice_from_static_string(DETAILS_KEY),
                              .value = grpc_slice_from_copied_buffer(
                                  (const char *)status->details.data, status->details.len) };
    grpc_op ops[4];
    size_t count = 0;
    if (!call->has_head)
        ops[count++] = head_op(call);
    if (packed != NULL)
        ops[count++] = message_op(packed);
    ops[count] = (grpc_op){ .op = GRPC_OP_SEND_STATUS_FROM_SERVER };
    ops[count].data.send_status_from_server.status = (grpc_status_code)status->code;
    ops[count].data.send_status_from_server.status_details = &text;
    ops[count].data.send_status_from_server.trailing_metadata = &details;
    ops[count].data.send_status_from_server.trailing_metadata_count = status->details.len > 0;
    count++;
    if (!call->is_watched)
        ops[count++] = watch_op(call);
    start(call, ops, count, &call->ended, ended_back);
    grpc_slice_unref(text);
    grpc_slice_unref(details.value);
    set_over(call);
}

void rpc_call_reply(struct rpc_call *call, struct view message)
{
    assert(call->method != NULL && call->method->kind == RPC_UNARY);
    grpc_byte_buffer *packed = rpc_core_pack(message);
    finish(call, packed, &(struct rpc_status){ RPC_OK, "", { 0 } });
    grpc_byte_buffer_destroy(packed);
}

void rpc_call_end(struct rpc_call *call, const struct rpc_status *status)
{
    finish(call, NULL, status);
}

void rpc_call_refuse(struct rpc_call *call, enum rpc_code code, const char *text)
{
    finish(call, NULL, &(struct rpc_status){ code, text, { 0 } });
}

void rpc_call_hold(struct rpc_call *call, const struct rpc_hold *hold)
{
    assert(call->magic == CALL_MAGIC && !call->is_held && !call->is_over);
    assert(hold->on_end != NULL);
    call->is_held = true;
    call->hold = *hold;
    grpc_op watch = watch_op(call);
    start(call, &watch, 1, &call->closed, closed_back);
    if (call->method->kind == RPC_UNARY || call->has_head)
        return;
    grpc_op head = head_op(call); /* a peer that waits for it knows that the stream is open */
    start(call, &head, 1, &call->headed, headed_back);
}

bool rpc_call_is_ready(const struct rpc_call *call) { return !call->is_over && !call->is_sending; }

void rpc_call_send(struct rpc_call *call, struct view message)
{
    assert(call->magic == CALL_MAGIC && rpc_call_is_ready(call));
    assert(call->method->kind != RPC_UNARY);
    grpc_byte_buffer *packed = rpc_core_pack(message);
    grpc_op ops[2];
    size_t count = 0;
    if (!call->has_head)
        ops[count++] = head_op(call);
    ops[count++] = message_op(packed);
    call->is_sending = true;
    start(call, ops, count, &call->sent, sent_back);
    grpc_byte_buffer_destroy(packed);
}

void rpc_call_receive(struct rpc_call *call, rpc_input_fn *on_input)
{
    assert(call->magic == CALL_MAGIC && call->is_held && !call->is_over);
    assert(call->method->kind == RPC_TALK && call->on_input == NULL);
    call->on_input = on_input;
    grpc_op op = { .op = GRPC_OP_RECV_MESSAGE };
    op.data.recv_message.recv_message = &call->input;
    start(call, &op, 1, &call->received, received_back);
}

void rpc_call_drop(struct rpc_call *call)
{
    assert(call->is_held && !call->is_over);
    struct rpc_hold hold = call->hold;
    rpc_call_refuse(call, RPC_UNAVAILABLE, "the plugin is shutting down");
    hold.on_end(hold.arg);
}
