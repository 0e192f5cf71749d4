/* out.h - JSON written into a buffer, one value after the other.
 *
 * Compact, keys in the order of the calls, commas placed here. Text that is not UTF-8 is cleaned.
 * `key` is NULL inside lists and for the whole document. Cannot fail; wrong nesting is asserted. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"

#define JSON_OUT_DEPTH 32 /* open objects and lists */

struct json_out {
    struct buf *buf; /* borrowed; what is there already stays */
    unsigned depth;
    uint32_t in_list, has_items; /* one bit a level */
};

/** A writer that appends to `buf`. */
static inline struct json_out json_out_to(struct buf *buf)
{
    return (struct json_out){ .buf = buf };
}

/** Opens and closes a level. json_out_finish asserts that every level is closed. */
void json_out_object(struct json_out *o, const char *key);
void json_out_list(struct json_out *o, const char *key);
void json_out_close(struct json_out *o);
void json_out_finish(const struct json_out *o);

/** One value each. `json_out_text` writes null for NULL. */
void json_out_text(struct json_out *o, const char *key, const char *text);
void json_out_view(struct json_out *o, const char *key, struct view text);
void json_out_int(struct json_out *o, const char *key, int64_t value);
void json_out_bool(struct json_out *o, const char *key, bool value);
void json_out_null(struct json_out *o, const char *key);
void json_out_hex(struct json_out *o, const char *key, struct view bytes);
