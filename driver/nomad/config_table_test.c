#include "driver/nomad/config_table.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/own.h"
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_config.h"

struct sample {
    char *name;
    struct str_list list;
    int64_t count;
    bool flag;
    bool has_block;
    int64_t wait_ms;
    char *inner;
};
#define AT(member) .offset = offsetof(struct sample, member)
static const struct config_row rows[] = {
    { NULL, "name", CONFIG_STRING, true, false, NULL, 1, 8, AT(name), "" },
    { NULL, "list", CONFIG_LIST, false, false, NULL, 0, 2, AT(list), "" },
    { NULL, "count", CONFIG_NUMBER, false, false, "7", -10, 5000000000, AT(count), "" },
    { NULL, "flag", CONFIG_BOOL, false, false, "true", 0, 0, AT(flag), "" },
    { NULL, "block", CONFIG_BLOCK, false, false, NULL, 0, 0, AT(has_block), "" },
    { "block", "wait", CONFIG_DURATION, false, true, "15s", 100, 60000, AT(wait_ms), "" },
    { "block", "inner", CONFIG_STRING, true, false, NULL, 1, 8, AT(inner), "" },
};
static const struct config_table table = { "sample", rows, sizeof(rows) / sizeof(rows[0]) };

static struct sample got;
static struct err err;

/* The map of `pairs` with a name in front, so that only the pair under test can fail. */
static bool decode(const char *pairs, size_t len, int count)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    buf_put_u8(&bytes, (uint8_t)(0x80 + count + 1));
    buf_put_str(&bytes, "\xa4name\xa1n");
    buf_put(&bytes, view_of(pairs, len));
    err = (struct err){ 0 };
    config_fini(&table, &got);
    return config_decode(&table, buf_view(&bytes), &got, NULL, &err);
}
#define DECODE(text) decode(text, sizeof(text) - 1, 1)

static void refuse(bool ok, const char *part)
{
    cr_assert_not(ok, "%s", part);
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert(strstr(err.msg, part), "message: %s", err.msg);
    cr_assert_null(got.name);
    cr_assert_null(got.list.items);
}

Test(config_table, applies_defaults_also_in_an_absent_block)
{
    cr_assert(decode("", 0, 0), "%s", err.msg);
    cr_assert_str_eq(got.name, "n");
    cr_assert_eq(got.count, 7);
    cr_assert(got.flag);
    cr_assert_not(got.has_block);
    cr_assert_eq(got.wait_ms, 15000);
    config_fini(&table, &got);
}

Test(config_table, nil_means_default)
{
    cr_assert(DECODE("\xa5"
                     "count"
                     "\xc0"));
    cr_assert_eq(got.count, 7);
    config_fini(&table, &got);
}

Test(config_table, takes_a_number_in_every_form_nomad_sends)
{
    const struct {
        const char *bytes;
        size_t len;
        int64_t value;
    } forms[] = {
        { "\x2a", 1, 42 },
        { "\xcc\x2a", 2, 42 },
        { "\xcd\x00\x2a", 3, 42 },
        { "\xce\x00\x00\x00\x2a", 5, 42 },
        { "\xcf\x00\x00\x00\x00\x00\x00\x00\x2a", 9, 42 },
        { "\xd0\x2a", 2, 42 },
        { "\xd1\x00\x2a", 3, 42 },
        { "\xd2\x00\x00\x00\x2a", 5, 42 },
        { "\xd3\x00\x00\x00\x00\x00\x00\x00\x2a", 9, 42 },
        { "\xcb\x40\x45\x00\x00\x00\x00\x00\x00", 9, 42 },
        { "\xa2"
          "42",
          3, 42 },
        { "\xff", 1, -1 },
        { "\xd0\xf6", 2, -10 },
        { "\xaa"
          "5000000000",
          11, 5000000000 },
    };
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        CLEANUP(buf_fini) struct buf pair = { 0 };
        buf_put_str(&pair, "\xa5"
                           "count");
        buf_put(&pair, view_of(forms[i].bytes, forms[i].len));
        cr_assert(decode((const char *)pair.data, pair.len, 1), "form %zu: %s", i, err.msg);
        cr_assert_eq(got.count, forms[i].value, "form %zu", i);
    }
    config_fini(&table, &got);
}

