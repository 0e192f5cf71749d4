#include "common/hcl/hcl.h"
#include "common/hcl/read.h"

#include "common/base/own.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct hcl *parsed(const char *text)
{
    struct hcl *tree = NULL;
    struct err err = { 0 };
    cr_assert(hcl_parse("t.hcl", view_str(text), &tree, &err), "%s", err.msg);
    return tree;
}

static void refused(const char *text, const char *message)
{
    struct hcl *tree = NULL;
    struct err err = { 0 };
    cr_assert_not(hcl_parse("t.hcl", view_str(text), &tree, &err), "accepted: %s", text);
    cr_assert_null(tree);
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_str_eq(err.msg, message);
}

static const char job[] = "# a job\n"
                          "job \"agents\" {\n"
                          "  type = \"service\" // kept\n"
                          "  /* two\n"
                          "     lines */\n"
                          "  group \"g\" { }\n"
                          "  task planner \"x\" {\n"
                          "    args = [\"a\", \"b\",\n"
                          "      \"c\", ]\n"
                          "    env { A = \"x\" }\n"
                          "    map = { k = 1, \"q r\" : -2.5e3\n"
                          "      n = null }\n"
                          "    on = true\n"
                          "  }\n"
                          "}\n";

Test(hcl, blocks_have_labels_and_children_in_the_order_of_the_text)
{
    CLEANUP(hcl_freep) struct hcl *tree = parsed(job);
    const struct hcl_node *j = hcl_block(hcl_root(tree), "job");
    cr_assert_eq(j->label_count, 1);
    cr_assert_str_eq(j->labels[0], "agents");
    cr_assert_eq(j->child_count, 3);
    const struct hcl_node *task = hcl_block(j, "task");
    cr_assert_eq(task->label_count, 2);
    cr_assert_str_eq(task->labels[0], "planner");
    cr_assert_str_eq(task->labels[1], "x");
    cr_assert_str_eq(task->first->key, "args");
    cr_assert_str_eq(task->first->next->key, "env");
}

Test(hcl, every_literal_kind_is_read)
{
    CLEANUP(hcl_freep) struct hcl *tree = parsed(job);
    const struct hcl_node *task = hcl_block(hcl_block(hcl_root(tree), "job"), "task");
    const struct hcl_node *args = hcl_attr(task, "args");
    cr_assert_eq(args->kind, HCL_LIST);
    cr_assert_eq(args->child_count, 3);
    cr_assert_null(args->first->key);
    const struct hcl_node *map = hcl_attr(task, "map");
    cr_assert_eq(map->kind, HCL_MAP);
    cr_assert_str_eq(hcl_attr(map, "q r")->text, "-2.5e3");
    cr_assert_eq(hcl_attr(map, "n")->kind, HCL_NULL);
    cr_assert(hcl_attr(task, "on")->is_true);
}

Test(hcl, every_node_knows_its_line_and_column)
{
    CLEANUP(hcl_freep) struct hcl *tree = parsed(job);
    const struct hcl_node *task = hcl_block(hcl_block(hcl_root(tree), "job"), "task");
    cr_assert_eq(task->at.line, 7);
    cr_assert_eq(task->at.col, 3);
    const struct hcl_node *args = hcl_attr(task, "args");
    cr_assert_eq(args->key_at.line, 8);
    cr_assert_eq(args->key_at.col, 5);
    cr_assert_eq(args->at.col, 12);
    const struct hcl_node *c = args->first->next->next;
    cr_assert_eq(c->at.line, 9);
    cr_assert_eq(c->at.col, 7);
}

Test(hcl, an_empty_text_is_an_empty_tree)
{
    CLEANUP(hcl_freep) struct hcl *tree = parsed("");
    cr_assert_eq(hcl_root(tree)->child_count, 0);
    struct hcl *none = NULL;
    struct err err = { 0 };
    cr_assert(hcl_parse("t.hcl", view_of(NULL, 0), &none, &err));
    hcl_free(none);
    hcl_free(NULL);
}

static void text_is(const char *text, const char *value, bool has_template)
{
    CLEANUP(hcl_freep) struct hcl *tree = parsed(text);
    const struct hcl_node *a = hcl_attr(hcl_root(tree), "a");
    cr_assert_eq(a->kind, HCL_STRING);
    cr_assert_str_eq(a->text, value);
    cr_assert_eq(a->has_template, has_template);
}

