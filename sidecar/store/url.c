#include "sidecar/store/url.h"

#include "common/base/own.h"
#include "common/base/text.h"

#include <ctype.h>

/* Percent-decodes into `out` with a NUL; NUL bytes and broken escapes are refused. */
static bool decode(struct view text, char *out, size_t room, struct err *err)
{
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t byte = text.data[i];
        struct err ignored;
        if (byte == '%') {
            if (text.len - i < 3 || !hex_decode(view_of(text.data + i + 1, 2), &byte, 1, &ignored))
                return err_set(err, ERR_INVALID, "broken %%-escape");
            i += 2;
        }
        if (byte == '\0')
            return err_set(err, ERR_INVALID, "holds a NUL byte");
        if (len + 1 >= room)
            return err_set(err, ERR_INVALID, "longer than %zu bytes", room - 1);
        out[len++] = (char)byte;
    }
    out[len] = '\0';
    return true;
}

static bool parse_scheme(const char **at, struct store_url *out, struct err *err)
{
    size_t len = strcspn(*at, ":");
    if ((*at)[len] != ':' || len == 0 || len >= sizeof(out->scheme))
        return err_set(err, ERR_INVALID, "no scheme such as \"file://\"");
    for (size_t i = 0; i < len; i++)
        out->scheme[i] = (char)tolower((unsigned char)(*at)[i]);
    out->scheme[len] = '\0';
    *at += len + 1;
    if (strncmp(*at, "//", 2) == 0)
        *at += 2;
    return true;
}

static bool parse_param(struct view text, struct store_url *out, struct err *err)
{
    const uint8_t *equals = memchr(text.data, '=', text.len);
    if (equals == NULL || out->param_count == STORE_URL_PARAMS_MAX)
        return err_set(err, ERR_INVALID, "parameters must be key=value, at most %d",
                       STORE_URL_PARAMS_MAX);
    size_t key_len = (size_t)(equals - text.data);
    size_t i = out->param_count++;
    if (!decode(view_of(text.data, key_len), out->params[i].key, sizeof(out->params[i].key), err) ||
        !decode(view_of(equals + 1, text.len - key_len - 1), out->params[i].value,
                sizeof(out->params[i].value), err))
        return err_wrap(err, "parameter %zu", i + 1);
    for (size_t other = 0; other < i; other++)
        if (strcmp(out->params[other].key, out->params[i].key) == 0)
            return err_set(err, ERR_INVALID, "parameter \"%s\" given twice", out->params[i].key);
    return true;
}

static bool parse_rest(const char *at, struct store_url *out, struct err *err)
{
    size_t place_len = strcspn(at, "?");
    if (!decode(view_of(at, place_len), out->place, sizeof(out->place), err))
        return err_wrap(err, "path");
    at += place_len;
    while (*at != '\0') {
        size_t len = strcspn(++at, "&");
        if (!parse_param(view_of(at, len), out, err))
            return false;
        at += len;
    }
    return true;
}

bool store_url_parse(const char *text, struct store_url *out, struct err *err)
{
    *out = (struct store_url){ 0 };
    size_t len = strlen(text);
    if (len >= sizeof(out->text) || !utf8_is_valid(view_str(text)))
        return err_set(err, ERR_INVALID, "open store: URL longer than %d bytes or not UTF-8",
                       STORE_URL_MAX - 1);
    memcpy(out->text, text, len + 1);
    const char *at = text;
    return (parse_scheme(&at, out, err) && parse_rest(at, out, err)) ||
           err_wrap(err, "open store \"%.100s\"", text);
}

bool store_url_check(const struct store_url *url, const char *const *known, struct err *err)
{
    for (size_t i = 0; i < url->param_count; i++) {
        const char *const *at = known;
        while (*at != NULL && strcmp(*at, url->params[i].key) != 0)
            at++;
        if (*at == NULL)
            return err_set(err, ERR_INVALID, "open store \"%.100s\": unknown parameter \"%s\"",
                           url->text, url->params[i].key);
    }
    return true;
}

const char *store_url_value(const struct store_url *url, const char *key)
{
    for (size_t i = 0; i < url->param_count; i++)
        if (strcmp(url->params[i].key, key) == 0)
            return url->params[i].value;
    return NULL;
}

bool store_url_flag(const struct store_url *url, const char *key, bool *out, struct err *err)
{
    const char *value = store_url_value(url, key);
    *out = value != NULL && strcmp(value, "true") == 0;
    if (value == NULL || *out || strcmp(value, "false") == 0)
        return true;
    return err_set(err, ERR_INVALID, "open store \"%.100s\": %s must be true or false", url->text,
                   key);
}