Test(config_table, refuses_numbers_outside_their_limits)
{
    refuse(DECODE("\xa5"
                  "count"
                  "\xf5"),
           "sample: count: -11 is not in -10...5000000000");
    refuse(DECODE("\xa5"
                  "count"
                  "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
           "count");
    refuse(DECODE("\xa5"
                  "count"
                  "\xb4"
                  "99999999999999999999"),
           "count: is not a whole number");
    refuse(DECODE("\xa5"
                  "count"
                  "\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"),
           "count");
    refuse(DECODE("\xa5"
                  "count"
                  "\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"),
           "count");
    refuse(DECODE("\xa5"
                  "count"
                  "\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"),
           "count");
    refuse(DECODE("\xa5"
                  "count"
                  "\xa3"
                  "0.1"),
           "count");
    refuse(DECODE("\xa5"
                  "count"
                  "\xc3"),
           "count: is not a number");
}

Test(config_table, names_wrong_types)
{
    refuse(DECODE("\xa4"
                  "list"
                  "\xa1x"),
           "list: is not a list of strings");
    refuse(DECODE("\xa4"
                  "list"
                  "\x92\xa1x\x01"),
           "list: item 2 is not a string");
    refuse(DECODE("\xa4"
                  "list"
                  "\x92\xa1x\xc0"),
           "list: item 2 is not a string");
    refuse(DECODE("\xa4"
                  "flag"
                  "\x01"),
           "flag: is not a bool");
    refuse(DECODE("\xa5"
                  "block"
                  "\x90"),
           "block: is not a block");
    refuse(DECODE("\xa5"
                  "block"
                  "\x81\xa5"
                  "inner"
                  "\x01"),
           "block.inner: is not a string");
}

Test(config_table, names_lengths)
{
    refuse(DECODE("\xa4"
                  "list"
                  "\x93\xa1x\xa1x\xa1x"),
           "list: has 3 items, at most 2");
    refuse(DECODE("\xa5"
                  "block"
                  "\x81\xa5"
                  "inner"
                  "\xa0"),
           "block.inner: is empty");
    refuse(DECODE("\xa5"
                  "block"
                  "\x81\xa5"
                  "inner"
                  "\xa9"
                  "123456789"),
           "block.inner: has 9 bytes");
    refuse(DECODE("\xa5"
                  "block"
                  "\x81\xa5"
                  "inner"
                  "\xa3"
                  "a\0b"),
           "block.inner: is not UTF-8");
    refuse(DECODE("\xa5"
                  "block"
                  "\x81\xa5"
                  "inner"
                  "\xa1\xff"),
           "block.inner: is not UTF-8");
}

Test(config_table, checks_durations)
{
    cr_assert(DECODE("\xa5"
                     "block"
                     "\x82\xa5"
                     "inner"
                     "\xa1i\xa4"
                     "wait"
                     "\xa2"
                     "0s"),
              "%s", err.msg);
    cr_assert_eq(got.wait_ms, 0);
    config_fini(&table, &got);
    refuse(DECODE("\xa5"
                  "block"
                  "\x82\xa5"
                  "inner"
                  "\xa1i\xa4"
                  "wait"
                  "\xa4"
                  "99ms"),
           "block.wait: 99ms is not in 100...60000ms");
    refuse(DECODE("\xa5"
                  "block"
                  "\x82\xa5"
                  "inner"
                  "\xa1i\xa4"
                  "wait"
                  "\xa2"
                  "15"),
           "block.wait");
    refuse(DECODE("\xa5"
                  "block"
                  "\x82\xa5"
                  "inner"
                  "\xa1i\xa4"
                  "wait"
                  "\xa3"
                  "-1s"),
           "block.wait");
    refuse(DECODE("\xa5"
                  "block"
                  "\x82\xa5"
                  "inner"
                  "\xa1i\xa4"
                  "wait"
                  "\xad"
                  "999999999999h"),
           "block.wait");
}

Test(config_table, requires_required_keys)
{
    err = (struct err){ 0 };
    refuse(config_decode(&table, view_of("\x80", 1), &got, NULL, &err),
           "sample: name: is required");
    refuse(config_decode(&table, view_of("", 0), &got, NULL, &err), "sample: name: is required");
    refuse(DECODE("\xa5"
                  "block"
                  "\x80"),
           "sample: block.inner: is required");
}

Test(config_table, refuses_or_collects_unknown_keys)
{
    refuse(DECODE("\xa3"
                  "nam"
                  "\xc0"),
           "sample: nam: unknown key");
    refuse(DECODE("\xa5"
                  "block"
                  "\x82\xa5"
                  "inner"
                  "\xa1i\xa4"
                  "wiat"
                  "\xc0"),
           "sample: block.wiat: unknown key");
    struct str_list unknown = { 0 };
    const struct view bytes = view_str("\x82\xa4name\xa1n\xa3nam\xa1x");
    cr_assert(config_decode(&table, bytes, &got, &unknown, &err), "%s", err.msg);
    cr_assert_eq(unknown.count, 1);
    cr_assert_str_eq(unknown.items[0], "nam");
    str_list_fini(&unknown);
    config_fini(&table, &got);
}

Test(config_table, refuses_a_key_given_twice)
{
    refuse(decode("\xa4"
                  "list"
                  "\x90\xa4"
                  "list"
                  "\x90",
                  12, 2),
           "sample: list: is given twice");
}

Test(config_table, refuses_what_is_not_a_map)
{
    refuse(config_decode(&table, view_of("\x90", 1), &got, NULL, &err), "sample: is not a map");
    refuse(config_decode(&table, view_of("\x81\x01\x01", 3), &got, NULL, &err), "a key is not a");
    refuse(config_decode(&table, view_of("\x81\xa1", 2), &got, NULL, &err), "sample: msgpack");
}

/* Everything that one row of the real tables can be given wrongly, made from the row. */

static void put_text(struct buf *out, const char *bytes, size_t len)
{
    buf_put_u8(out, 0xdb);
    for (int shift = 24; shift >= 0; shift -= 8)
        buf_put_u8(out, (uint8_t)(len >> shift));
    buf_put(out, view_of(bytes, len));
}

static bool is_repeated(const struct config_table *t, const char *block)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->rows[i].type == CONFIG_BLOCKS && strcmp(t->rows[i].name, block) == 0)
            return true;
    return false;
}