Test(hcl, escapes_are_undone)
{
    text_is("a = \"n\\n r\\r t\\t q\\\" b\\\\\"", "n\n r\r t\t q\" b\\", false);
    text_is("a = \"\\u00e9 \\u20ac \\U0001f600\"", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", false);
    text_is("a = \"price $${x} 100%%{ $ % $5\"", "price ${x} 100%{ $ % $5", false);
}

Test(hcl, templates_stay_text)
{
    text_is("a = \"${NOMAD_TASK_DIR}/x\\ty\"", "${NOMAD_TASK_DIR}/x\ty", true);
    text_is("a = \"${env[\"HO}ME\"]}\"", "${env[\"HO}ME\"]}", true);
    text_is("a = \"${m[\"a${b[\"c\"]}\"]} $${d}\"", "${m[\"a${b[\"c\"]}\"]} $${d}", true);
    text_is("a = \"%{ if x }y%{ endif }\"", "%{ if x }y%{ endif }", true);
}

Test(hcl, heredocs_keep_lines_and_backslashes)
{
    text_is("a = <<EOT\n  one\\n\n\ttwo \"q\"\nEOT\n", "  one\\n\n\ttwo \"q\"\n", false);
    text_is("a = <<eot\neot", "", false);
    text_is("a = <<EOT\n  ${x}\n  EOT\n", "  ${x}\n", true);
}

Test(hcl, dedented_heredocs_lose_the_shared_indent_only)
{
    text_is("a = <<-EOT\n    one\n      two\n \n    three\n  EOT\n", "one\n  two\n \nthree\n",
            false);
    text_is("a = <<-EOT\n\tx\n\tEOT\r\n", "x\n", false);
}

Test(hcl, heredocs_stand_in_lists)
{
    CLEANUP(hcl_freep) struct hcl *tree = parsed("a = [<<X\none\nX\n, \"two\"]\n");
    cr_assert_str_eq(hcl_attr(hcl_root(tree), "a")->first->text, "one\n");
}

Test(hcl, carriage_returns_before_line_ends_are_blank)
{
    CLEANUP(hcl_freep) struct hcl *tree = parsed("a = 1\r\nb {\r\n c = 2\r\n}\r\n");
    cr_assert_str_eq(hcl_attr(hcl_block(hcl_root(tree), "b"), "c")->text, "2");
    refused("a = 1\rb = 2\n", "t.hcl:1:6: a line end must stand here");
}

Test(hcl, mistakes_are_named_with_their_place)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "a = 1\nb = = 3\n", "t.hcl:2:5: a value must stand here" },
        { "a = 1\na = 2\n", "t.hcl:2:1: \"a\" is set twice, first in line 1" },
        { "m = { k = 1, k = 2 }\n", "t.hcl:1:14: \"k\" is set twice, first in line 1" },
        { "a = <<EOT\nx\n", "t.hcl:1:5: heredoc is never closed by a line with its marker" },
        { "a = << EOT\nx\nEOT\n", "t.hcl:1:5: heredoc needs a marker and a line end after <<" },
        { "a = \"x\n\"", "t.hcl:1:5: string is not closed on its line" },
        { "a = \"${x\"\n", "t.hcl:1:5: string is not closed on its line" },
        { "x \"y\" {\n", "t.hcl:1:1: block \"x\" is never closed" },
        { "a = 1\n}\n", "t.hcl:2:1: an attribute or a block must start here with its name" },
        { "/* x\n", "t.hcl:1:1: comment is never closed" },
        { "a = [1, 2", "t.hcl:1:5: list is never closed" },
        { "a = [1 2]", "t.hcl:1:8: a comma or ] must follow a list item" },
        { "a = { b = 1", "t.hcl:1:5: map is never closed" },
        { "a = { b = 1 c = 2 }", "t.hcl:1:13: a comma, a line end or } must follow a map entry" },
        { "a = { b 1 }", "t.hcl:1:9: = or : must follow a map key" },
        { "a = { 1 = 1 }", "t.hcl:1:7: a map key must be a name or a quoted string" },
        { "a = { \"${x}\" = 1 }", "t.hcl:1:7: a key cannot hold a template" },
        { "a \"${x}\" {\n}\n", "t.hcl:1:3: a label cannot hold a template" },
        { "a b c d e {\n}\n", "t.hcl:1:9: a block has at most 3 labels" },
        { "a\n", "t.hcl:1:2: = or { must follow \"a\"" },
        { "ttl = 15s\n", "t.hcl:1:7: not a number (durations and sizes are quoted: \"15s\")" },
        { "a = 1.\n", "t.hcl:1:5: not a number (durations and sizes are quoted: \"15s\")" },
        { "a = 1e\n", "t.hcl:1:5: not a number (durations and sizes are quoted: \"15s\")" },
        { "a = -\n", "t.hcl:1:5: not a number (durations and sizes are quoted: \"15s\")" },
        { "a = var.x\n", "t.hcl:1:5: expressions are not supported, strings are quoted" },
        { "a = 1 + 2\n", "t.hcl:1:7: a line end must stand here" },
        { "a = 1 b = 2\n", "t.hcl:1:7: a line end must stand here" },
        { "e { a = 1 b = 2 }\n",
          "t.hcl:1:11: a block of one line holds one attribute; else { ends its line" },
        { "e { f {\n } }\n", "t.hcl:1:5: a block inside a block must stand on its own line" },
        { "e {\n a = 1 }\n", "t.hcl:2:8: a line end must stand here" },
        { "a = \"\\x\"\n", "t.hcl:1:6: unknown escape (known: \\n \\r \\t \\\" \\\\ \\u \\U)" },
        { "a = \"b\\u12g4\"\n", "t.hcl:1:7: \\u needs four hex digits" },
        { "a = \"\\U0011\"\n", "t.hcl:1:6: \\U needs eight hex digits" },
        { "a = \"\\ud800\"\n", "t.hcl:1:6: escape is not a character" },
        { "a = \"\\u0000\"\n", "t.hcl:1:6: escape is not a character" },
        { "a = \"\\u0024{x} ${y}\"\n", "t.hcl:1:6: write $${ or %%{ instead of this escape" },
        { "a = 1\n\xc3\xa9 \xff\n", "t.hcl:2:4: a byte that is not UTF-8 text" },
        { "\xc3", "t.hcl:1:1: a byte that is not UTF-8 text" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        refused(rows[i].text, rows[i].message);
}

