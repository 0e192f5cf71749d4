#include "common/hcl/read.h"

#include "common/base/text.h"

#include <stdio.h>
#include <string.h>

#define WORD_BYTES_MAX 64 /* longer words are nobody's misspelling */

const struct hcl_node *hcl_attr(const struct hcl_node *body, const char *key)
{
    for (const struct hcl_node *n = body->first; n; n = n->next)
        if (n->kind != HCL_BLOCK && n->key && strcmp(n->key, key) == 0)
            return n;
    return NULL;
}

static const struct hcl_node *block_from(const struct hcl_node *n, const char *name)
{
    while (n && (n->kind != HCL_BLOCK || strcmp(n->key, name) != 0))
        n = n->next;
    return n;
}

const struct hcl_node *hcl_block(const struct hcl_node *body, const char *name)
{
    return block_from(body->first, name);
}

const struct hcl_node *hcl_block_next(const struct hcl_node *block)
{
    return block_from(block->next, block->key);
}

static const char *key_of(const struct hcl_node *value)
{
    return value->key ? value->key : "list item";
}

static bool type_fail(const struct hcl *tree, const struct hcl_node *value, const char *wanted,
                      struct err *err)
{
    return hcl_fail(tree, value, err, "\"%.60s\" must be %s, not a %s", key_of(value), wanted,
                    hcl_kind_name(value->kind));
}

/* `key` is that of the value, or of the list that it is an item of. */
static bool is_plain(const struct hcl *tree, const struct hcl_node *value, const char *key,
                     struct err *err)
{
    return !value->has_template ||
           hcl_fail(tree, value, err,
                    "\"%.60s\" holds a ${...} template, which has no meaning here (write $${)",
                    key);
}

bool hcl_read_text(const struct hcl *tree, const struct hcl_node *value, const char **out,
                   struct err *err)
{
    if (value->kind != HCL_STRING)
        return type_fail(tree, value, "a quoted string", err);
    if (!is_plain(tree, value, key_of(value), err))
        return false;
    *out = value->text;
    return true;
}

bool hcl_read_int(const struct hcl *tree, const struct hcl_node *value, int64_t min, int64_t max,
                  int64_t *out, struct err *err)
{
    if ((value->kind != HCL_NUMBER && value->kind != HCL_STRING) || value->has_template)
        return type_fail(tree, value, "an integer", err);
    struct err quoting; /* quotes the value, so it stays here */
    if (!int_parse(view_str(value->text), min, max, out, &quoting))
        return hcl_fail(tree, value, err, "\"%.60s\" must be an integer from %lld to %lld",
                        key_of(value), (long long)min, (long long)max);
    return true;
}

/* "250ms", "15s", "3h", "7d": the largest unit that divides. */
static void ms_format(int64_t ms, char out[32])
{
    static const struct {
        int64_t ms;
        const char *unit;
    } units[] = { { 86400000, "d" }, { 3600000, "h" }, { 60000, "m" }, { 1000, "s" }, { 1, "ms" } };
    size_t u = 0;
    while (ms % units[u].ms || (ms == 0 && u < 3))
        u++;
    (void)snprintf(out, 32, "%lld%s", (long long)(ms / units[u].ms), units[u].unit);
}

bool hcl_read_ms(const struct hcl *tree, const struct hcl_node *value, int64_t min_ms,
                 int64_t max_ms, int64_t *out_ms, struct err *err)
{
    if (value->kind != HCL_STRING || value->has_template)
        return type_fail(tree, value, "a quoted duration such as \"15s\"", err);
    struct err quoting;
    int64_t ms;
    if (!duration_parse(view_str(value->text), &ms, &quoting))
        return hcl_fail(tree, value, err,
                        "\"%.60s\" must be a duration with its unit: ms, s, m, h, d",
                        key_of(value));
    char low[32], high[32];
    ms_format(min_ms, low);
    ms_format(max_ms, high);
    if (ms < min_ms || ms > max_ms)
        return hcl_fail(tree, value, err, "\"%.60s\" must be from %s to %s", key_of(value), low,
                        high);
    *out_ms = ms;
    return true;
}