static void refuses(const struct config_table *t, const struct config_row *row, struct view value)
{
    static union {
        struct task_config task;
        struct plugin_config plugin;
    } out;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    for (int level = row->block ? 0 : 1; level < 2; level++) {
        const char *key = level == 0 ? row->block : row->name;
        buf_put_u8(&bytes, 0x81);
        put_text(&bytes, key, strlen(key));
        if (level == 0 && is_repeated(t, key))
            buf_put_u8(&bytes, 0x91);
    }
    buf_put(&bytes, value);
    CLEANUP(str_freep)
    char *front = str_format("%s: %s%s%s: ", t->title, row->block ? row->block : "",
                             row->block ? "." : "", row->name);
    err = (struct err){ 0 };
    cr_assert_not(config_decode(t, buf_view(&bytes), &out, NULL, &err), "%s", front);
    cr_expect_eq(err.kind, ERR_INVALID);
    cr_expect_eq(strncmp(err.msg, front, strlen(front)), 0, "%s, not %s", err.msg, front);
}

static void refuses_text(const struct config_table *t, const struct config_row *row,
                         const char *text)
{
    CLEANUP(buf_fini) struct buf value = { 0 };
    put_text(&value, text, strlen(text));
    refuses(t, row, buf_view(&value));
}

static void refuses_length(const struct config_table *t, const struct config_row *row, int64_t len)
{
    CLEANUP(str_freep) char *text = mem_array((size_t)len + 1, 1);
    memset(text, 'x', (size_t)len);
    refuses_text(t, row, text);
}

