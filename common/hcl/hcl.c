#include "common/hcl/hcl.h"

#include "common/base/own.h"
#include "common/hcl/arena.h"
#include "common/hcl/scan.h"

#include <stdarg.h>
#include <stdio.h>

#define NAME_BYTES_MAX 80 /* of the file's name in a message: its end says more than its start */

struct hcl {
    struct hcl_arena arena;
    const char *name;
    struct hcl_node *root;
};

struct parser {
    struct hcl_scan scan;
    unsigned nodes;
};

/* A list of children under construction. */
struct chain {
    struct hcl_node *parent, *last;
};

static bool body_parse(struct parser *p, struct hcl_node *block, unsigned depth);
static bool value_parse(struct parser *p, struct hcl_node *value, unsigned depth);

static bool node_add(struct parser *p, struct chain *chain, struct hcl_node **out)
{
    const struct hcl_pos at = hcl_scan_pos(&p->scan);
    if (++p->nodes > HCL_NODES_MAX)
        return hcl_scan_fail(&p->scan, at, "more than %u values and blocks", HCL_NODES_MAX);
    struct hcl_node *node = hcl_arena_take(p->scan.arena, sizeof *node);
    node->at = node->key_at = at;
    if (chain->last)
        chain->last->next = node;
    else
        chain->parent->first = node;
    chain->last = node;
    chain->parent->child_count++;
    *out = node;
    return true;
}

/* A key must be the first of its name among attributes and map entries. */
static bool key_check(struct parser *p, const struct hcl_node *parent, const struct hcl_node *node)
{
    if (parent->child_count > HCL_KEYS_MAX)
        return hcl_scan_fail(&p->scan, node->key_at, "more than %u keys in one place",
                             HCL_KEYS_MAX);
    if (node->kind == HCL_BLOCK)
        return true;
    for (const struct hcl_node *n = parent->first; n != node; n = n->next)
        if (n->kind != HCL_BLOCK && strcmp(n->key, node->key) == 0)
            return hcl_scan_fail(&p->scan, node->key_at, "\"%.60s\" is set twice, first in line %u",
                                 node->key, n->key_at.line);
    return true;
}

static bool depth_check(struct parser *p, unsigned depth)
{
    if (depth <= HCL_DEPTH_MAX)
        return true;
    return hcl_scan_fail(&p->scan, hcl_scan_pos(&p->scan), "nested more than %u deep",
                         HCL_DEPTH_MAX);
}

static bool list_parse(struct parser *p, struct hcl_node *list, unsigned depth)
{
    struct hcl_scan *s = &p->scan;
    struct chain items = { list, NULL };
    hcl_scan_skip(s);
    for (;;) {
        if (!hcl_scan_blank(s, true))
            return false;
        if (hcl_scan_peek(s) == ']')
            break;
        struct hcl_node *item;
        if (hcl_scan_peek(s) < 0)
            return hcl_scan_fail(s, list->at, "list is never closed");
        if (!node_add(p, &items, &item) || !value_parse(p, item, depth) || !hcl_scan_blank(s, true))
            return false;
        if (hcl_scan_peek(s) == ',')
            hcl_scan_skip(s);
        else if (hcl_scan_peek(s) >= 0 && hcl_scan_peek(s) != ']')
            return hcl_scan_fail(s, hcl_scan_pos(s), "a comma or ] must follow a list item");
    }
    hcl_scan_skip(s);
    return true;
}

/* The key, the sign and the value of one map entry. */
static bool entry_parse(struct parser *p, struct hcl_node *entry, unsigned depth)
{
    struct hcl_scan *s = &p->scan;
    if (hcl_scan_peek(s) == '"') {
        bool has_template;
        if (!hcl_scan_quoted(s, &entry->key, &has_template))
            return false;
        if (has_template)
            return hcl_scan_fail(s, entry->key_at, "a key cannot hold a template");
    } else {
        entry->key = hcl_scan_name(s);
    }
    if (!entry->key)
        return hcl_scan_fail(s, entry->key_at, "a map key must be a name or a quoted string");
    if (!hcl_scan_blank(s, false))
        return false;
    if (hcl_scan_peek(s) != '=' && hcl_scan_peek(s) != ':')
        return hcl_scan_fail(s, hcl_scan_pos(s), "= or : must follow a map key");
    hcl_scan_skip(s);
    return hcl_scan_blank(s, false) && value_parse(p, entry, depth);
}

