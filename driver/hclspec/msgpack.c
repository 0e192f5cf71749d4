#include "driver/hclspec/msgpack.h"

#include "common/base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define EXPONENT_MAX 999 /* wider text would be a page of zeros */

/* Big-endian. */
static void put_be(struct buf *out, uint64_t value, unsigned bytes)
{
    while (bytes-- > 0)
        buf_put_u8(out, (uint8_t)(value >> (8 * bytes)));
}

void msgpack_put_nil(struct buf *out) { buf_put_u8(out, 0xc0); }
void msgpack_put_bool(struct buf *out, bool value) { buf_put_u8(out, value ? 0xc3 : 0xc2); }

static void put_positive(struct buf *out, uint64_t value)
{
    static const struct {
        uint64_t max;
        uint8_t head;
        unsigned bytes;
    } forms[] = { { UINT8_MAX, 0xcc, 1 },
                  { UINT16_MAX, 0xcd, 2 },
                  { UINT32_MAX, 0xce, 4 },
                  { UINT64_MAX, 0xcf, 8 } };
    size_t f = 0;
    while (value > forms[f].max)
        f++;
    buf_put_u8(out, forms[f].head);
    put_be(out, value, forms[f].bytes);
}

static void put_negative(struct buf *out, int64_t value)
{
    static const struct {
        int64_t min;
        uint8_t head;
        unsigned bytes;
    } forms[] = { { INT8_MIN, 0xd0, 1 },
                  { INT16_MIN, 0xd1, 2 },
                  { INT32_MIN, 0xd2, 4 },
                  { INT64_MIN, 0xd3, 8 } };
    size_t f = 0;
    while (value < forms[f].min)
        f++;
    buf_put_u8(out, forms[f].head);
    put_be(out, (uint64_t)value, forms[f].bytes);
}

void msgpack_put_int(struct buf *out, int64_t value)
{
    if (value >= -32 && value <= 127)
        buf_put_u8(out, (uint8_t)value);
    else if (value > 0)
        put_positive(out, (uint64_t)value);
    else
        put_negative(out, value);
}

void msgpack_put_text(struct buf *out, struct view text)
{
    if (text.len < 32) {
        buf_put_u8(out, (uint8_t)(0xa0 | text.len));
    } else if (text.len <= UINT8_MAX) {
        buf_put_u8(out, 0xd9);
        put_be(out, text.len, 1);
    } else if (text.len <= UINT16_MAX) {
        buf_put_u8(out, 0xda);
        put_be(out, text.len, 2);
    } else {
        buf_put_u8(out, 0xdb);
        put_be(out, text.len, 4);
    }
    buf_put(out, text);
}

static void put_head(struct buf *out, size_t count, uint8_t small, uint8_t wide)
{
    if (count < 16) {
        buf_put_u8(out, (uint8_t)(small | count));
        return;
    }
    buf_put_u8(out, count <= UINT16_MAX ? wide : (uint8_t)(wide + 1));
    put_be(out, count, count <= UINT16_MAX ? 2 : 4);
}

void msgpack_put_map(struct buf *out, size_t count) { put_head(out, count, 0x80, 0xde); }
void msgpack_put_list(struct buf *out, size_t count) { put_head(out, count, 0x90, 0xdc); }

/* A decimal as sign, digits without outer zeros, and the power of ten of the last digit. */
struct decimal {
    bool is_negative;
    char digits[1200]; /* a double written out exactly has at most 767 */
    size_t len;        /* 0: the number is 0 */
    long exponent;
};

static bool decimal_parse(const char *text, struct decimal *out)
{
    *out = (struct decimal){ .is_negative = *text == '-' };
    text += out->is_negative;
    bool in_fraction = false, any = false;
    for (; (*text >= '0' && *text <= '9') || (*text == '.' && !in_fraction); text++) {
        if (*text == '.') {
            in_fraction = true;
            continue;
        }
        any = true;
        out->exponent -= in_fraction;
        if (out->len || *text != '0')
            out->digits[out->len++] = *text;
        if (out->len == sizeof out->digits)
            return false;
    }
    if (*text == 'e' || *text == 'E') {
        char *end;
        const long e = strtol(text + 1, &end, 10);
        if (end == text + 1 || labs(e) > EXPONENT_MAX)
            return false;
        out->exponent += e;
        text = end;
    }
    while (out->len && out->digits[out->len - 1] == '0') {
        out->len--;
        out->exponent++;
    }
    if (out->len == 0)
        out->exponent = 0;
    return any && !*text;
}

static bool decimal_of(const char *text, struct decimal *out, struct err *err)
{
    if (strlen(text) > MSGPACK_NUMBER_MAX || !decimal_parse(text, out))
        return err_set(err, ERR_INVALID, "not a number");
    return true;
}

static void decimal_put(struct buf *out, const struct decimal *d)
{
    const long point = (long)d->len + d->exponent; /* digits before the point */
    buf_put_str(out, d->is_negative && d->len ? "-" : "");
    if (d->len == 0 || point <= 0)
        buf_put_str(out, "0");
    for (long i = 0; i < point && d->len; i++)
        buf_put_u8(out, (uint8_t)(i < (long)d->len ? d->digits[i] : '0'));
    if (d->len == 0 || d->exponent >= 0)
        return;
    buf_put_str(out, ".");
    for (long i = point; i < (long)d->len; i++)
        buf_put_u8(out, (uint8_t)(i < 0 ? '0' : d->digits[i]));
}

bool number_put_text(struct buf *out, const char *text, struct err *err)
{
    struct decimal d;
    if (!decimal_of(text, &d, err))
        return false;
    decimal_put(out, &d);
    return true;
}

/* True when some double is exactly this number. */
static bool decimal_is_double(const char *text, const struct decimal *d, double *out)
{
    char written[1300];
    struct decimal exact;
    errno = 0;
    *out = strtod(text, NULL);
    if (errno)
        return false;
    (void)snprintf(written, sizeof written, "%.1100e", *out);
    return decimal_parse(written, &exact) && exact.len == d->len && exact.exponent == d->exponent &&
           memcmp(exact.digits, d->digits, d->len) == 0;
}

bool msgpack_put_number(struct buf *out, const char *text, struct err *err)
{
    struct decimal d;
    if (!decimal_of(text, &d, err))
        return false;
    struct buf plain = { 0 };
    decimal_put(&plain, &d);
    int64_t whole;
    double real;
    struct err unused;
    if (d.exponent >= 0 && int_parse(buf_view(&plain), INT64_MIN, INT64_MAX, &whole, &unused)) {
        msgpack_put_int(out, whole);
    } else if (d.exponent < 0 && decimal_is_double(text, &d, &real)) {
        uint64_t bits;
        memcpy(&bits, &real, sizeof bits);
        buf_put_u8(out, 0xcb);
        put_be(out, bits, 8);
    } else {
        msgpack_put_text(out, buf_view(&plain));
    }
    buf_fini(&plain);
    return true;
}
