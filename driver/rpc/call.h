/* call.h - inside this room only: one call at the server, from the offer to its last tag.
 *
 * offered (the library may fill it) -> open (in the server's list, with its handler or held) ->
 * over (answered, or gone) -> freed when every tag has come back. server.h is what users see. */
#pragma once
#include "driver/rpc/core.h"
#include "driver/rpc/server.h"

struct rpc_call {
    unsigned magic;
    struct rpc *rpc;
    const struct rpc_method *method; /* NULL: not one of ours */
    grpc_call *core;                 /* NULL until the library filled the offer */
    grpc_byte_buffer *payload;
    grpc_byte_buffer *input; /* of RPC_TALK: the message that was asked for ... */
    rpc_input_fn *on_input;  /* ... and who gets it; NULL: none was asked for */
    grpc_metadata_array metadata;
    grpc_call_details details; /* of an unknown method */
    gpr_timespec deadline;
    struct rpc_tag offered, headed, sent, received, ended, closed;
    unsigned in_flight; /* of the tags behind `offered` */
    int is_cancelled;   /* written by the library */
    bool is_held, is_over, is_watched, is_sending, has_head;
    struct rpc_hold hold;
    void (*on_over)(struct rpc_call *call); /* is_over was set */
    void (*on_gone)(struct rpc_call *call); /* about to be freed */
    void *owner;
    struct rpc_call *next, **link; /* the server's list of open calls */
};

/** True when the peer's one request comes with the offer. */
bool rpc_method_has_request(const struct rpc_method *method);

/** A call that the library may fill; give `&call->offered` armed to it. */
struct rpc_call *rpc_call_new(struct rpc *rpc, const struct rpc_method *method, void *owner);
/** Frees an offer that was never filled. */
void rpc_call_free(struct rpc_call *call);
/** Answers a call that reached no handler, or whose owner must not know. */
void rpc_call_refuse(struct rpc_call *call, enum rpc_code code, const char *text);
/** Ends a held call because the server stops: UNAVAILABLE to the peer, on_end to the owner. */
void rpc_call_drop(struct rpc_call *call);
