/* api.h - the agent's local API: HTTP/1.1 and JSON on a unix socket.
 *
 * GET /v1/status, POST /v1/checkpoint, POST /v1/barrier. Peers are checked by the kernel's
 * credentials; sizes and the number of connections are bounded; a client that hangs or goes away
 * disturbs nobody. Runs on the loop and knows the engine only by its public calls. */
#pragma once
#include "common/base/err.h"
#include "common/loop/loop.h"
#include "sidecar/engine/engine.h"

#define API_CLIENTS_MAX 64  /* an agent with a pool of workers uses a handful */
#define API_PATH_MAX    107 /* sun_path without its NUL */

struct api;

struct api *api_new(struct loop *loop, struct engine *engine, struct observe *observe);
/** Closes every connection and removes the socket if it is ours. Wishes under way are forgotten.
 *  NULL is fine. */
void api_free(struct api *api);

/** Listens at `path` (created 0666: the kernel's credentials decide, not the mode); a socket that
 *  nobody listens on any more is replaced. Open already: nothing happens. Errors: INVALID the path
 *  is too long; CONFLICT somebody listens there; SYSTEM. */
MUST_USE bool api_listen(struct api *api, const char *path, struct err *err);