static bool map_parse(struct parser *p, struct hcl_node *map, unsigned depth)
{
    struct hcl_scan *s = &p->scan;
    struct chain entries = { map, NULL };
    hcl_scan_skip(s);
    for (;;) {
        if (!hcl_scan_blank(s, true))
            return false;
        if (hcl_scan_peek(s) == '}')
            break;
        struct hcl_node *entry;
        if (hcl_scan_peek(s) < 0)
            return hcl_scan_fail(s, map->at, "map is never closed");
        if (!node_add(p, &entries, &entry) || !entry_parse(p, entry, depth) ||
            !key_check(p, map, entry) || !hcl_scan_blank(s, false))
            return false;
        const int c = hcl_scan_peek(s);
        if (c == ',')
            hcl_scan_skip(s);
        else if (c >= 0 && c != '}' && c != '\n')
            return hcl_scan_fail(s, hcl_scan_pos(s),
                                 "a comma, a line end or } must follow a map entry");
    }
    hcl_scan_skip(s);
    return true;
}

static bool word_parse(struct parser *p, struct hcl_node *value)
{
    static const struct {
        const char *word;
        enum hcl_kind kind;
        bool is_true;
    } words[] = { { "true", HCL_BOOL, true },
                  { "false", HCL_BOOL, false },
                  { "null", HCL_NULL, false } };
    const char *word = hcl_scan_name(&p->scan);
    if (!word)
        return hcl_scan_fail(&p->scan, value->at, "a value must stand here");
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(word, words[i].word) == 0) {
            value->kind = words[i].kind;
            value->is_true = words[i].is_true;
            return true;
        }
    return hcl_scan_fail(&p->scan, value->at, "expressions are not supported, strings are quoted");
}

static bool value_parse(struct parser *p, struct hcl_node *value, unsigned depth)
{
    struct hcl_scan *s = &p->scan;
    const int c = hcl_scan_peek(s);
    value->at = hcl_scan_pos(s);
    if (c == '"') {
        value->kind = HCL_STRING;
        return hcl_scan_quoted(s, &value->text, &value->has_template);
    }
    if (c == '<' && s->end - s->at > 1 && s->at[1] == '<') {
        value->kind = HCL_STRING;
        return hcl_scan_heredoc(s, &value->text, &value->has_template);
    }
    if (c == '[' || c == '{') {
        value->kind = c == '[' ? HCL_LIST : HCL_MAP;
        return depth_check(p, depth + 1) &&
               (c == '[' ? list_parse(p, value, depth + 1) : map_parse(p, value, depth + 1));
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        value->kind = HCL_NUMBER;
        return hcl_scan_number(s, &value->text);
    }
    return word_parse(p, value);
}

static bool label_parse(struct parser *p, struct hcl_node *block)
{
    struct hcl_scan *s = &p->scan;
    const struct hcl_pos at = hcl_scan_pos(s);
    bool has_template = false;
    if (block->label_count == HCL_LABELS_MAX)
        return hcl_scan_fail(s, at, "a block has at most %u labels", HCL_LABELS_MAX);
    const char **label = &block->labels[block->label_count++];
    if (hcl_scan_peek(s) == '"' && !hcl_scan_quoted(s, label, &has_template))
        return false;
    if (has_template)
        return hcl_scan_fail(s, at, "a label cannot hold a template");
    if (!*label && !(*label = hcl_scan_name(s)))
        return hcl_scan_fail(s, at, "= or { must follow \"%.60s\"", block->key);
    return hcl_scan_blank(s, false);
}

/* An attribute or a block; stands behind it afterwards. */
static bool item_parse(struct parser *p, struct hcl_node *item, unsigned depth)
{
    struct hcl_scan *s = &p->scan;
    item->key = hcl_scan_name(s);
    if (!item->key)
        return hcl_scan_fail(s, item->at, "an attribute or a block must start here with its name");
    if (!hcl_scan_blank(s, false))
        return false;
    if (hcl_scan_peek(s) == '=') {
        hcl_scan_skip(s);
        return hcl_scan_blank(s, false) && value_parse(p, item, depth);
    }
    item->kind = HCL_BLOCK;
    while (hcl_scan_peek(s) != '{')
        if (!label_parse(p, item))
            return false;
    hcl_scan_skip(s);
    return depth_check(p, depth + 1) && body_parse(p, item, depth + 1);
}

