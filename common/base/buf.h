/* buf.h - bytes: a growing buffer, a borrowed view, and a cursor that reads a view once.
 *
 * Used wherever bytes leave or enter the process. A cursor never looks back, every read checks
 * the bound, and the caller ends with cursor_finish, which rejects trailing bytes. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/err.h"

struct buf { /* owns; zeroed is empty */
    uint8_t *data;
    size_t len, cap;
};
struct view { /* borrows */
    const uint8_t *data;
    size_t len;
};

/** Views of bytes, of a NUL-terminated text without its NUL, of a buffer until it changes. */
static inline struct view view_of(const void *data, size_t len)
{
    return (struct view){ (const uint8_t *)data, len };
}
static inline struct view view_str(const char *text) { return view_of(text, strlen(text)); }
static inline struct view buf_view(const struct buf *b) { return view_of(b->data, b->len); }

/** True when both hold the same bytes. Not for secrets: not constant-time. */
bool view_is_equal(struct view a, struct view b);

/** Releases the bytes; zeroed memory is fine; `b` is empty and usable afterwards. */
void buf_fini(struct buf *b);

/** The caller owns the result; `b` is empty afterwards. */
static inline struct buf buf_take(struct buf *b)
{
    struct buf got = *b;
    *b = (struct buf){ 0 };
    return got;
}

/** Room for `more` bytes after the end; returns where they go. `len` is unchanged. */
uint8_t *buf_reserve(struct buf *b, size_t more);

/** Appends; a view into `b` itself is not allowed. */
void buf_put(struct buf *b, struct view bytes);
void buf_put_str(struct buf *b, const char *text);
void buf_put_fmt(struct buf *b, const char *fmt, ...) PRINTF(2, 3);

/** Little-endian integers, and a length-prefixed byte string (u32 length). */
void buf_put_u8(struct buf *b, uint8_t value);
void buf_put_u16(struct buf *b, uint16_t value);
void buf_put_u32(struct buf *b, uint32_t value);
void buf_put_u64(struct buf *b, uint64_t value);
void buf_put_bytes(struct buf *b, struct view bytes);

/** Ends the text with a NUL that is not counted in `len`, and lends it until the next change. */
const char *buf_borrow_str(struct buf *b);

struct cursor {
    struct view rest;
    const char *what; /* what is being read, for messages: "manifest", "record" */
};

/** A cursor at the front of `bytes`; `what` is static. */
static inline struct cursor cursor_of(struct view bytes, const char *what)
{
    return (struct cursor){ bytes, what };
}

/** Each takes from the front or fails with CORRUPT, naming `field`. */
MUST_USE bool cursor_u8(struct cursor *c, const char *field, uint8_t *out, struct err *err);
MUST_USE bool cursor_u16(struct cursor *c, const char *field, uint16_t *out, struct err *err);
MUST_USE bool cursor_u32(struct cursor *c, const char *field, uint32_t *out, struct err *err);
MUST_USE bool cursor_u64(struct cursor *c, const char *field, uint64_t *out, struct err *err);
MUST_USE bool cursor_take(struct cursor *c, const char *field, size_t len, struct view *out,
                          struct err *err);
/** A u32 length of at most `max` and as many bytes, borrowed from the view. */
MUST_USE bool cursor_bytes(struct cursor *c, const char *field, size_t max, struct view *out,
                           struct err *err);
/** CORRUPT when anything is left. */
MUST_USE bool cursor_finish(const struct cursor *c, struct err *err);
