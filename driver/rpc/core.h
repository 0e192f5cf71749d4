/* core.h - inside this room only: the library's handles, and tags that come back on the loop.
 *
 * Everything started in the library carries a tag embedded in its owner. The owner may be freed
 * only when all its tags have come back. */
#pragma once
#include <grpc/grpc.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "driver/rpc/rpc.h"

struct rpc_tag {
    void (*on_back)(struct rpc_tag *tag, bool ok);
    struct rpc *rpc;
    bool ok;
    /* An edge that ThreadSanitizer can see: the library between the two threads is opaque to it. */
    _Atomic unsigned armed;
};

/** The queue that all calls and servers of `rpc` use. */
grpc_completion_queue *rpc_core_queue(struct rpc *rpc);
/** The loop that callbacks run on. */
struct loop *rpc_core_loop(struct rpc *rpc);

/** Counts `tag` as on its way; its on_back runs once on the loop. Call just before the library
 *  gets it, and give the returned pointer to the library. */
void *rpc_tag_arm(struct rpc *rpc, struct rpc_tag *tag,
                  void (*on_back)(struct rpc_tag *tag, bool ok));

/** Starts `ops` on `call`; refusing them would be a bug of ours (asserted). */
void rpc_tag_batch(struct rpc *rpc, grpc_call *call, const grpc_op *ops, size_t count,
                   struct rpc_tag *tag, void (*on_back)(struct rpc_tag *tag, bool ok));

/** A buffer with a copy of `message`; the caller destroys it. */
grpc_byte_buffer *rpc_core_pack(struct view message);
/** All bytes of `buffer` as one slice; the caller unrefs it. NULL and what cannot be read are
 *  empty. */
grpc_slice rpc_core_unpack(grpc_byte_buffer *buffer);
/** The bytes of a slice, borrowed. */
struct view rpc_core_view(const grpc_slice *slice);
