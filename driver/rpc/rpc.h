/* rpc.h - gRPC on our loop: the library's start and end, its one thread, status codes.
 *
 * Server (server.h) and client (client.h) share one struct rpc. The thread does nothing but take
 * the next finished operation and post it: every callback of this room runs on the loop thread.
 * The library's own types stay inside the room; messages are bytes. See DESIGN.md. */
#pragma once
#include "common/base/buf.h"

struct loop;
struct rpc;

#define RPC_CODES(X) /* the numbers are gRPC's */ \
    X(OK, 0)                                      \
    X(CANCELLED, 1)                               \
    X(UNKNOWN, 2)                                 \
    X(INVALID_ARGUMENT, 3)                        \
    X(DEADLINE_EXCEEDED, 4)                       \
    X(NOT_FOUND, 5)                               \
    X(ALREADY_EXISTS, 6)                          \
    X(PERMISSION_DENIED, 7)                       \
    X(RESOURCE_EXHAUSTED, 8)                      \
    X(FAILED_PRECONDITION, 9)                     \
    X(ABORTED, 10)                                \
    X(OUT_OF_RANGE, 11)                           \
    X(UNIMPLEMENTED, 12)                          \
    X(INTERNAL, 13)                               \
    X(UNAVAILABLE, 14)                            \
    X(DATA_LOSS, 15)                              \
    X(UNAUTHENTICATED, 16)

#define RPC_CODE_ENUM(name, number) RPC_##name = number,
enum rpc_code { RPC_CODES(RPC_CODE_ENUM) RPC_CODE_COUNT };

/* Both ways; also what the library is told, so that a larger message costs no memory. */
#define RPC_MESSAGE_BYTES_MAX (64 << 20)
/* Status text travels in a header; longer text is cut. */
#define RPC_STATUS_TEXT_MAX 1024

struct rpc_status { /* borrowed */
    enum rpc_code code;
    const char *text;    /* UTF-8, never NULL */
    struct view details; /* encoded google.rpc.Status, or empty */
};

/** "NOT_FOUND", ...; "?" for a number gRPC does not know. Static. */
const char *rpc_code_name(enum rpc_code code);

/** Starts the library: its log lines become ours, GRPC_* variables of the environment are removed
 *  (they would print to stderr or fork), the thread starts with every signal blocked. */
struct rpc *rpc_new(struct loop *loop);

/** Waits for what the library still has in flight, then calls on_done. Servers must be stopped and
 *  clients freed before (asserted). */
void rpc_stop(struct rpc *rpc, void (*on_done)(void *arg), void *arg);
/** After rpc_stop has completed. NULL is fine. */
void rpc_free(struct rpc *rpc);