static void refuses_items(const struct config_table *t, const struct config_row *row)
{
    CLEANUP(buf_fini) struct buf value = { 0 };
    const size_t count = (size_t)row->max + 1;
    buf_put_u8(&value, 0xdc);
    buf_put_u8(&value, (uint8_t)(count >> 8));
    buf_put_u8(&value, (uint8_t)count);
    for (size_t i = 0; i < count; i++)
        buf_put_str(&value, "\xa1x");
    refuses(t, row, buf_view(&value));
    refuses(t, row, view_str("\x91\x01")); /* [1] */
    refuses(t, row, view_str("\x91\xa1\xff"));
}

static void refuses_outside(const struct config_table *t, const struct config_row *row,
                            const char *unit)
{
    const int64_t outside[] = { row->max + 1, row->min - 1 };
    for (size_t i = 0; i < 2; i++) {
        CLEANUP(str_freep) char *text = str_format("%lld%s", (long long)outside[i], unit);
        if (outside[i] != 0 || !row->zero_ok)
            refuses_text(t, row, text);
    }
    refuses_text(t, row, "99999999999999999999");
    refuses_text(t, row, "5x");
    refuses_text(t, row, "\xff");
}

static void refuses_all(const struct config_table *t, const struct config_row *row)
{
    const bool is_text = row->type == CONFIG_STRING || row->type == CONFIG_DURATION;
    refuses(t, row, row->type == CONFIG_BOOL ? view_str("\xa4true") : view_str("\xc3")); /* true */
    refuses(t, row,
            is_text || row->type == CONFIG_BLOCK ? view_str("\x07") : view_str("\x81\x01\x01"));
    if (row->type == CONFIG_STRING) {
        refuses_length(t, row, row->min - 1);
        refuses_length(t, row, row->max + 1);
        refuses_text(t, row, "\xff");
    } else if (row->type == CONFIG_LIST) {
        refuses_items(t, row);
    } else if (row->type == CONFIG_DURATION) {
        refuses_outside(t, row, "ms");
        refuses_text(t, row, "-1s");
        refuses_text(t, row, "15");
    } else if (row->type == CONFIG_NUMBER) {
        refuses_outside(t, row, "");
        refuses(t, row, view_str("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"));
    }
}

Test(config_table, every_key_of_both_tables_refuses_each_value_that_it_cannot_have)
{
    const struct config_table *const tables[] = { &task_config_table, &plugin_config_table };
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < tables[t]->count; i++)
            refuses_all(tables[t], &tables[t]->rows[i]);
}

Test(config_table, finds_the_first_fixed_key_that_changes_whatever_its_type)
{
    struct config_row all[sizeof(rows) / sizeof(rows[0])];
    const struct config_table fixed = { "sample", all, sizeof(rows) / sizeof(rows[0]) };
    struct sample a = { 0 };
    memcpy(all, rows, sizeof(rows));
    cr_assert(decode("", 0, 0), "%s", err.msg);
    config_copy(&table, &got, &a);
    got.name[0] = 'm';
    cr_assert_null(config_find_change(&table, &a, &got), "none is fixed");
    for (size_t i = 0; i < fixed.count; i++)
        all[i].fixed = true;
    cr_assert_str_eq(config_find_change(&fixed, &a, &got), "name");
    got.name[0] = 'n';
    cr_assert_null(config_find_change(&fixed, &a, &got));
    str_list_add(&got.list, view_str("x"));
    cr_assert_str_eq(config_find_change(&fixed, &a, &got), "list");
    str_list_add(&a.list, view_str("y"));
    cr_assert_str_eq(config_find_change(&fixed, &a, &got), "list");
    str_list_fini(&a.list);
    str_list_fini(&got.list);
    got.count++;
    cr_assert_str_eq(config_find_change(&fixed, &a, &got), "count");
    got.count--;
    got.flag = !got.flag;
    cr_assert_str_eq(config_find_change(&fixed, &a, &got), "flag");
    got.flag = !got.flag;
    got.wait_ms++;
    cr_assert_str_eq(config_find_change(&fixed, &a, &got), "wait");
    got.wait_ms--;
    got.inner = str_copy("i");
    cr_assert_str_eq(config_find_change(&fixed, &a, &got), "inner");
    config_fini(&table, &a);
    config_fini(&table, &got);
}