Test(hcl, limits_are_errors_with_their_place)
{
    CLEANUP(buf_fini) struct buf deep = { 0 };
    buf_put_str(&deep, "a = ");
    for (int i = 0; i < 40; i++)
        buf_put_str(&deep, "[");
    refused(buf_borrow_str(&deep), "t.hcl:1:37: nested more than 32 deep");

    CLEANUP(buf_fini) struct buf braces = { 0 };
    buf_put_str(&braces, "a = \"${");
    for (int i = 0; i < 40; i++)
        buf_put_str(&braces, "{");
    refused(buf_borrow_str(&braces), "t.hcl:1:5: template is nested more than 32 deep");

    CLEANUP(buf_fini) struct buf wide = { 0 };
    for (int i = 0; i < 1100; i++)
        buf_put_fmt(&wide, "k%d = 1\n", i);
    refused(buf_borrow_str(&wide), "t.hcl:1025:1: more than 1024 keys in one place");

    CLEANUP(buf_fini) struct buf many = { 0 };
    buf_put_str(&many, "a = [\n");
    for (int i = 0; i < 70000; i++)
        buf_put_str(&many, "1,");
    refused(buf_borrow_str(&many), "t.hcl:2:131071: more than 65536 values and blocks");

    CLEANUP(buf_fini) struct buf digits = { 0 };
    buf_put_str(&digits, "a = ");
    for (int i = 0; i < 65; i++)
        buf_put_str(&digits, "1");
    refused(buf_borrow_str(&digits), "t.hcl:1:5: number has more than 64 characters");

    CLEANUP(buf_fini) struct buf large = { 0 };
    memset(buf_reserve(&large, HCL_BYTES_MAX + 1), ' ', HCL_BYTES_MAX + 1);
    large.len = HCL_BYTES_MAX + 1;
    refused(buf_borrow_str(&large), "t.hcl:1:1: text is longer than 1048576 bytes");
}

Test(hcl, a_long_file_name_keeps_its_end)
{
    char name[300];
    memset(name, 'd', sizeof name);
    (void)snprintf(name + 280, 20, "/job.hcl");
    struct hcl *tree = NULL;
    struct err err = { 0 };
    cr_assert_not(hcl_parse(name, view_str("a"), &tree, &err));
    cr_assert(strncmp(err.msg, "...dd", 5) == 0);
    cr_assert_not_null(strstr(err.msg, "/job.hcl:1:2: "));
}

/* Whatever the text, a failure says `t.hcl:LINE:COL: ` with a place inside the text. */
static void parses_or_says_where(const char *text, size_t len, unsigned lines)
{
    struct hcl *tree = NULL;
    struct err err = { 0 };
    if (hcl_parse("t.hcl", view_of(text, len), &tree, &err)) {
        hcl_free(tree);
        return;
    }
    unsigned line = 0, col = 0;
    cr_assert_eq(sscanf(err.msg, "t.hcl:%u:%u: ", &line, &col), 2, "%s", err.msg);
    cr_assert(line >= 1 && line <= lines && col >= 1 && col <= len + 1, "%s", err.msg);
}

Test(hcl, every_mutation_of_a_job_parses_or_names_line_and_column)
{
    static const char bytes[] = "\"{}[]=\n#$\\<-,:aA0\xff\x01";
    char copy[sizeof job];
    for (size_t i = 0; i + 1 < sizeof job; i++) {
        parses_or_says_where(job, i, 16);
        for (size_t b = 0; b < sizeof bytes; b++) {
            memcpy(copy, job, sizeof job);
            copy[i] = bytes[b];
            parses_or_says_where(copy, sizeof job - 1, 18);
        }
        memcpy(copy, job, sizeof job);
        memmove(copy + i, copy + i + 1, sizeof job - i - 1);
        parses_or_says_where(copy, sizeof job - 2, 18);
    }
}

Test(hcl, each_kind_has_a_name)
{
    for (enum hcl_kind k = HCL_STRING; k <= HCL_BLOCK; k++)
        cr_assert_not_null(hcl_kind_name(k));
}
