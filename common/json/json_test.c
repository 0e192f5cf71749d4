#include "common/json/json.h"

#include "common/base/own.h"

#include <criterion/criterion.h>
#include <inttypes.h>

#define MAX_BYTES ((size_t)4096)

struct item {
    char name[8];
    int64_t count;
};
struct shape {
    char name[16], nick[8];
    int64_t number;
    bool flag, has_inner, has_none;
    uint8_t id[4];
    struct item inner;
    struct item items[3];
    size_t item_count;
};

static const struct json_field item_rows[] = {
    JSON_TEXT_ROW(struct item, "name", name, JSON_REQUIRED, 1),
    JSON_INT_ROW(struct item, "count", count, 0, -5, 5),
};
static const struct json_table item_table = JSON_TABLE(item_rows);
static const struct json_field shape_rows[] = {
    JSON_TEXT_ROW(struct shape, "name", name, JSON_REQUIRED, 0),
    JSON_TEXT_ROW(struct shape, "nick", nick, JSON_NULL_OK, 2),
    JSON_INT_ROW(struct shape, "number", number, 0, INT64_MIN, INT64_MAX),
    JSON_BOOL_ROW(struct shape, "flag", flag, 0),
    JSON_HEX_ROW(struct shape, "id", id, 0),
    JSON_OBJECT_ROW(struct shape, "inner", inner, 0, &item_table, has_inner),
    JSON_LIST_ROW(struct shape, "items", items, 0, &item_table, item_count),
};
static const struct json_table shape_table = JSON_TABLE(shape_rows);

static bool read_text(const char *text, struct shape *out, struct err *err)
{
    *out = (struct shape){ .number = 77 };
    return json_read(view_str(text), "shape", MAX_BYTES, &shape_table, out, err);
}

static struct shape good(const char *text)
{
    struct shape s;
    struct err err = { 0 };
    cr_assert(read_text(text, &s, &err), "%s: %s", text, err.msg);
    return s;
}

/* The message must say this, and be INVALID. */
static void bad(const char *text, const char *told)
{
    struct shape s;
    struct err err = { 0 };
    cr_assert_not(read_text(text, &s, &err), "%s", text);
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, told), "%s: \"%s\" has no \"%s\"", text, err.msg, told);
}

Test(json, every_kind_is_read)
{
    struct shape s = good("{\"name\":\"a\\u00e9\",\"nick\":\"xy\",\"number\":-9,\"flag\":true,"
                          "\"id\":\"00ff10a0\",\"inner\":{\"name\":\"in\",\"count\":5},"
                          "\"items\":[{\"name\":\"1\"},{\"name\":\"2\",\"count\":-5}]}");
    cr_assert_str_eq(s.name, "a\xc3\xa9");
    cr_assert_str_eq(s.nick, "xy");
    cr_assert_eq(s.number, -9);
    cr_assert(s.flag);
    cr_assert_eq(memcmp(s.id, "\x00\xff\x10\xa0", 4), 0);
    cr_assert(s.has_inner);
    cr_assert_eq(s.inner.count, 5);
    cr_assert_eq(s.item_count, 2);
    cr_assert_str_eq(s.items[1].name, "2");
    cr_assert_eq(s.items[1].count, -5);
}

Test(json, absent_and_null_keep_what_the_struct_held)
{
    struct shape s = good(" {\"name\" : \"\", \"nick\":null} \n");
    cr_assert_eq(s.number, 77);
    cr_assert_not(s.has_inner);
    cr_assert_eq(s.item_count, 0);
    cr_assert_str_eq(s.nick, "");
}

Test(json, limits_of_integers_are_read)
{
    CLEANUP(str_freep)
    char *most = str_format("{\"name\":\"\",\"number\":%" PRId64 "}", INT64_MAX);
    CLEANUP(str_freep)
    char *least = str_format("{\"name\":\"\",\"number\":%" PRId64 "}", INT64_MIN);
    cr_assert_eq(good(most).number, INT64_MAX);
    cr_assert_eq(good(least).number, INT64_MIN);
    bad("{\"name\":\"\",\"number\":9223372036854775808}", "out of range");
}

