/* config.h - the sidecar's configuration: HCL text and environment to one validated struct.
 *
 * Every option is one row of options.def. A value comes from the environment, else the text, else
 * the default. Unknown keys and variables, repeated keys, wrong types and values outside their
 * limits are errors with file, line, column and key, never with the value. Opens no files. */
#pragma once
#include <stddef.h>

#include "common/base/buf.h"
#include "sidecar/config/options.def"

struct config_texts {
    char **items; /* ends with NULL, so never NULL itself */
    size_t count;
};

#define CONFIG_INTERVAL_MIN_MS 100 /* of state.interval, unless it is 0: never */

enum config_flags { CONFIG_REQUIRED = 1 };

/* A text is NUL-terminated and never NULL; "" is unset. */
#define CONFIG_C_TEXT                                                      char *
#define CONFIG_C_TEXTS                                                     struct config_texts
#define CONFIG_C_MS                                                        int64_t
#define CONFIG_MEMBER(b, key, member, type, flags, initial, min, max, doc) CONFIG_C_##type member;
#define CONFIG_MEMBERS(block, rows, doc) \
    struct {                             \
        bool is_present;                 \
        rows(CONFIG_MEMBER, block)       \
    } block;

/** The members are those of options.def: `c->name`, `c->state.interval_ms`, `c->lease.ttl_ms`, ...
 *  After loading, lease.is_present is true whenever state is, lease.store is filled from
 *  state.store, and lease.margin_ms and stop.reserve_ms hold the computed values. */
struct sidecar_config {
    CONFIG_TOP(CONFIG_MEMBER, top)
    CONFIG_BLOCKS(CONFIG_MEMBERS)
};

/** Reads `text`, called `name` in messages, under the variables of `env` ("K=V", ends with NULL;
 *  may be NULL). Variables are AGENT_SIDECAR_<KEY> and AGENT_SIDECAR_<BLOCK>_<KEY> in upper case,
 *  lists separated by commas; a variable with that prefix that names no option is an error.
 *  The caller owns `*out`. Errors: INVALID. */
MUST_USE bool config_load(const char *name, struct view text, const char *const *env,
                          struct sidecar_config **out, struct err *err);
void config_free(struct sidecar_config *config);
static inline void config_freep(struct sidecar_config **config)
{
    config_free(*config);
    *config = 0;
}

/** Appends the configuration as HCL text that config_load reads back to the same values; for the
 *  hand-over to another process. Errors: INVALID when a text is not UTF-8. */
MUST_USE bool config_put_hcl(struct buf *out, const struct sidecar_config *config, struct err *err);

/** The number of stop.signal. Cannot fail after loading. */
int config_stop_signal(const struct sidecar_config *config);

/** Appends the reference of all options as Markdown, made from the table. */
void config_put_reference(struct buf *out);
