#include "common/base/text.h"

#include <limits.h>

#define SHOWN_MAX 64 /* of a bad value in a message */

static int shown(struct view text) { return text.len < SHOWN_MAX ? (int)text.len : SHOWN_MAX; }

void hex_encode(struct view bytes, char *out)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.len; i++) {
        out[2 * i] = digits[bytes.data[i] >> 4];
        out[2 * i + 1] = digits[bytes.data[i] & 15];
    }
    out[2 * bytes.len] = '\0';
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool hex_decode(struct view text, uint8_t *out, size_t out_len, struct err *err)
{
    if (text.len != 2 * out_len)
        return err_set(err, ERR_INVALID, "hex text has %zu digits, %zu are needed", text.len,
                       2 * out_len);
    for (size_t i = 0; i < out_len; i++) {
        int high = hex_value(text.data[2 * i]), low = hex_value(text.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return err_set(err, ERR_INVALID, "hex text has a foreign character at %zu", 2 * i);
        out[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

bool int_parse(struct view text, int64_t min, int64_t max, int64_t *out, struct err *err)
{
    size_t at = 0;
    bool negative = text.len > 0 && text.data[0] == '-';
    if (negative || (text.len > 0 && text.data[0] == '+'))
        at = 1;
    int64_t value = 0;
    bool good = at < text.len;
    for (; good && at < text.len; at++) {
        int digit = text.data[at] - '0';
        good = digit >= 0 && digit <= 9 && !__builtin_mul_overflow(value, (int64_t)10, &value) &&
               !__builtin_sub_overflow(value, (int64_t)digit, &value);
    }
    if (good && !negative)
        good = !__builtin_sub_overflow((int64_t)0, value, &value);
    if (!good)
        return err_set(err, ERR_INVALID, "\"%.*s\" is not a whole number", shown(text),
                       (const char *)text.data);
    if (value < min || value > max)
        return err_set(err, ERR_INVALID, "%lld is outside %lld to %lld", (long long)value,
                       (long long)min, (long long)max);
    *out = value;
    return true;
}

struct unit {
    const char *name;
    int64_t scale; /* in thousandths of a millisecond */
};

static const struct unit time_units[] = {
    { "ms", 1000 },      { "us", 1 },          { "s", 1000000 }, { "m", 60000000 },
    { "h", 3600000000 }, { "d", 86400000000 }, { NULL, 0 },
};
/* Takes "12.5" from the front as thousandths; digits after the third must be zero. */
static bool take_thousandths(struct view *rest, int64_t *out)
{
    int64_t value = 0;
    size_t at = 0, digits = 0;
    int fraction = -1;
    for (; at < rest->len; at++) {
        uint8_t c = rest->data[at];
        if (c == '.' && fraction < 0) {
            fraction = 0;
            continue;
        }
        if (c < '0' || c > '9')
            break;
        digits++;
        if (fraction >= 0 && fraction++ >= 3) {
            if (c != '0')
                return false;
            continue;
        }
        if (__builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_add_overflow(value, (int64_t)(c - '0'), &value))
            return false;
    }
    for (int have = fraction < 0 ? 0 : fraction; have < 3; have++)
        if (__builtin_mul_overflow(value, (int64_t)10, &value))
            return false;
    *rest = view_of(rest->data + at, rest->len - at);
    *out = value;
    return digits > 0;
}

static const struct unit *take_unit(struct view *rest)
{
    for (const struct unit *u = time_units; u->name != NULL; u++) {
        size_t len = strlen(u->name);
        if (rest->len < len || memcmp(rest->data, u->name, len) != 0)
            continue;
        *rest = view_of(rest->data + len, rest->len - len);
        return u;
    }
    return NULL;
}

static bool quantity(struct view text, int64_t *out)
{
    int64_t sum = 0;
    struct view rest = text;
    while (rest.len > 0) {
        int64_t thousandths;
        if (!take_thousandths(&rest, &thousandths))
            return false;
        const struct unit *unit = take_unit(&rest);
        __int128 add = unit == NULL ? 0 : (__int128)thousandths * unit->scale / 1000000;
        if (unit == NULL || add > INT64_MAX || __builtin_add_overflow(sum, (int64_t)add, &sum))
            return false;
    }
    *out = sum;
    return text.len > 0;
}

bool duration_parse(struct view text, int64_t *out_ms, struct err *err)
{
    if (view_is_equal(text, view_str("0"))) {
        *out_ms = 0;
        return true;
    }
    if (!quantity(text, out_ms))
        return err_set(
            err, ERR_INVALID,
            "\"%.*s\" is not a duration with a unit, such as \"250ms\", \"15s\" or \"7d\"",
            shown(text), (const char *)text.data);
    return true;
}

/* Length of the valid sequence at the front, 0 when there is none. Unicode 15, table 3-7. */
static size_t utf8_sequence(struct view t)
{
    uint8_t a = t.data[0];
    if (a < 0x80)
        return a == 0 ? 0 : 1;
    size_t len = a >= 0xf0 ? 4 : a >= 0xe0 ? 3 : 2;
    if (a < 0xc2 || a > 0xf4 || t.len < len)
        return 0;
    uint8_t low = a == 0xe0 ? 0xa0 : a == 0xf0 ? 0x90 : 0x80;
    uint8_t high = a == 0xed ? 0x9f : a == 0xf4 ? 0x8f : 0xbf;
    if (t.data[1] < low || t.data[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((t.data[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool utf8_is_valid(struct view text)
{
    while (text.len > 0) {
        size_t len = utf8_sequence(text);
        if (len == 0)
            return false;
        text = view_of(text.data + len, text.len - len);
    }
    return true;
}

void utf8_mend(char *text)
{
    struct view rest = view_str(text);
    while (rest.len > 0) {
        size_t len = utf8_sequence(rest);
        if (len == 0)
            *text = '?';
        len = len == 0 ? 1 : len;
        text += len;
        rest = view_of(rest.data + len, rest.len - len);
    }
}

void utf8_put_clean(struct buf *out, struct view text)
{
    while (text.len > 0) {
        size_t len = utf8_sequence(text);
        if (len == 0)
            buf_put(out, view_of("\xef\xbf\xbd", 3));
        else
            buf_put(out, view_of(text.data, len));
        len = len == 0 ? 1 : len;
        text = view_of(text.data + len, text.len - len);
    }
}