/* Behind an item: HCL wants a line end, and in a block of one line its closing brace. */
static bool item_end(struct parser *p, const struct hcl_node *item, bool one_line)
{
    struct hcl_scan *s = &p->scan;
    if (!hcl_scan_blank(s, false))
        return false;
    const int c = hcl_scan_peek(s);
    if (one_line && item->kind == HCL_BLOCK)
        return hcl_scan_fail(s, item->at, "a block inside a block must stand on its own line");
    if (one_line ? c == '}' : c < 0 || c == '\n')
        return true;
    return hcl_scan_fail(s, hcl_scan_pos(s),
                         one_line ? "a block of one line holds one attribute; else { ends its line"
                                  : "a line end must stand here");
}

static bool body_parse(struct parser *p, struct hcl_node *block, unsigned depth)
{
    struct hcl_scan *s = &p->scan;
    struct chain items = { block, NULL };
    const bool is_root = !block->key;
    if (!hcl_scan_blank(s, false))
        return false;
    const bool one_line = !is_root && hcl_scan_peek(s) != '\n';
    for (;;) {
        if (!hcl_scan_blank(s, true))
            return false;
        if (hcl_scan_peek(s) < 0 && is_root)
            return true;
        if (hcl_scan_peek(s) < 0)
            return hcl_scan_fail(s, block->at, "block \"%.60s\" is never closed", block->key);
        if (hcl_scan_peek(s) == '}' && !is_root)
            break;
        struct hcl_node *item;
        if (!node_add(p, &items, &item) || !item_parse(p, item, depth) ||
            !key_check(p, block, item) || !item_end(p, item, one_line))
            return false;
    }
    hcl_scan_skip(s);
    return true;
}

static char *name_shorten(struct hcl_arena *arena, const char *name)
{
    const size_t len = strlen(name);
    if (len <= NAME_BYTES_MAX)
        return hcl_arena_text(arena, name, len);
    char text[NAME_BYTES_MAX + 1];
    (void)snprintf(text, sizeof text, "...%s", name + len - (NAME_BYTES_MAX - 3));
    return hcl_arena_text(arena, text, strlen(text));
}

bool hcl_parse(const char *name, struct view text, struct hcl **out, struct err *err)
{
    CLEANUP(hcl_freep) struct hcl *tree = mem_new(struct hcl);
    tree->name = name_shorten(&tree->arena, name);
    tree->root = hcl_arena_take(&tree->arena, sizeof *tree->root);
    *tree->root = (struct hcl_node){ .kind = HCL_BLOCK, .at = { 1, 1 }, .key_at = { 1, 1 } };
    const uint8_t *start = text.data ? text.data : (const uint8_t *)"";
    struct parser p = { .scan = { .at = start,
                                  .end = start + text.len,
                                  .line_start = start,
                                  .line = 1,
                                  .name = tree->name,
                                  .arena = &tree->arena,
                                  .err = err } };
    if (text.len > HCL_BYTES_MAX)
        return hcl_scan_fail(&p.scan, tree->root->at, "text is longer than %u bytes",
                             HCL_BYTES_MAX);
    if (!hcl_scan_check_bytes(&p.scan) || !body_parse(&p, tree->root, 0))
        return false;
    *out = STEAL(tree);
    return true;
}

void hcl_free(struct hcl *tree)
{
    if (!tree)
        return;
    hcl_arena_fini(&tree->arena);
    free(tree);
}

const struct hcl_node *hcl_root(const struct hcl *tree) { return tree->root; }

const char *hcl_kind_name(enum hcl_kind kind)
{
    static const char *const names[] = {
        [HCL_STRING] = "string", [HCL_NUMBER] = "number", [HCL_BOOL] = "bool",
        [HCL_NULL] = "null",     [HCL_LIST] = "list",     [HCL_MAP] = "map",
        [HCL_BLOCK] = "block",
    };
    return names[kind];
}

static bool fail_at(const struct hcl *tree, struct hcl_pos pos, struct err *err, const char *fmt,
                    va_list args)
{
    char reason[200];
    (void)vsnprintf(reason, sizeof reason, fmt, args);
    return err_set(err, ERR_INVALID, "%s:%u:%u: %s", tree->name, pos.line, pos.col, reason);
}

bool hcl_fail(const struct hcl *tree, const struct hcl_node *node, struct err *err, const char *fmt,
              ...)
{
    va_list args;
    va_start(args, fmt);
    const bool failed = fail_at(tree, node->at, err, fmt, args);
    va_end(args);
    return failed;
}

bool hcl_fail_key(const struct hcl *tree, const struct hcl_node *node, struct err *err,
                  const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const bool failed = fail_at(tree, node->key_at, err, fmt, args);
    va_end(args);
    return failed;
}
