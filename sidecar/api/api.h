/* api.h - the agent's local API: HTTP/1.1 and JSON on a unix socket.
 *
 * GET /v1/status, POST /v1/checkpoint, POST /v1/barrier. Peers are checked by the kernel's
 * credentials; sizes and the number of connections are bounded; a client that hangs or goes away
 * disturbs nobody. Runs on the loop and knows the engine by its public calls only. */
#pragma once
#include <sys/types.h>

#include "common/base/err.h"
#include "common/loop/loop.h"
#include "sidecar/engine/engine.h"
#include "sidecar/observe/observe.h"

#define API_CLIENTS_MAX 64 /* an agent with a pool of workers uses a handful */

struct api;

/** `shim`: whose descendants may use it beside root and ourselves. Borrows the others. */
struct api *api_new(struct loop *loop, struct engine *engine, struct observe *observe, pid_t shim);
/** Closes every connection, before the engine is freed, and removes the socket if it is ours.
 *  NULL is fine. */
void api_free(struct api *api);

/** Listens at `path`; when it does already, nothing happens. Errors: INVALID the path is too long;
 *  CONFLICT somebody listens there; SYSTEM. */
MUST_USE bool api_listen(struct api *api, const char *path, struct err *err);
/** True once api_listen has worked. */
bool api_is_listening(const struct api *api);
