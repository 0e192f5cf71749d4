#include "driver/hclspec/encode.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/hcl/read.h"
#include "driver/hclspec/spec.h"
#include "driver/hclspec/vars.h"

#include <criterion/criterion.h>

/* Schemas as protobuf bytes; each call consumes the buffers it is given. */
static struct buf field(unsigned number, struct buf inner)
{
    struct buf out = { 0 };
    buf_put_u8(&out, (uint8_t)(number << 3 | 2));
    if (inner.len >= 128)
        buf_put_u8(&out, (uint8_t)(inner.len & 0x7f) | 0x80);
    buf_put_u8(&out, (uint8_t)(inner.len >= 128 ? inner.len >> 7 : inner.len));
    buf_put(&out, buf_view(&inner));
    buf_fini(&inner);
    return out;
}

static struct buf text(unsigned number, const char *value)
{
    struct buf inner = { 0 };
    buf_put_str(&inner, value);
    return field(number, inner);
}

static struct buf joined(struct buf a, struct buf b)
{
    buf_put(&a, buf_view(&b));
    buf_fini(&b);
    return a;
}

static struct buf number(unsigned field_number, uint8_t value)
{
    struct buf out = { 0 };
    buf_put_u8(&out, (uint8_t)(field_number << 3));
    buf_put_u8(&out, value);
    return out;
}

static struct buf attr(const char *name, const char *type, bool required)
{
    return field(3, joined(joined(text(1, name), text(2, type)), number(3, required)));
}

static struct buf member(const char *key, struct buf spec)
{
    return field(1, joined(text(1, key), field(2, spec)));
}

static struct buf object(struct buf members) { return field(1, members); }

static struct buf nested(void)
{
    return object(
        joined(member("l", attr("l", "string", false)), member("n", attr("n", "number", false))));
}

static struct buf block(unsigned kind, unsigned nested_field, struct buf more)
{
    return object(member(
        "a", field(kind, joined(joined(text(1, "a"), more), field(nested_field, nested())))));
}

static struct buf with_default(struct buf primary, const char *literal)
{
    return field(9, joined(field(1, primary), field(2, field(10, text(1, literal)))));
}

static void encodes(struct buf schema, const char *source, const char *wanted)
{
    CLEANUP(buf_fini) struct buf message = schema;
    CLEANUP(spec_freep) struct spec *spec = NULL;
    CLEANUP(hcl_freep) struct hcl *tree = NULL;
    CLEANUP(buf_fini) struct buf out = { 0 };
    CLEANUP(vars_fini) struct vars vars = { 0 };
    struct err err = { 0 };
    vars_set(&vars, "env", "NOMAD_TASK_DIR", "/t");
    cr_assert(spec_decode(buf_view(&message), &spec, &err), "%s", err.msg);
    cr_assert(hcl_parse("j", view_str(source), &tree, &err), "%s", err.msg);
    if (!config_encode(spec, tree, hcl_root(tree), &vars, &out, &err)) {
        cr_assert_eq(err.kind, ERR_INVALID);
        cr_assert_str_eq(err.msg, wanted);
        return;
    }
    CLEANUP(str_freep) char *hex = mem_array(2 * out.len + 1, 1);
    hex_encode(buf_view(&out), hex);
    cr_assert_str_eq(hex, wanted, "%s gave %s", source, hex);
}

static struct buf one(const char *type) { return object(member("a", attr("a", type, false))); }

Test(encode, attributes_as_nomad_encodes_them)
{
    encodes(object(member("image", attr("image", "string", true))), "image = \"hi\"",
            "81a5696d616765a26869");
    encodes(one("number"), "", "81a161c0");
    encodes(one("number"), "a = 300", "81a161cd012c");
    encodes(object(member("a", with_default(attr("a", "bool", false), "true"))), "", "81a161c3");
    encodes(object(member("a", with_default(attr("a", "bool", false), "true"))), "a = null",
            "81a161c3");
    encodes(object(member("a", with_default(attr("a", "string", false), "\"foo\""))), "",
            "81a161a3666f6f");
    encodes(one("list(string)"), "", "81a161c0");
    encodes(one("list(string)"), "a = []", "81a16190");
    encodes(one("list(string)"), "a = [\"x\", null]", "81a16192a178c0");
    encodes(one("list(map(string))"), "a = [{k=\"v\"},{m=\"n\"}]", "81a1619281a16ba17681a16da16e");
    encodes(one("list(map(string))"), "a = {k=\"v\"}", "81a1619181a16ba176");
    encodes(one("list(map(string))"), "a {\n k = \"v\"\n}",
            "j:1:1: \"a\" is not a block: write a = ...");
    encodes(one("any"), "a = [1, \"x\", true, {k=2}]", "81a1619401a178c39181a16b02");
    encodes(field(1, (struct buf){ 0 }), "", "80");
}

