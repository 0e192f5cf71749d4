#include "common/hcl/read.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

static struct hcl *parsed(const char *text)
{
    struct hcl *tree = NULL;
    struct err err = { 0 };
    cr_assert(hcl_parse("t.hcl", view_str(text), &tree, &err), "%s", err.msg);
    return tree;
}

static const struct hcl_rule rules[] = {
    { .name = "ttl" },
    { .name = "margin", .is_required = true },
    { .name = "store", .is_block = true, .labels = 1, .is_repeatable = true },
    { .name = "api", .is_block = true },
    { 0 },
};

static void check_says(const char *text, const char *message)
{
    CLEANUP(hcl_freep) struct hcl *tree = parsed(text);
    struct err err = { 0 };
    cr_assert_not(hcl_check(tree, hcl_root(tree), rules, &err), "accepted: %s", text);
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_str_eq(err.msg, message);
}

Test(read, a_body_is_checked_against_its_rules)
{
    CLEANUP(hcl_freep)
    struct hcl *tree = parsed("margin = 1\nstore \"a\" {\n}\nstore \"b\" {\n}\napi {\n}\n");
    struct err err = { 0 };
    cr_assert(hcl_check(tree, hcl_root(tree), rules, &err), "%s", err.msg);
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "margin = 1\nttll = 2", "t.hcl:2:1: unknown key \"ttll\"; did you mean \"ttl\"?" },
        { "margin = 1\nmargn = 2", "t.hcl:2:1: unknown key \"margn\"; did you mean \"margin\"?" },
        { "  zzz {\n}", "t.hcl:1:3: unknown block \"zzz\"" },
        { "margin = 1\napi = 2", "t.hcl:2:1: \"api\" is a block: write api { ... } without =" },
        { "margin {\n}", "t.hcl:1:1: \"margin\" is not a block: write margin = ..." },
        { "store {\n}", "t.hcl:1:1: block \"store\" takes 1 label, not 0" },
        { "api \"x\" {\n}", "t.hcl:1:1: block \"api\" takes 0 labels, not 1" },
        { "api {\n}\napi {\n}", "t.hcl:3:1: block \"api\" stands here twice, first in line 1" },
        { "ttl = 1", "t.hcl:1:1: key \"margin\" is missing" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        check_says(rows[i].text, rows[i].message);
}

Test(read, a_missing_key_names_its_block)
{
    CLEANUP(hcl_freep) struct hcl *tree = parsed("\n  lease {\n}\n");
    struct err err = { 0 };
    cr_assert_not(hcl_check(tree, hcl_root(tree)->first, rules, &err));
    cr_assert_str_eq(err.msg, "t.hcl:2:3: key \"margin\" is missing in lease");
}

Test(read, suggestions_are_near_words_only)
{
    cr_assert_str_eq(hcl_suggest("mragin", rules), "margin");
    cr_assert_str_eq(hcl_suggest("stores", rules), "store");
    cr_assert_str_eq(hcl_suggest("tll", rules), "ttl");
    cr_assert_null(hcl_suggest("x", rules));
    cr_assert_null(hcl_suggest("completely_else", rules));
    char word[200];
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    cr_assert_null(hcl_suggest(word, rules));
}

Test(read, blocks_are_found_by_name_in_order)
{
    CLEANUP(hcl_freep) struct hcl *tree = parsed("s = 1\ns \"a\" {\n}\nother {\n}\ns \"b\" {\n}\n");
    const struct hcl_node *s = hcl_block(hcl_root(tree), "s");
    cr_assert_str_eq(s->labels[0], "a");
    s = hcl_block_next(s);
    cr_assert_str_eq(s->labels[0], "b");
    cr_assert_null(hcl_block_next(s));
    cr_assert_null(hcl_block(hcl_root(tree), "none"));
    cr_assert_eq(hcl_attr(hcl_root(tree), "s")->kind, HCL_NUMBER);
    cr_assert_null(hcl_attr(hcl_root(tree), "other"));
}

static const struct hcl_node *value_of(const struct hcl *tree)
{
    return hcl_attr(hcl_root(tree), "v");
}

Test(read, values_of_the_right_type_are_read)
{
    CLEANUP(hcl_freep)
    struct hcl *tree = parsed("v = \"1h30m\"\ni = -5\ns = \"7\"\n"
                              "l = [\"x\"]\nz = \"0s\"\n");
    const struct hcl_node *root = hcl_root(tree);
    struct err err = { 0 };
    const char *text;
    int64_t number;
    cr_assert(hcl_read_text(tree, value_of(tree), &text, &err));
    cr_assert_str_eq(text, "1h30m");
    cr_assert(hcl_read_ms(tree, value_of(tree), 0, INT64_MAX, &number, &err));
    cr_assert_eq(number, 5400000);
    cr_assert(hcl_read_ms(tree, hcl_attr(root, "z"), 0, 10, &number, &err));
    cr_assert_eq(number, 0);
    cr_assert(hcl_read_int(tree, hcl_attr(root, "i"), -5, 5, &number, &err));
    cr_assert_eq(number, -5);
    cr_assert(hcl_read_int(tree, hcl_attr(root, "s"), 0, 7, &number, &err));
    cr_assert_eq(number, 7);
    cr_assert(hcl_check_texts(tree, hcl_attr(root, "l"), &err));
}

static bool read_as(char type, const struct hcl *tree, struct err *err)
{
    const struct hcl_node *value = value_of(tree);
    const char *text;
    int64_t number;
    switch (type) {
    case 't':
        return hcl_read_text(tree, value, &text, err);
    case 'i':
        return hcl_read_int(tree, value, 1, 9, &number, err);
    case 'm':
        return hcl_read_ms(tree, value, 1000, 3600000, &number, err);
    case 'l':
        return hcl_check_texts(tree, value, err);
    }
    return false;
}

Test(read, wrong_values_are_named_but_never_repeated)
{
    static const struct {
        char type;
        const char *text, *message;
    } rows[] = {
        { 't', "v = 42", "t.hcl:1:5: \"v\" must be a quoted string, not a number" },
        { 't', "v = \"${x}\"",
          "t.hcl:1:5: \"v\" holds a ${...} template, which has no meaning here (write $${)" },
        { 'i', "v = \"secret\"", "t.hcl:1:5: \"v\" must be an integer from 1 to 9" },
        { 'i', "v = 10", "t.hcl:1:5: \"v\" must be an integer from 1 to 9" },
        { 'i', "v = true", "t.hcl:1:5: \"v\" must be an integer, not a bool" },
        { 'm', "v = 15",
          "t.hcl:1:5: \"v\" must be a quoted duration such as \"15s\", not a number" },
        { 'm', "v = \"15\"", "t.hcl:1:5: \"v\" must be a duration with its unit: ms, s, m, h, d" },
        { 'm', "v = \"1ms\"", "t.hcl:1:5: \"v\" must be from 1s to 1h" },
        { 'l', "v = \"x\"", "t.hcl:1:5: \"v\" must be a list of strings, not a string" },
        { 'l', "v = [\"x\", 1]", "t.hcl:1:11: \"v\" must hold quoted strings, not a number" },
        { 'l', "v = [\"${x}\"]",
          "t.hcl:1:6: \"v\" holds a ${...} template, which has no meaning here (write $${)" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(hcl_freep) struct hcl *tree = parsed(rows[i].text);
        struct err err = { 0 };
        cr_assert_not(read_as(rows[i].type, tree, &err), "%s", rows[i].text);
        cr_assert_str_eq(err.msg, rows[i].message);
    }
}