bool hcl_check_texts(const struct hcl *tree, const struct hcl_node *value, struct err *err)
{
    if (value->kind != HCL_LIST)
        return type_fail(tree, value, "a list of strings", err);
    for (const struct hcl_node *n = value->first; n; n = n->next) {
        if (n->kind != HCL_STRING)
            return hcl_fail(tree, n, err, "\"%.60s\" must hold quoted strings, not a %s",
                            key_of(value), hcl_kind_name(n->kind));
        if (!is_plain(tree, n, key_of(value), err))
            return false;
    }
    return true;
}

static const struct hcl_rule *rule_find(const struct hcl_rule *rules, const char *name)
{
    for (; rules->name; rules++)
        if (strcmp(rules->name, name) == 0)
            return rules;
    return NULL;
}

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

/* Edits between two words: insert, delete, replace, swap of neighbours. */
static unsigned word_distance(const char *a, const char *b)
{
    unsigned rows[3][WORD_BYTES_MAX + 1];
    const size_t a_len = strlen(a), b_len = strlen(b);
    for (size_t j = 0; j <= b_len; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3], *swap = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            row[j] = least(above[j - 1] + (a[i - 1] != b[j - 1]), least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], swap[j - 2] + 1);
        }
    }
    return rows[a_len % 3][b_len];
}

const char *hcl_suggest(const char *word, const struct hcl_rule *rules)
{
    const size_t len = strlen(word);
    unsigned best = (unsigned)(len < 4 ? 1 : len < 8 ? 2 : 3) + 1;
    const char *found = NULL;
    for (; len <= WORD_BYTES_MAX && rules->name; rules++) {
        if (strlen(rules->name) > WORD_BYTES_MAX)
            continue;
        const unsigned distance = word_distance(word, rules->name);
        if (distance < best) {
            best = distance;
            found = rules->name;
        }
    }
    return found;
}

static bool unknown_fail(const struct hcl *tree, const struct hcl_node *item,
                         const struct hcl_rule *rules, struct err *err)
{
    const char *near = hcl_suggest(item->key, rules);
    const char *what = item->kind == HCL_BLOCK ? "block" : "key";
    if (near)
        return hcl_fail_key(tree, item, err, "unknown %s \"%.60s\"; did you mean \"%s\"?", what,
                            item->key, near);
    return hcl_fail_key(tree, item, err, "unknown %s \"%.60s\"", what, item->key);
}

static bool item_check(const struct hcl *tree, const struct hcl_node *item,
                       const struct hcl_node *body, const struct hcl_rule *rules, struct err *err)
{
    const struct hcl_rule *rule = rule_find(rules, item->key);
    if (!rule)
        return unknown_fail(tree, item, rules, err);
    if (rule->is_block && item->kind != HCL_BLOCK)
        return hcl_fail_key(tree, item, err,
                            "\"%s\" is a block: write %s { ... } without =", rule->name,
                            rule->name);
    if (!rule->is_block && item->kind == HCL_BLOCK)
        return hcl_fail_key(tree, item, err, "\"%s\" is not a block: write %s = ...", rule->name,
                            rule->name);
    if (item->kind == HCL_BLOCK && item->label_count != rule->labels)
        return hcl_fail_key(tree, item, err, "block \"%s\" takes %u label%s, not %u", rule->name,
                            rule->labels, rule->labels == 1 ? "" : "s", item->label_count);
    const struct hcl_node *first = item->kind == HCL_BLOCK ? hcl_block(body, rule->name) : item;
    if (first != item && !rule->is_repeatable)
        return hcl_fail_key(tree, item, err, "block \"%s\" stands here twice, first in line %u",
                            rule->name, first->at.line);
    return true;
}

bool hcl_check(const struct hcl *tree, const struct hcl_node *body, const struct hcl_rule *rules,
               struct err *err)
{
    for (const struct hcl_node *item = body->first; item; item = item->next)
        if (!item_check(tree, item, body, rules, err))
            return false;
    for (const struct hcl_rule *rule = rules; rule->name; rule++) {
        const bool is_there = rule->is_block ? hcl_block(body, rule->name) != NULL
                                             : hcl_attr(body, rule->name) != NULL;
        if (rule->is_required && !is_there)
            return hcl_fail(tree, body, err, "%s \"%s\" is missing%s%.60s",
                            rule->is_block ? "block" : "key", rule->name, body->key ? " in " : "",
                            body->key ? body->key : "");
    }
    return true;
}
