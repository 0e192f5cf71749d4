/* launch.h - from a configuration and a command to what the shim needs, without Nomad.
 *
 * Where things are when no orchestrator says so, and the spec that `run` hands to the shim. The
 * same shim and the same sidecar then do the same work as under the driver. */
#pragma once
#include "common/base/fd.h"
#include "sidecar/config/config.h"

#define LAUNCH_API_BYTES 108 /* a socket path with its NUL */

/** The API's socket: `api.path`, or one below /run/agent-sidecar (root), $XDG_RUNTIME_DIR or /tmp
 *  that follows from name and state path. Errors: INVALID too long. */
MUST_USE bool launch_api_path(const struct sidecar_config *config, char out[LAUNCH_API_BYTES],
                              struct err *err);

/** The absolute path of `program`: as given when it has a slash, else along PATH. The caller owns
 *  it. Errors: NOT_FOUND; DENIED not executable. */
MUST_USE bool launch_find(const char *program, char **out, struct err *err);

/** The agent-shim: `given` or, when NULL, the one beside this program, then the installed one. The
 *  caller owns it. Errors: NOT_FOUND, DENIED. */
MUST_USE bool launch_find_shim(const char *given, char **out, struct err *err);

/** Makes the paths of the configuration absolute (against the working directory), fills api.path
 *  and makes its directory. Errors: INVALID, SYSTEM. */
MUST_USE bool launch_settle(struct sidecar_config *config, struct err *err);

/** The sealed spec for descriptor 3 of the shim: `command` (argv, NULL at the end) as the agent,
 *  `attach` of this program as the sidecar (none without state and lease). `config_fd` (borrowed)
 *  is passed by its number, as are 0, 1 and 2. Errors: INVALID, NOT_FOUND, DENIED, SYSTEM. */
MUST_USE bool launch_spec(const struct sidecar_config *config, char *const *command, int config_fd,
                          const char *log_level, struct fd *out, struct err *err);
