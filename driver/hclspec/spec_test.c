#include "driver/hclspec/spec.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

/* Protobuf: a length-delimited field around `inner`. */
static struct view field(struct buf *out, unsigned number, struct view inner)
{
    buf_put_u8(out, (uint8_t)(number << 3 | 2));
    cr_assert_lt(inner.len, 128);
    buf_put_u8(out, (uint8_t)inner.len);
    buf_put(out, inner);
    return buf_view(out);
}

static void refused(struct view message, const char *reason)
{
    struct spec *spec = NULL;
    struct err err = { 0 };
    cr_assert_not(spec_decode(message, &spec, &err));
    cr_assert_null(spec);
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, reason), "%s", err.msg);
}

Test(spec, an_object_gives_its_members_their_names_sorted)
{
    /* {"nice": Default{Attr{"nice","number"}, Literal{"0"}}, "command": Attr{"string",required}} */
    struct buf members = { 0 }, entry = { 0 }, object = { 0 };
    field(&entry, 1, view_str("nice"));
    struct buf attr = { 0 }, attr_spec = { 0 }, literal = { 0 }, literal_spec = { 0 };
    field(&attr, 1, view_str("nice"));
    field(&attr, 2, view_str("number"));
    field(&attr_spec, 3, buf_view(&attr));
    field(&literal, 1, view_str("0"));
    field(&literal_spec, 10, buf_view(&literal));
    struct buf both = { 0 }, both_spec = { 0 };
    field(&both, 1, buf_view(&attr_spec));
    field(&both, 2, buf_view(&literal_spec));
    field(&both_spec, 9, buf_view(&both));
    field(&entry, 2, buf_view(&both_spec));
    field(&members, 1, buf_view(&entry));
    entry.len = attr.len = attr_spec.len = 0;
    field(&attr, 2, view_str("string"));
    buf_put(&attr, view_of("\x18\x01", 2));
    field(&attr_spec, 3, buf_view(&attr));
    field(&entry, 1, view_str("command"));
    field(&entry, 2, buf_view(&attr_spec));
    field(&members, 1, buf_view(&entry));
    field(&object, 1, buf_view(&members));

    CLEANUP(spec_freep) struct spec *spec = NULL;
    struct err err = { 0 };
    cr_assert(spec_decode(buf_view(&object), &spec, &err), "%s", err.msg);
    cr_assert_eq(spec->kind, SPEC_OBJECT);
    cr_assert_eq(spec->child_count, 2);
    cr_assert_str_eq(spec->children[0]->key, "command");
    cr_assert_str_eq(spec->children[0]->name, "command");
    cr_assert(spec->children[0]->is_required);
    cr_assert_eq(spec->children[1]->kind, SPEC_DEFAULT);
    cr_assert_str_eq(spec->children[1]->children[0]->type, "number");
    cr_assert_str_eq(spec->children[1]->children[1]->text, "0");
    struct buf *const all[] = { &members, &entry,        &object, &attr,     &attr_spec,
                                &literal, &literal_spec, &both,   &both_spec };
    for (size_t i = 0; i < COUNT(all); i++)
        buf_fini(all[i]);
}

Test(spec, an_empty_object_is_valid)
{
    CLEANUP(spec_freep) struct spec *spec = NULL;
    struct err err = { 0 };
    cr_assert(spec_decode(view_of("\x0a\x00", 2), &spec, &err));
    cr_assert_eq(spec->child_count, 0);
    spec_free(NULL);
}

Test(spec, broken_messages_say_what_is_broken)
{
    static const struct {
        const char *bytes;
        size_t len;
        const char *reason;
    } rows[] = {
        { "", 0, "a schema has no kind" },
        { "\x0a", 1, "longer than the message" },
        { "\x0a\x05", 2, "longer than the message" },
        { "\x80", 1, "a field is cut" },
        { "\x08\x80", 2, "a number is cut" },
        { "\x0d\x01", 2, "unknown wire type" },
        { "\x62\x00", 2, "an unknown kind" },
        { "\x0a\x00\x0a\x00", 4, "two kinds" },
        { "\x1a\x00", 2, "lacks its name" },
        { "\x1a\x03\x0a\x01k", 5, "lacks its type" },
        { "\x1a\x03\x0a\x01\xff", 5, "not text" },
        { "\x22\x03\x0a\x01k", 5, "lacks its nested schema" },
        { "\x42\x09\x0a\x01k\x1a\x04\x0a\x02\x0a\x00", 11, "lacks its key or schema" },
        { "\x42\x07\x0a\x01k\x1a\x02\x0a\x00", 9, "lacks its labels" },
        { "\x4a\x00", 2, "lacks one of its two sides" },
        { "\x52\x00", 2, "a literal is empty" },
        { "\x0a\x02\x0a\x00", 4, "lacks its key or schema" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        refused(view_of(rows[i].bytes, rows[i].len), rows[i].reason);
}

Test(spec, nesting_and_size_are_bounded)
{
    CLEANUP(buf_fini) struct buf inner = { 0 };
    field(&inner, 1, view_of("", 0));
    for (int i = 0; i < 20; i++) { /* an array of one array of one ... */
        struct buf child = { 0 }, array = { 0 };
        field(&child, 1, buf_view(&inner));
        field(&array, 2, buf_view(&child));
        buf_fini(&inner);
        buf_fini(&child);
        inner = array;
    }
    refused(buf_view(&inner), "nested too deep");

    CLEANUP(buf_fini) struct buf wide = { 0 };
    for (int i = 0; i < 1100; i++)
        buf_put(&wide, view_of("\x0a\x02\x0a\x00", 4));
    CLEANUP(buf_fini) struct buf array = { 0 };
    buf_put(&array, view_of("\x12\xb0\x22", 3));
    buf_put(&array, buf_view(&wide));
    refused(buf_view(&array), "too many keys");
}

Test(spec, each_kind_has_a_name)
{
    cr_assert_str_eq(spec_kind_name(SPEC_BLOCK_LIST), "BLOCK_LIST");
    cr_assert_str_eq(spec_kind_name(SPEC_NONE), "NONE");
}
