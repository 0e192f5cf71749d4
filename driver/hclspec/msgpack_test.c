#include "driver/hclspec/msgpack.h"

#include "common/base/own.h"
#include "common/base/text.h"

#include <criterion/criterion.h>

static void is_hex(const struct buf *out, const char *hex)
{
    CLEANUP(str_freep) char *text = mem_array(2 * out->len + 1, 1);
    hex_encode(buf_view(out), text);
    cr_assert_str_eq(text, hex);
}

Test(msgpack, numbers_take_the_form_nomad_gives_them)
{
    static const struct {
        const char *text, *hex;
    } rows[] = {
        { "0", "00" },
        { "-0", "00" },
        { "0.0", "00" },
        { "127", "7f" },
        { "128", "cc80" },
        { "255", "ccff" },
        { "300", "cd012c" },
        { "65536", "ce00010000" },
        { "4294967296", "cf0000000100000000" },
        { "9223372036854775807", "cf7fffffffffffffff" },
        { "-1", "ff" },
        { "-32", "e0" },
        { "-33", "d0df" },
        { "-129", "d1ff7f" },
        { "-40000", "d2ffff63c0" },
        { "-9223372036854775808", "d38000000000000000" },
        { "1.5", "cb3ff8000000000000" },
        { "-2.5e0", "cbc004000000000000" },
        { "0.1", "a3302e31" },
        { "-0.10", "a42d302e31" },
        { "1e3", "cd03e8" },
        { "2.50e1", "19" },
        { "9223372036854775808", "b339323233333732303336383534373735383038" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(buf_fini) struct buf out = { 0 };
        struct err err = { 0 };
        cr_assert(msgpack_put_number(&out, rows[i].text, &err), "%s", rows[i].text);
        is_hex(&out, rows[i].hex);
    }
}

Test(msgpack, what_is_not_a_number_is_refused)
{
    static const char *const rows[] = { "", "x", "1x", "-", ".", "1e", "1e1000", "0x10", "1.2.3" };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(buf_fini) struct buf out = { 0 };
        struct err err = { 0 };
        cr_assert_not(msgpack_put_number(&out, rows[i], &err), "%s", rows[i]);
        cr_assert_eq(err.kind, ERR_INVALID);
        cr_assert_eq(out.len, 0);
    }
}

Test(msgpack, numbers_as_text_are_plain_decimals)
{
    static const struct {
        const char *text, *plain;
    } rows[] = { { "1.50", "1.5" }, { "1e2", "100" }, { "-0.010", "-0.01" }, { "25e-1", "2.5" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(buf_fini) struct buf out = { 0 };
        struct err err = { 0 };
        cr_assert(number_put_text(&out, rows[i].text, &err));
        cr_assert_str_eq(buf_borrow_str(&out), rows[i].plain);
    }
}

Test(msgpack, texts_and_heads_use_the_shortest_form)
{
    static const struct {
        size_t len;
        const char *head;
    } rows[] = {
        { 31, "bf" }, { 32, "d920" }, { 255, "d9ff" }, { 256, "da0100" }, { 65536, "db00010000" }
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(str_freep) char *text = mem_array(rows[i].len + 1, 1);
        memset(text, 'x', rows[i].len);
        CLEANUP(buf_fini) struct buf out = { 0 };
        msgpack_put_text(&out, view_str(text));
        out.len -= rows[i].len;
        is_hex(&out, rows[i].head);
    }
    CLEANUP(buf_fini) struct buf out = { 0 };
    msgpack_put_map(&out, 15);
    msgpack_put_map(&out, 16);
    msgpack_put_list(&out, 16);
    msgpack_put_list(&out, 65536);
    msgpack_put_nil(&out);
    msgpack_put_bool(&out, true);
    msgpack_put_bool(&out, false);
    is_hex(&out, "8fde0010dc0010dd00010000c0c3c2");
}
