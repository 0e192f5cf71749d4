/* json.h - strict JSON from outside into plain structs, by table.
 *
 * Whole documents only (RFC 8259): UTF-8, no duplicate keys, no trailing bytes, bounded size and
 * depth. A table row says where a key goes and what it may hold; a key without a row is an error.
 * Messages name the key path ("holder.node: ..."), never the value. Documents of unknown shape:
 * doc.h. The parser's types stay inside. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"

#define JSON_DEPTH_MAX 16 /* objects and lists inside each other; our own documents use 4 */

enum json_kind {
    JSON_KIND_TEXT,   /* char[size] in the struct, NUL added; min and max bound the bytes */
    JSON_KIND_INT,    /* int64_t in [min, max]; fractions and exponents are refused */
    JSON_KIND_BOOL,   /* bool */
    JSON_KIND_HEX,    /* uint8_t[size]: exactly 2 * size lower-case hex digits */
    JSON_KIND_OBJECT, /* a struct inside the struct, by its own table */
    JSON_KIND_LIST /* `size` structs of `stride` bytes at most, by `table`; count into `count_at` */
};

enum json_flags {
    JSON_REQUIRED = 1, /* absent is an error; otherwise the struct keeps what it held */
    JSON_NULL_OK = 2   /* null is read as absent */
};

#define JSON_NOWHERE SIZE_MAX

struct json_table;
struct json_field {
    const char *key;
    enum json_kind kind;
    unsigned flags;
    size_t offset;                  /* of the member in the struct */
    size_t size;                    /* TEXT, HEX: bytes; LIST: the most items */
    int64_t min, max;               /* INT: the value; TEXT: the bytes (max 0: size - 1) */
    const struct json_table *table; /* OBJECT, LIST */
    size_t has_at;           /* offset of a bool set when the key is there; or JSON_NOWHERE */
    size_t stride, count_at; /* LIST: bytes an item; offset of a size_t */
};
struct json_table {
    const struct json_field *fields;
    size_t count;
};

/** Rows: JSON_TEXT_ROW(struct point, "name", name, JSON_REQUIRED, 1) and so on. `member` may be a
 *  path inside the struct. */
#define JSON_TEXT_ROW(type, name, member, how, min_bytes)                                    \
    {                                                                                        \
        .key = name, .kind = JSON_KIND_TEXT, .flags = how, .offset = offsetof(type, member), \
        .size = sizeof(((type *)0)->member), .min = min_bytes, .has_at = JSON_NOWHERE        \
    }
#define JSON_INT_ROW(type, name, member, how, least, most)                                  \
    {                                                                                       \
        .key = name, .kind = JSON_KIND_INT, .flags = how, .offset = offsetof(type, member), \
        .min = least, .max = most, .has_at = JSON_NOWHERE                                   \
    }
#define JSON_BOOL_ROW(type, name, member, how)                                               \
    {                                                                                        \
        .key = name, .kind = JSON_KIND_BOOL, .flags = how, .offset = offsetof(type, member), \
        .has_at = JSON_NOWHERE                                                               \
    }
#define JSON_HEX_ROW(type, name, member, how)                                               \
    {                                                                                       \
        .key = name, .kind = JSON_KIND_HEX, .flags = how, .offset = offsetof(type, member), \
        .size = sizeof(((type *)0)->member), .has_at = JSON_NOWHERE                         \
    }
#define JSON_OBJECT_ROW(type, name, member, how, rows, has_member)                             \
    {                                                                                          \
        .key = name, .kind = JSON_KIND_OBJECT, .flags = how, .offset = offsetof(type, member), \
        .table = rows, .has_at = offsetof(type, has_member)                                    \
    }
#define JSON_LIST_ROW(type, name, member, how, rows, count_member)                           \
    {                                                                                        \
        .key = name, .kind = JSON_KIND_LIST, .flags = how, .offset = offsetof(type, member), \
        .size = COUNT(((type *)0)->member), .stride = sizeof(((type *)0)->member[0]),        \
        .table = rows, .count_at = offsetof(type, count_member), .has_at = JSON_NOWHERE      \
    }
#define JSON_TABLE(rows)                                        \
    {                                                           \
        .fields = rows, .count = sizeof(rows) / sizeof(rows[0]) \
    }

/** Reads one whole object of at most `max_bytes` into `out`, whose shape is `table`. `what` names
 *  the document in messages. On failure `out` may be half filled. Errors: INVALID (also when too
 *  large or too deep); the caller turns that into CORRUPT where the bytes were its own. */
MUST_USE bool json_read(struct view text, const char *what, size_t max_bytes,
                        const struct json_table *table, void *out, struct err *err);
