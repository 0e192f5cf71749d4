#include "common/shimwire/pen.h"

#include <assert.h>

void pen_raw(struct pen *pen, const void *bytes, size_t len)
{
    assert(len <= pen->left); /* sizes on the wire are fixed and known to the encoder */
    if (len > 0)
        memcpy(pen->at, bytes, len);
    pen->at += len;
    pen->left -= len;
}

static void pen_uint(struct pen *pen, uint64_t value, size_t len)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(value >> (8 * i));
    pen_raw(pen, bytes, len);
}

void pen_u8(struct pen *pen, uint8_t value) { pen_uint(pen, value, 1); }
void pen_u16(struct pen *pen, uint16_t value) { pen_uint(pen, value, 2); }
void pen_u32(struct pen *pen, uint32_t value) { pen_uint(pen, value, 4); }
void pen_u64(struct pen *pen, uint64_t value) { pen_uint(pen, value, 8); }

/* Bytes of the shortest-form sequence at the front of `text`; 0 when there is none. */
static size_t utf8_len(struct view text)
{
    uint8_t first = text.data[0];
    size_t len = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (len == 0 || len > text.len || first > 0xF4)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((text.data[i] & 0xC0) != 0x80)
            return 0;
    uint8_t second = len > 1 ? text.data[1] : 0;
    bool is_long = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
    bool is_surrogate = first == 0xED && second >= 0xA0;
    bool is_beyond = first == 0xF4 && second >= 0x90;
    return is_long || is_surrogate || is_beyond ? 0 : len;
}

size_t text_clean(char *out, size_t max, struct view text)
{
    size_t used = 0;
    while (text.len > 0) {
        size_t len = utf8_len(text);
        bool is_clean = len > 1 || (len == 1 && text.data[0] >= 0x20 && text.data[0] != 0x7F);
        size_t step = len == 0 ? 1 : len;
        if (used + step > max)
            break;
        if (is_clean)
            memcpy(out + used, text.data, step);
        else
            out[used] = '?';
        used += step;
        text = view_of(text.data + step, text.len - step);
    }
    memset(out + used, 0, max + 1 - used);
    return used;
}

uint64_t fnv_add(uint64_t hash, struct view bytes)
{
    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ bytes.data[i]) * UINT64_C(1099511628211);
    return hash;
}
