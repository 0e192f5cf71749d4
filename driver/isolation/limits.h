/* limits.h - resource limits by the names people know from ulimit and systemd. Pure. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"
#include "driver/isolation/plan.h"

/** "nofile" for RLIMIT_NOFILE; "limit" for a number that is none. Static. */
const char *isolation_limit_name(uint8_t number);

/** "nofile" with "1024", "1024:4096" or "unlimited" as a limit. Errors: INVALID an unknown name, a
 *  value of another form, soft above hard; `err` names it. */
MUST_USE bool isolation_limit_parse(struct view name, struct view value,
                                    struct isolation_limit *out, struct err *err);