Test(encode, blocks_as_nomad_encodes_them)
{
    const struct buf none = { 0 };
    encodes(block(4, 3, none), "", "81a161c0");
    encodes(block(4, 3, none), "a {\n l = \"x\"\n}", "81a16182a16ca178a16ec0");
    encodes(block(4, 3, none), "a = { l = \"x\" }", "81a16182a16ca178a16ec0");
    encodes(block(6, 4, none), "", "81a16190");
    encodes(block(6, 4, none), "a { l = \"x\" }\na { n = 1 }",
            "81a1619282a16ca178a16ec082a16cc0a16e01");
    encodes(block(6, 4, none), "a = [{ n = 1 }]", "81a1619182a16cc0a16e01");
    encodes(object(member("a", field(5, joined(text(1, "a"), text(2, "string"))))), "", "81a161c0");
    encodes(object(member("a", field(5, joined(text(1, "a"), text(2, "string"))))),
            "a {\n k = \"v\"\n j = \"w\"\n}", "81a16182a16aa177a16ba176");
    encodes(block(8, 3, text(2, "name")), "", "81a16180");
    encodes(block(8, 3, text(2, "name")), "a \"one\" { l = \"x\" }",
            "81a16181a36f6e6582a16ca178a16ec0");
}

Test(encode, values_convert_as_nomad_converts_them)
{
    encodes(one("number"), "a = \"42\"", "81a1612a");
    encodes(one("string"), "a = 5", "81a161a135");
    encodes(one("string"), "a = true", "81a161a474727565");
    encodes(one("bool"), "a = \"true\"", "81a161c3");
    encodes(one("string"), "a = \"${NOMAD_TASK_DIR}/x\"", "81a161a42f742f78");
}

Test(encode, mistakes_have_file_line_and_column)
{
    const struct buf none = { 0 };
    static const char *const bool_one = "j:1:5: \"a\" must be a bool, not a number";
    encodes(one("bool"), "a = 1", bool_one);
    encodes(one("bool"), "a = \"yes\"", "j:1:5: \"a\" must be a bool, not a string");
    encodes(one("number"), "a = \"x\"", "j:1:5: \"a\" must be a number, not a string");
    encodes(one("number"), "a = true", "j:1:5: \"a\" must be a number, not a bool");
    encodes(one("string"), "a = [1]", "j:1:5: \"a\" must be a string, not a list");
    encodes(one("string"), "a = {}", "j:1:5: \"a\" must be a string, not a map");
    encodes(one("list(string)"), "a = \"x\"", "j:1:5: \"a\" must be a list(string), not a string");
    encodes(one("map(string)"), "a = {}", "j:1:5: \"a\" must be a map(string), not a map");
    encodes(one("object({a=string})"), "a = 1",
            "j:1:5: the driver wants a type that is not supported here");
    encodes(one("string"), "b = 1", "j:1:1: unknown key \"b\"; did you mean \"a\"?");
    encodes(one("string"), "bcd {\n}", "j:1:1: unknown key \"bcd\"");
    encodes(one("string"), "a = \"${x}\"",
            "j:1:5: ${x}: unknown reference; for a literal write $${");
    encodes(object(member("a", attr("a", "string", true))), "\n",
            "j:1:1: \"a\" is missing in \"the file\"");
    encodes(block(4, 3, none), "a {\n}\na {\n}",
            "j:3:1: block \"a\" stands here twice, first in line 1");
    encodes(block(4, 3, none), "a \"x\" {\n}", "j:1:1: block \"a\" takes no label");
    encodes(block(4, 3, none), "a = 1", "j:1:1: \"a\" is a block: write a { ... }");
    encodes(block(4, 3, none), "a = [{ l = 1 }]", "j:1:5: \"a\" must be one block");
    encodes(block(4, 3, none), "a {\n k = 1\n}", "j:2:2: unknown key \"k\"; did you mean \"l\"?");
    encodes(block(4, 3, number(2, 1)), "", "j:1:1: \"a\" is missing in \"the file\"");
    encodes(block(6, 4, number(2, 1)), "", "j:1:1: there are 0 blocks \"a\", not 1 to 0");
    encodes(block(6, 4, number(3, 1)), "a {\n}\na {\n}",
            "j:1:1: there are 2 blocks \"a\", not 0 to 1");
    encodes(block(6, 4, none), "a = [1]", "j:1:6: \"a\" must be a block");
    encodes(block(8, 3, text(2, "name")), "a {\n}", "j:1:1: block \"a\" takes one label");
    encodes(block(8, 3, text(2, "name")), "a \"x\" {\n}\na \"x\" {\n}",
            "j:3:1: block \"a\" has this label twice, first in line 1");
    encodes(object(member("a", field(5, joined(text(1, "a"), text(2, "string"))))),
            "a {\n b {\n }\n}", "j:2:2: \"a\" holds keys and values, not blocks");
}

Test(encode, a_schema_that_is_not_an_object_is_refused)
{
    encodes(attr("a", "string", false), "a = 1",
            "encode config: the driver's schema is not an object");
}

Test(encode, key_paths_lead_to_their_nodes)
{
    CLEANUP(hcl_freep) struct hcl *tree = NULL;
    struct err err = { 0 };
    cr_assert(hcl_parse("j", view_str("state {\n  interval = \"1\"\n}\n"), &tree, &err));
    cr_assert_eq(config_node_at(hcl_root(tree), "state.interval")->at.line, 2);
    cr_assert_eq(config_node_at(hcl_root(tree), "state")->kind, HCL_BLOCK);
    cr_assert_null(config_node_at(hcl_root(tree), "state.ttl"));
    cr_assert_null(config_node_at(NULL, "state"));
}
