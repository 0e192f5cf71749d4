#include "common/json/out.h"

#include "common/base/own.h"
#include "common/json/doc.h"

#include <criterion/criterion.h>
#include <signal.h>

Test(out, document_is_compact_and_in_order)
{
    CLEANUP(buf_fini) struct buf buf = { 0 };
    struct json_out o = json_out_to(&buf);
    json_out_object(&o, NULL);
    json_out_text(&o, "text", "a");
    json_out_text(&o, "absent", NULL);
    json_out_int(&o, "int", INT64_MIN);
    json_out_bool(&o, "yes", true);
    json_out_hex(&o, "hex", view_of("\x01\xfe", 2));
    json_out_hex(&o, "none", view_of("", 0));
    json_out_list(&o, "list");
    json_out_int(&o, NULL, 1);
    json_out_object(&o, NULL);
    json_out_close(&o);
    json_out_list(&o, NULL);
    json_out_null(&o, NULL);
    json_out_close(&o);
    json_out_close(&o);
    json_out_close(&o);
    json_out_finish(&o);
    cr_assert_str_eq(buf_borrow_str(&buf),
                     "{\"text\":\"a\",\"absent\":null,\"int\":-9223372036854775808,\"yes\":true,"
                     "\"hex\":\"01fe\",\"none\":\"\",\"list\":[1,{},[null]]}");
}

Test(out, text_is_escaped_and_cleaned)
{
    CLEANUP(buf_fini) struct buf buf = { 0 };
    struct json_out o = json_out_to(&buf);
    json_out_text(&o, NULL, "\"\\/\n\x01\x7f\xc3\xa9\xff");
    cr_assert_str_eq(buf_borrow_str(&buf),
                     "\"\\\"\\\\/\\u000a\\u0001\\u007f\xc3\xa9\xef\xbf\xbd\"");
}

Test(out, every_byte_pair_can_be_read_back)
{
    for (int i = 0; i < 65536; i += 7) {
        CLEANUP(buf_fini) struct buf buf = { 0 };
        CLEANUP(json_freep) struct json *doc = NULL;
        struct err err = { 0 };
        const uint8_t pair[2] = { (uint8_t)(i >> 8 | 1), (uint8_t)(i & 0xff) };
        struct json_out o = json_out_to(&buf);
        json_out_list(&o, NULL);
        json_out_view(&o, NULL, view_of(pair, pair[1] == 0 ? 1 : 2));
        json_out_close(&o);
        cr_assert(json_parse(buf_view(&buf), "it", 100, &doc, &err), "%d: %s", i, err.msg);
    }
}

Test(out, what_is_in_the_buffer_stays)
{
    CLEANUP(buf_fini) struct buf buf = { 0 };
    buf_put_str(&buf, "x=");
    struct json_out o = json_out_to(&buf);
    json_out_int(&o, NULL, 1);
    cr_assert_str_eq(buf_borrow_str(&buf), "x=1");
}

Test(out, unclosed_level_is_a_bug, .signal = SIGABRT)
{
    struct buf buf = { 0 };
    struct json_out o = json_out_to(&buf);
    json_out_object(&o, NULL);
    json_out_finish(&o);
}

Test(out, key_inside_a_list_is_a_bug, .signal = SIGABRT)
{
    struct buf buf = { 0 };
    struct json_out o = json_out_to(&buf);
    json_out_list(&o, NULL);
    json_out_int(&o, "key", 1);
}
