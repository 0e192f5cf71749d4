#include "driver/nomad/msgpack_bounds.h"

/* What a first byte announces. `length_bytes` follow it and hold either a size in bytes or a
 * number of values; without them the low bits of the first byte or `fixed` do. */
enum shape { SHAPE_NONE, SHAPE_SIZED, SHAPE_BYTES, SHAPE_ARRAY, SHAPE_MAP };
struct head {
    uint8_t first, last; /* range of first bytes */
    enum shape shape;
    uint8_t low_mask;     /* the length is in the first byte */
    uint8_t length_bytes; /* or in as many bytes after it */
    uint8_t fixed;        /* or this many bytes follow */
};
static const struct head heads[] = {
    { 0x00, 0x7f, SHAPE_SIZED, 0, 0, 0 },    { 0x80, 0x8f, SHAPE_MAP, 0x0f, 0, 0 },
    { 0x90, 0x9f, SHAPE_ARRAY, 0x0f, 0, 0 }, { 0xa0, 0xbf, SHAPE_BYTES, 0x1f, 0, 0 },
    { 0xc0, 0xc0, SHAPE_SIZED, 0, 0, 0 },    { 0xc2, 0xc3, SHAPE_SIZED, 0, 0, 0 },
    { 0xc4, 0xc4, SHAPE_BYTES, 0, 1, 0 },    { 0xc5, 0xc5, SHAPE_BYTES, 0, 2, 0 },
    { 0xc6, 0xc6, SHAPE_BYTES, 0, 4, 0 },    { 0xca, 0xca, SHAPE_SIZED, 0, 0, 4 },
    { 0xcb, 0xcb, SHAPE_SIZED, 0, 0, 8 },    { 0xcc, 0xcc, SHAPE_SIZED, 0, 0, 1 },
    { 0xcd, 0xcd, SHAPE_SIZED, 0, 0, 2 },    { 0xce, 0xce, SHAPE_SIZED, 0, 0, 4 },
    { 0xcf, 0xcf, SHAPE_SIZED, 0, 0, 8 },    { 0xd0, 0xd0, SHAPE_SIZED, 0, 0, 1 },
    { 0xd1, 0xd1, SHAPE_SIZED, 0, 0, 2 },    { 0xd2, 0xd2, SHAPE_SIZED, 0, 0, 4 },
    { 0xd3, 0xd3, SHAPE_SIZED, 0, 0, 8 },    { 0xd9, 0xd9, SHAPE_BYTES, 0, 1, 0 },
    { 0xda, 0xda, SHAPE_BYTES, 0, 2, 0 },    { 0xdb, 0xdb, SHAPE_BYTES, 0, 4, 0 },
    { 0xdc, 0xdc, SHAPE_ARRAY, 0, 2, 0 },    { 0xdd, 0xdd, SHAPE_ARRAY, 0, 4, 0 },
    { 0xde, 0xde, SHAPE_MAP, 0, 2, 0 },      { 0xdf, 0xdf, SHAPE_MAP, 0, 4, 0 },
    { 0xe0, 0xff, SHAPE_SIZED, 0, 0, 0 },
};

static const struct head *head_find(uint8_t first)
{
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
        if (first >= heads[i].first && first <= heads[i].last)
            return &heads[i];
    return NULL;
}

static bool value_head(struct cursor *c, const struct head **out, uint64_t *out_length,
                       struct err *err)
{
    uint8_t first = 0;
    if (!cursor_u8(c, "first byte", &first, err))
        return false;
    const struct head *head = head_find(first);
    if (!head)
        return err_set(err, ERR_INVALID, "msgpack: type byte 0x%02x is not allowed", first);
    uint64_t length = head->low_mask ? first & head->low_mask : head->fixed;
    struct view digits = { 0 };
    if (!cursor_take(c, "length", head->length_bytes, &digits, err))
        return false;
    for (size_t i = 0; i < digits.len; i++)
        length = length << 8 | digits.data[i];
    *out = head;
    *out_length = length;
    return true;
}

static bool bounds_walk(struct cursor *c, struct err *err)
{
    uint64_t left[MSGPACK_DEPTH_MAX] = { 1 }; /* values still to come at each depth */
    size_t depth = 0;
    for (;;) {
        while (left[depth] == 0) {
            if (depth == 0)
                return true;
            depth--;
        }
        left[depth]--;
        const struct head *head = NULL;
        uint64_t length = 0;
        struct view skipped;
        if (!value_head(c, &head, &length, err))
            return false;
        if (length > c->rest.len)
            return err_set(err, ERR_INVALID, "msgpack: %zu bytes left, %llu announced", c->rest.len,
                           (unsigned long long)length);
        if (head->shape == SHAPE_SIZED || head->shape == SHAPE_BYTES) {
            if (!cursor_take(c, "value", (size_t)length, &skipped, err))
                return false;
            continue;
        }
        if (++depth == MSGPACK_DEPTH_MAX)
            return err_set(err, ERR_INVALID, "msgpack: nested deeper than %d", MSGPACK_DEPTH_MAX);
        left[depth] = head->shape == SHAPE_MAP ? 2 * length : length;
    }
}

bool msgpack_bounds_check(struct view bytes, struct err *err)
{
    struct cursor c = cursor_of(bytes, "msgpack");
    struct err inner = { 0 };
    if (bounds_walk(&c, &inner) && cursor_finish(&c, &inner))
        return true;
    return err_set(err, ERR_INVALID, "%s", inner.msg);
}
