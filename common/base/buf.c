#include "common/base/buf.h"

#include "common/base/own.h"

#include <assert.h>
#include <endian.h>
#include <stdarg.h>
#include <stdio.h>

bool view_is_equal(struct view a, struct view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

void buf_fini(struct buf *b)
{
    int kept_errno = errno;
    free(b->data);
    *b = (struct buf){ 0 };
    errno = kept_errno;
}

uint8_t *buf_reserve(struct buf *b, size_t more)
{
    size_t want;
    if (__builtin_add_overflow(b->len, more, &want))
        abort();
    if (want > b->cap) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < want)
            if (__builtin_mul_overflow(cap, (size_t)2, &cap))
                abort();
        b->data = mem_resize(b->data, cap, 1);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_put(struct buf *b, struct view bytes)
{
    if (bytes.len == 0)
        return;
    assert(b->data == NULL || bytes.data + bytes.len <= b->data || bytes.data >= b->data + b->cap);
    memcpy(buf_reserve(b, bytes.len), bytes.data, bytes.len);
    b->len += bytes.len;
}

void buf_put_str(struct buf *b, const char *text) { buf_put(b, view_str(text)); }

void buf_put_fmt(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0)
        abort();
    (void)vsnprintf((char *)buf_reserve(b, (size_t)len + 1), (size_t)len + 1, fmt, again);
    va_end(again);
    b->len += (size_t)len;
}

void buf_put_u8(struct buf *b, uint8_t value) { buf_put(b, view_of(&value, 1)); }

void buf_put_u16(struct buf *b, uint16_t value)
{
    uint16_t wire = htole16(value);
    buf_put(b, view_of(&wire, sizeof(wire)));
}

void buf_put_u32(struct buf *b, uint32_t value)
{
    uint32_t wire = htole32(value);
    buf_put(b, view_of(&wire, sizeof(wire)));
}

void buf_put_u64(struct buf *b, uint64_t value)
{
    uint64_t wire = htole64(value);
    buf_put(b, view_of(&wire, sizeof(wire)));
}

void buf_put_bytes(struct buf *b, struct view bytes)
{
    assert(bytes.len <= UINT32_MAX);
    buf_put_u32(b, (uint32_t)bytes.len);
    buf_put(b, bytes);
}

const char *buf_borrow_str(struct buf *b)
{
    *buf_reserve(b, 1) = '\0';
    return (const char *)b->data;
}

bool cursor_take(struct cursor *c, const char *field, size_t len, struct view *out, struct err *err)
{
    if (len > c->rest.len)
        return err_set(err, ERR_CORRUPT, "%s: \"%s\" wants %zu bytes, %zu are left", c->what, field,
                       len, c->rest.len);
    *out = view_of(c->rest.data, len);
    c->rest = view_of(c->rest.data + len, c->rest.len - len);
    return true;
}

bool cursor_u8(struct cursor *c, const char *field, uint8_t *out, struct err *err)
{
    struct view bytes;
    if (!cursor_take(c, field, 1, &bytes, err))
        return false;
    *out = bytes.data[0];
    return true;
}

bool cursor_u16(struct cursor *c, const char *field, uint16_t *out, struct err *err)
{
    struct view bytes;
    uint16_t wire;
    if (!cursor_take(c, field, sizeof(wire), &bytes, err))
        return false;
    memcpy(&wire, bytes.data, sizeof(wire));
    *out = le16toh(wire);
    return true;
}

bool cursor_u32(struct cursor *c, const char *field, uint32_t *out, struct err *err)
{
    struct view bytes;
    uint32_t wire;
    if (!cursor_take(c, field, sizeof(wire), &bytes, err))
        return false;
    memcpy(&wire, bytes.data, sizeof(wire));
    *out = le32toh(wire);
    return true;
}

bool cursor_u64(struct cursor *c, const char *field, uint64_t *out, struct err *err)
{
    struct view bytes;
    uint64_t wire;
    if (!cursor_take(c, field, sizeof(wire), &bytes, err))
        return false;
    memcpy(&wire, bytes.data, sizeof(wire));
    *out = le64toh(wire);
    return true;
}

bool cursor_bytes(struct cursor *c, const char *field, size_t max, struct view *out,
                  struct err *err)
{
    uint32_t len;
    if (!cursor_u32(c, field, &len, err))
        return false;
    if (len > max)
        return err_set(err, ERR_CORRUPT, "%s: \"%s\" has %u bytes, at most %zu are allowed",
                       c->what, field, len, max);
    return cursor_take(c, field, len, out, err);
}

bool cursor_finish(const struct cursor *c, struct err *err)
{
    if (c->rest.len > 0)
        return err_set(err, ERR_CORRUPT, "%s: %zu bytes too many at the end", c->what, c->rest.len);
    return true;
}
