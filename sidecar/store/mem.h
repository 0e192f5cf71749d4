/* mem.h - a store in memory that fails on request: the fake for every test above this room.
 *
 * A `struct mem_server` is the place; each handle connected to it is a client. Passes the contract
 * suite of tests/contract. Faults are scripted per operation, or decided by a hook, which may also
 * block to delay a call. Any thread; handles as in store.h. */
#pragma once
#include "common/base/time.h"
#include "sidecar/store/store.h"

enum mem_op { MEM_READ, MEM_WRITE, MEM_PACK_WRITE, MEM_PACK_READ, MEM_LIST, MEM_OP_COUNT };
enum mem_fault {
    MEM_OK,
    MEM_LOSE_REQUEST, /* UNAVAILABLE, nothing done */
    MEM_LOSE_REPLY,   /* UNAVAILABLE, done */
    MEM_LATE,         /* write: UNAVAILABLE now, tried when mem_server_deliver is called */
    MEM_CONFLICT,     /* write: CONFLICT, nothing done */
    MEM_DENIED,       /* DENIED, nothing done */
    MEM_FULL          /* pack write: SYSTEM with ENOSPC */
};

struct mem_server;
typedef enum mem_fault mem_hook(void *arg, enum mem_op op, const char *name);

/** An empty place. */
struct mem_server *mem_server_new(void);
/** After every handle is closed (asserted). NULL is fine. */
void mem_server_free(struct mem_server *server);

/** A new handle; the caller closes it with store_close. */
struct store *mem_server_connect(struct mem_server *server);

/** The next `count` calls of `op` meet `fault`; replaces an earlier script of that operation. */
void mem_server_script(struct mem_server *server, enum mem_op op, enum mem_fault fault,
                       unsigned count);
/** Asks `hook` before each call that no script covers; NULL ends it. The hook runs on the calling
 *  thread without any lock. Set it while no call is under way. */
void mem_server_hook(struct mem_server *server, mem_hook *hook, void *arg);
/** Lets writes held by MEM_LATE arrive now, in order; returns how many took effect. */
unsigned mem_server_deliver(struct mem_server *server);
/** Calls of `op` so far, failed ones included. */
uint64_t mem_server_calls(struct mem_server *server, enum mem_op op);
