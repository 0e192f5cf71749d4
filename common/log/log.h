/* log.h - one JSON line an event on stderr: a constant message and typed fields.
 *
 * Used by programs and by rooms that own a policy; the rooms below return errors instead. Nothing
 * is allocated and nothing blocks: a line that stderr does not take is counted and dropped. A
 * struct secret, a struct or a float as a field does not compile. Lines are what Nomad's agent
 * re-logs (@level, @message, @timestamp, @module are always strings). */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

struct log_field {
    const char *key; /* NULL ends the list */
    enum { LOG_TEXT, LOG_NUMBER, LOG_BOOL } type;
    union {
        const char *text;
        int64_t number;
    } v;
};

#define LOG_FIELD(name, ctype, tag, member, expr)                         \
    static inline struct log_field log_f_##name(const char *key, ctype v) \
    {                                                                     \
        return (struct log_field){ key, tag, { .member = expr } };        \
    }
LOG_FIELD(str, const char *, LOG_TEXT, text, v)
LOG_FIELD(i64, int64_t, LOG_NUMBER, number, v)
LOG_FIELD(bool, bool, LOG_BOOL, number, v)
LOG_FIELD(err, const struct err *, LOG_TEXT, text, v->msg)

/* No default branch: a struct secret pointer, a struct or a float does not compile. */
#define F(key, val) \
    _Generic((val), char *                                                                         \
             : log_f_str, const char *                                                             \
             : log_f_str, bool                                                                     \
             : log_f_bool, int                                                                     \
             : log_f_i64, long                                                                     \
             : log_f_i64, long long                                                                \
             : log_f_i64, uint8_t                                                                  \
             : log_f_i64, uint16_t                                                                 \
             : log_f_i64, uint32_t                                                                 \
             : log_f_i64, struct err *                                                             \
             : log_f_err, const struct err *                                                       \
             : log_f_err)(#key, val)
#define LOG(level, text, ...) \
    log_emit(level, "" text, (struct log_field[]){ __VA_ARGS__ __VA_OPT__(, ){ 0 } })

/** Sets the module name ("driver", "sidecar") and the lowest level written. Once, in main, before
 *  any thread: it is the one piece of global state. Until then: "agent", LOG_INFO. */
void log_init(const char *module, enum log_level lowest);

/** Changes the lowest level written, when configuration comes later than threads. Any thread. */
void log_set_level(enum log_level lowest);

/** A level by name ("debug", "info", "warn", "error"). Errors: INVALID. */
MUST_USE bool log_level_parse(const char *name, enum log_level *out, struct err *err);

/** Writes one line. Any thread. Text that is not UTF-8 is cleaned, long text is cut. */
void log_emit(enum log_level level, const char *text, const struct log_field *fields);

/** True for 1, 2, 4, 8, ...: repeated failures are logged at powers of two. */
static inline bool log_is_due(uint64_t count) { return count && (count & (count - 1)) == 0; }
