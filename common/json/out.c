#include "common/json/out.h"

#include "common/base/own.h"
#include "common/base/text.h"

#include <assert.h>
#include <inttypes.h>

static uint32_t level_bit(const struct json_out *o) { return UINT32_C(1) << (o->depth - 1); }

static void put_quoted(struct json_out *o, struct view text)
{
    CLEANUP(buf_fini) struct buf clean = { 0 };
    utf8_put_clean(&clean, text);
    buf_put_u8(o->buf, '"');
    for (size_t i = 0; i < clean.len; i++) {
        uint8_t c = clean.data[i];
        if (c == '"' || c == '\\')
            buf_put_fmt(o->buf, "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            buf_put_fmt(o->buf, "\\u%04x", c);
        else
            buf_put_u8(o->buf, c);
    }
    buf_put_u8(o->buf, '"');
}

static void before(struct json_out *o, const char *key)
{
    if (o->depth > 0) {
        assert(((o->in_list & level_bit(o)) != 0) == (key == NULL));
        if ((o->has_items & level_bit(o)) != 0)
            buf_put_u8(o->buf, ',');
        o->has_items |= level_bit(o);
    }
    assert(o->depth > 0 || key == NULL);
    if (key == NULL)
        return;
    put_quoted(o, view_str(key));
    buf_put_u8(o->buf, ':');
}

static void open_level(struct json_out *o, const char *key, bool is_list)
{
    before(o, key);
    assert(o->depth < JSON_OUT_DEPTH);
    o->depth++;
    o->has_items &= ~level_bit(o);
    o->in_list = is_list ? o->in_list | level_bit(o) : o->in_list & ~level_bit(o);
    buf_put_u8(o->buf, is_list ? '[' : '{');
}

void json_out_object(struct json_out *o, const char *key) { open_level(o, key, false); }
void json_out_list(struct json_out *o, const char *key) { open_level(o, key, true); }

void json_out_close(struct json_out *o)
{
    assert(o->depth > 0);
    buf_put_u8(o->buf, (o->in_list & level_bit(o)) != 0 ? ']' : '}');
    o->depth--;
}

void json_out_finish(const struct json_out *o) { assert(o->depth == 0); }

void json_out_view(struct json_out *o, const char *key, struct view text)
{
    before(o, key);
    put_quoted(o, text);
}

void json_out_text(struct json_out *o, const char *key, const char *text)
{
    if (text == NULL)
        json_out_null(o, key);
    else
        json_out_view(o, key, view_str(text));
}

void json_out_int(struct json_out *o, const char *key, int64_t value)
{
    before(o, key);
    buf_put_fmt(o->buf, "%" PRId64, value);
}

void json_out_bool(struct json_out *o, const char *key, bool value)
{
    before(o, key);
    buf_put_str(o->buf, value ? "true" : "false");
}

void json_out_null(struct json_out *o, const char *key)
{
    before(o, key);
    buf_put_str(o->buf, "null");
}

void json_out_hex(struct json_out *o, const char *key, struct view bytes)
{
    CLEANUP(str_freep) char *hex = mem_array(2 * bytes.len + 1, 1);
    hex_encode(bytes, hex);
    json_out_text(o, key, hex);
}
