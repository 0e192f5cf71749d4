#include "sidecar/store/name.h"

#include "common/base/text.h"

#include <stdio.h>

static bool is_plain(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* One part of a name between slashes. */
static bool is_good_part(const char *part, size_t len)
{
    return len > 0 && !(len == 1 && part[0] == '.') &&
           !(len == 2 && part[0] == '.' && part[1] == '.');
}

bool store_name_check(const char *name, struct err *err)
{
    size_t len = strlen(name);
    if (len == 0 || len > STORE_NAME_MAX)
        return err_set(err, ERR_INVALID, "agent name: %zu bytes, must be 1 to %d", len,
                       STORE_NAME_MAX);
    if (!utf8_is_valid(view_str(name)))
        return err_set(err, ERR_INVALID, "agent name: not UTF-8");
    for (size_t i = 0; i < len; i++)
        if ((uint8_t)name[i] < ' ' || name[i] == 0x7f)
            return err_set(err, ERR_INVALID, "agent name: byte %zu is a control character", i);
    for (const char *at = name;;) {
        size_t part = strcspn(at, "/");
        if (!is_good_part(at, part))
            return err_set(err, ERR_INVALID, "agent name \"%.100s\": empty part, \".\" or \"..\"",
                           name);
        if (at[part] == '\0')
            return true;
        at += part + 1;
    }
}

bool pack_name_check(const char *pack, struct err *err)
{
    size_t len = strlen(pack);
    if (len == 0 || len > STORE_PACK_MAX || pack[0] == '.')
        return err_set(err, ERR_INVALID, "pack name: must be 1 to %d bytes, no leading dot",
                       STORE_PACK_MAX);
    for (size_t i = 0; i < len; i++)
        if (!is_plain((uint8_t)pack[i]) && pack[i] != '.')
            return err_set(err, ERR_INVALID, "pack name \"%.60s\": only letters, digits and ._-",
                           utf8_is_valid(view_str(pack)) ? pack : "?");
    return true;
}

void name_encode(const char *name, char out[NAME_PATH_BYTES])
{
    size_t len = 0, part = 0;
    for (const char *at = name; *at != '\0'; at++) {
        uint8_t c = (uint8_t)*at;
        size_t need = is_plain(c) ? 1 : 3;
        if (part + need > NAME_PART_BYTES) {
            out[len++] = '+';
            out[len++] = '/';
            part = 0;
        }
        int put = snprintf(out + len, NAME_PATH_BYTES - len, is_plain(c) ? "%c" : "%%%02X", c);
        len += (size_t)put;
        part += need;
    }
    out[len] = '\0';
}

static bool decode_byte(const char **at, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    uint8_t c = (uint8_t) * *at;
    if (is_plain(c)) {
        *at += 1;
        buf_put_u8(out, c);
        return true;
    }
    const char *high = c == '%' && (*at)[1] != '\0' ? strchr(digits, (*at)[1]) : NULL;
    const char *low = high != NULL && (*at)[2] != '\0' ? strchr(digits, (*at)[2]) : NULL;
    if (low == NULL)
        return false;
    uint8_t byte = (uint8_t)((high - digits) << 4 | (low - digits));
    *at += 3;
    buf_put_u8(out, byte);
    return !is_plain(byte);
}

bool name_decode_part(const char *part, struct buf *out, bool *out_more, struct err *err)
{
    const char *at = part;
    *out_more = false;
    while (*at != '\0') {
        if (at[0] == '+' && at[1] == '\0' && at != part) {
            *out_more = true;
            return true;
        }
        if (!decode_byte(&at, out))
            return err_set(err, ERR_CORRUPT, "directory \"%.60s\": not an agent's name",
                           utf8_is_valid(view_str(part)) ? part : "?");
    }
    return at != part || err_set(err, ERR_CORRUPT, "directory \"\": not an agent's name");
}