Test(json, wrong_values_name_their_key_path)
{
    bad("{\"nick\":\"ab\"}", "shape: name: is missing");
    bad("{\"name\":1}", "name: must be a string");
    bad("{\"name\":null}", "name: must be a string");
    bad("{\"name\":\"1234567890123456\"}", "name: must have 0 to 15 bytes");
    bad("{\"name\":\"\",\"nick\":\"x\"}", "nick: must have 2 to 7 bytes");
    bad("{\"name\":\"\",\"number\":1.0}", "number: must be an integer");
    bad("{\"name\":\"\",\"number\":1e2}", "number: must be an integer");
    bad("{\"name\":\"\",\"number\":\"1\"}", "number: must be an integer");
    bad("{\"name\":\"\",\"flag\":1}", "flag: must be true or false");
    bad("{\"name\":\"\",\"id\":\"00FF10A0\"}", "id: must be 8 lower-case hex digits");
    bad("{\"name\":\"\",\"id\":\"00ff10a\"}", "id: must be 8");
    bad("{\"name\":\"\",\"id\":7}", "id: must be 8");
    bad("{\"name\":\"\",\"inner\":[]}", "inner: must be an object");
    bad("{\"name\":\"\",\"inner\":{}}", "inner.name: is missing");
    bad("{\"name\":\"\",\"inner\":{\"name\":\"x\",\"count\":6}}",
        "inner.count: must be between -5 and 5");
    bad("{\"name\":\"\",\"items\":{}}", "items: must be a list");
    bad("{\"name\":\"\",\"items\":[{\"name\":\"x\"},{\"name\":\"\"}]}", "items[1].name: must have");
    bad("{\"name\":\"\",\"items\":[{\"name\":\"a\"},{\"name\":\"b\"},{\"name\":\"c\"},"
        "{\"name\":\"d\"}]}",
        "items: must have at most 3 items");
}

Test(json, unknown_keys_are_refused_with_their_path)
{
    bad("{\"name\":\"\",\"nam\":\"\"}", "nam: unknown key");
    bad("{\"name\":\"\",\"inner\":{\"name\":\"x\",\"\\u0001y\":1}}", "inner.?y: unknown key");
}

Test(json, duplicate_keys_are_refused_with_their_path)
{
    bad("{\"name\":\"a\",\"name\":\"a\"}", "name: key given twice");
    bad("{\"name\":\"a\",\"items\":[{\"name\":\"x\"},{\"count\":1,\"count\":2,\"name\":\"y\"}]}",
        "items[1].count: key given twice");
}

Test(json, what_is_not_json_is_refused)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "{\"name\":\"\"",
        "{\"name\":\"\"}x",
        "{\"name\":\"\"}{}",
        "{\"name\":\"\",}",
        "{'name':''}",
        "{\"name\":\"\\x\"}",
        "{\"name\":\"\\ud800\"}",
        "{\"name\":\"\xff\"}",
        "{\"name\":\"\x01\"}",
        "{\"name\":\"\\u0000\"}",
        "{\"name\":\"\",\"number\":01}",
        "{\"name\":\"\",\"number\":+1}",
        "{\"name\":\"\",\"number\":NaN}",
        "{\"name\":\"\",\"flag\":True}",
        "// comment\n{\"name\":\"\"}",
        "\xef\xbb\xbf{\"name\":\"\"}",
        "[]",
        "null",
        "\"name\"",
    };
    for (size_t i = 0; i < COUNT(texts); i++)
        bad(texts[i], "read shape: ");
}

Test(json, value_never_appears_in_a_message)
{
    static const char *const texts[] = {
        "{\"name\":\"hunter2 hunter2 hunter2\"}",
        "{\"name\":\"\",\"number\":\"hunter2\"}",
        "{\"name\":\"hunter2\"",
        "{\"name\":\"hunter2\" \"x\"}",
        "{\"name\":hunter2}",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct shape s;
        struct err err = { 0 };
        cr_assert_not(read_text(texts[i], &s, &err));
        cr_assert_null(strstr(err.msg, "hunter2"), "%s", err.msg);
    }
}

Test(json, size_and_depth_are_bounded)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct shape s;
    struct err err = { 0 };
    buf_put_str(&text, "{\"name\":\"\"}");
    while (text.len < MAX_BYTES)
        buf_put_u8(&text, ' ');
    cr_assert(json_read(buf_view(&text), "shape", MAX_BYTES, &shape_table, &s, &err));
    buf_put_u8(&text, ' ');
    cr_assert_not(json_read(buf_view(&text), "shape", MAX_BYTES, &shape_table, &s, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    text.len = 0;
    for (int i = 0; i < 2000; i++)
        buf_put_str(&text, "[");
    bad(buf_borrow_str(&text), "nested deeper than 16");
}
