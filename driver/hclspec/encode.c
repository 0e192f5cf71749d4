#include "driver/hclspec/encode.h"

#include "common/base/own.h"
#include "common/hcl/read.h"
#include "driver/hclspec/msgpack.h"
#include "driver/hclspec/spec.h"
#include "driver/hclspec/vars.h"

#include <stdlib.h>

struct encoder {
    const struct hcl *tree;
    const struct vars *vars;
    struct err *err;
};

static bool spec_put(struct encoder *e, const struct spec *spec, const struct hcl_node *body,
                     struct buf *out);
static bool value_put(struct encoder *e, struct view type, const struct hcl_node *value,
                      struct buf *out);

static bool type_is(struct view type, const char *name)
{
    return view_is_equal(type, view_str(name));
}

/* `list(string)` with outer "list": the inner type. */
static bool type_opens(struct view type, const char *outer, struct view *inner)
{
    const size_t len = strlen(outer);
    if (type.len < len + 2 || memcmp(type.data, outer, len) != 0 || type.data[len] != '(' ||
        type.data[type.len - 1] != ')')
        return false;
    *inner = view_of(type.data + len + 1, type.len - len - 2);
    return true;
}

static const char *key_of(const struct hcl_node *value) { return value->key ? value->key : "item"; }

static bool wrong_type(struct encoder *e, const struct hcl_node *value, struct view type)
{
    return hcl_fail(e->tree, value, e->err, "\"%.60s\" must be a %.*s, not a %s", key_of(value),
                    (int)(type.len > 40 ? 40 : type.len), (const char *)type.data,
                    hcl_kind_name(value->kind));
}

/* The text of a string, a number or a bool, as Nomad converts it; false for other kinds. */
static bool text_of(struct encoder *e, const struct hcl_node *value, struct buf *out,
                    bool *converts)
{
    *converts = true;
    if (value->kind == HCL_STRING) {
        static const struct vars none = { 0 };
        return vars_expand(e->vars ? e->vars : &none, e->tree, value, out, e->err);
    }
    if (value->kind == HCL_NUMBER) {
        struct err bad;
        return number_put_text(out, value->text, &bad) ||
               hcl_fail(e->tree, value, e->err, "\"%.60s\" is not a number", key_of(value));
    }
    *converts = value->kind == HCL_BOOL;
    if (*converts)
        buf_put_str(out, value->is_true ? "true" : "false");
    return true;
}

static bool scalar_put(struct encoder *e, struct view type, const struct hcl_node *value,
                       struct buf *out)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    bool converts;
    struct err bad;
    if (!text_of(e, value, &text, &converts))
        return false;
    if (!converts)
        return wrong_type(e, value, type);
    if (type_is(type, "string")) {
        msgpack_put_text(out, buf_view(&text));
        return true;
    }
    if (type_is(type, "number"))
        return (value->kind != HCL_BOOL && msgpack_put_number(out, buf_borrow_str(&text), &bad)) ||
               wrong_type(e, value, type);
    const bool is_true = type_is(buf_view(&text), "true");
    if (value->kind == HCL_NUMBER || (!is_true && !type_is(buf_view(&text), "false")))
        return wrong_type(e, value, type);
    msgpack_put_bool(out, is_true);
    return true;
}

static bool list_put(struct encoder *e, struct view inner, const struct hcl_node *list,
                     struct buf *out)
{
    msgpack_put_list(out, list->child_count);
    for (const struct hcl_node *item = list->first; item; item = item->next)
        if (!value_put(e, inner, item, out))
            return false;
    return true;
}

static int by_key(const void *a, const void *b)
{
    const struct hcl_node *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

/* The attributes of a block or the entries of a map, keys sorted. */
static bool map_put(struct encoder *e, struct view inner, const struct hcl_node *map,
                    struct buf *out)
{
    const struct hcl_node *entries[HCL_KEYS_MAX];
    size_t count = 0;
    for (const struct hcl_node *n = map->first; n; n = n->next) {
        if (n->kind == HCL_BLOCK)
            return hcl_fail(e->tree, n, e->err, "\"%.60s\" holds keys and values, not blocks",
                            key_of(map));
        entries[count++] = n;
    }
    if (count)
        qsort(entries, count, sizeof entries[0], by_key);
    msgpack_put_map(out, count);
    for (size_t i = 0; i < count; i++) {
        msgpack_put_text(out, view_str(entries[i]->key));
        if (!value_put(e, inner, entries[i], out))
            return false;
    }
    return true;
}

/* In a job a literal map, like a block, arrives as a list that holds one map. */
static bool literal_map_put(struct encoder *e, struct view type, const struct hcl_node *map,
                            struct buf *out)
{
    struct view list, inner;
    if (type_is(type, "any"))
        inner = type;
    else if (!type_opens(type, "list", &list) || !type_opens(list, "map", &inner))
        return wrong_type(e, map, type);
    msgpack_put_list(out, 1);
    return map_put(e, inner, map, out);
}

static bool value_put(struct encoder *e, struct view type, const struct hcl_node *value,
                      struct buf *out)
{
    struct view inner;
    static const char *const any_types[] = {
        [HCL_STRING] = "string",  [HCL_NUMBER] = "number", [HCL_BOOL] = "bool", [HCL_NULL] = "",
        [HCL_LIST] = "list(any)", [HCL_MAP] = "any",       [HCL_BLOCK] = "any",
    };
    if (value->kind == HCL_NULL) {
        msgpack_put_nil(out);
        return true;
    }
    if (value->kind == HCL_MAP || value->kind == HCL_BLOCK) {
        if (!value->key && type_opens(type, "map", &inner))
            return map_put(e, inner, value, out); /* an item of a list of maps */
        return literal_map_put(e, type, value, out);
    }
    if (type_is(type, "any"))
        type = view_str(any_types[value->kind]);
    if (type_is(type, "string") || type_is(type, "number") || type_is(type, "bool"))
        return scalar_put(e, type, value, out);
    if (!type_opens(type, "list", &inner) && !type_opens(type, "set", &inner))
        return hcl_fail(e->tree, value, e->err,
                        "the driver wants a type that is not supported here");
    return value->kind == HCL_LIST ? list_put(e, inner, value, out) : wrong_type(e, value, type);
}

static bool missing(struct encoder *e, const struct spec *spec, const struct hcl_node *body)
{
    const struct hcl_node *at = body ? body : hcl_root(e->tree);
    return hcl_fail(e->tree, at, e->err, "\"%.60s\" is missing in \"%.60s\"", spec->name,
                    at->key ? at->key : "the file");
}

/* The next block or map called `name`, from `from` on. */
static const struct hcl_node *body_next(const struct hcl_node *from, const char *name)
{
    while (from && (strcmp(from->key, name) != 0 || from->kind == HCL_NULL))
        from = from->next;
    return from;
}

static const struct hcl_node *first_of(const struct hcl_node *body)
{
    return body ? body->first : NULL;
}

static bool attr_put(struct encoder *e, const struct spec *spec, const struct hcl_node *body,
                     struct buf *out)
{
    const struct hcl_node *value = first_of(body);
    while (value && strcmp(value->key, spec->name) != 0)
        value = value->next;
    if (!value && spec->is_required)
        return missing(e, spec, body);
    if (value)
        return value_put(e, view_str(spec->type), value, out);
    msgpack_put_nil(out);
    return true;
}

/* block_value and block_attrs: at most one. */
static bool single_put(struct encoder *e, const struct spec *spec, const struct hcl_node *body,
                       struct buf *out)
{
    const struct hcl_node *block = body_next(first_of(body), spec->name);
    const struct hcl_node *second = block ? body_next(block->next, spec->name) : NULL;
    if (!block && spec->is_required)
        return missing(e, spec, body);
    if (second)
        return hcl_fail(e->tree, second, e->err,
                        "block \"%.60s\" stands here twice, first in line %u", spec->name,
                        block->at.line);
    if (block && block->kind != HCL_BLOCK && block->kind != HCL_MAP)
        return hcl_fail(e->tree, block, e->err, "\"%.60s\" must be one block", spec->name);
    if (block && block->label_count)
        return hcl_fail(e->tree, block, e->err, "block \"%.60s\" takes no label", spec->name);
    if (!block)
        msgpack_put_nil(out);
    else if (spec->kind == SPEC_BLOCK_ATTRS)
        return map_put(e, view_str(spec->type), block, out);
    else
        return spec_put(e, spec->children[0], block, out);
    return true;
}

/* block_list and block_set: blocks, maps and lists of maps, in order. */
static bool repeated_put(struct encoder *e, const struct spec *spec, const struct hcl_node *body,
                         struct buf *out)
{
    CLEANUP(buf_fini) struct buf items = { 0 };
    uint64_t count = 0;
    for (const struct hcl_node *n = body_next(first_of(body), spec->name); n;
         n = body_next(n->next, spec->name)) {
        const bool is_list = n->kind == HCL_LIST;
        for (const struct hcl_node *item = is_list ? n->first : n; item;
             item = is_list ? item->next : NULL, count++) {
            if (item->kind != HCL_BLOCK && item->kind != HCL_MAP)
                return hcl_fail(e->tree, item, e->err, "\"%.60s\" must be a block", spec->name);
            if (!spec_put(e, spec->children[0], item, &items))
                return false;
        }
    }
    if (count < spec->min_items || (spec->max_items && count > spec->max_items))
        return hcl_fail(e->tree, body ? body : hcl_root(e->tree), e->err,
                        "there are %llu blocks \"%.60s\", not %llu to %llu",
                        (unsigned long long)count, spec->name, (unsigned long long)spec->min_items,
                        (unsigned long long)spec->max_items);
    msgpack_put_list(out, count);
    buf_put(out, buf_view(&items));
    return true;
}

static bool labelled_put(struct encoder *e, const struct spec *spec, const struct hcl_node *body,
                         struct buf *out)
{
    CLEANUP(buf_fini) struct buf items = { 0 };
    size_t count = 0;
    if (spec->label_count > 1)
        return err_set(e->err, ERR_INVALID,
                       "block \"%.60s\": several labels are not supported here", spec->name);
    const struct hcl_node *first = body_next(first_of(body), spec->name);
    for (const struct hcl_node *n = first; n; n = body_next(n->next, spec->name), count++) {
        if (n->kind != HCL_BLOCK || n->label_count != 1)
            return hcl_fail(e->tree, n, e->err, "block \"%.60s\" takes one label", spec->name);
        for (const struct hcl_node *o = first; o != n; o = body_next(o->next, spec->name))
            if (strcmp(o->labels[0], n->labels[0]) == 0)
                return hcl_fail(e->tree, n, e->err,
                                "block \"%.60s\" has this label twice, first in "
                                "line %u",
                                spec->name, o->at.line);
        msgpack_put_text(&items, view_str(n->labels[0]));
        if (!spec_put(e, spec->children[0], n, &items))
            return false;
    }
    msgpack_put_map(out, count);
    buf_put(out, buf_view(&items));
    return true;
}

static bool default_put(struct encoder *e, const struct spec *spec, const struct hcl_node *body,
                        struct buf *out)
{
    CLEANUP(buf_fini) struct buf primary = { 0 };
    if (!spec_put(e, spec->children[0], body, &primary))
        return false;
    if (primary.len == 1 && primary.data[0] == 0xc0)
        return spec_put(e, spec->children[1], body, out);
    buf_put(out, buf_view(&primary));
    return true;
}

/* A literal is HCL source: read as the value of an attribute. */
static bool literal_put(struct encoder *e, const struct spec *spec, struct buf *out)
{
    CLEANUP(str_freep) char *source = str_format("literal = %s\n", spec->text);
    CLEANUP(hcl_freep) struct hcl *tree = NULL;
    if (!hcl_parse("the driver's schema", view_str(source), &tree, e->err))
        return false;
    struct encoder inside = { tree, NULL, e->err };
    return value_put(&inside, view_str("any"), hcl_root(tree)->first, out);
}

static size_t rules_collect(const struct spec *spec, struct hcl_rule *rules, size_t count)
{
    switch (spec->kind) {
    case SPEC_OBJECT:
    case SPEC_ARRAY:
        for (size_t i = 0; i < spec->child_count; i++)
            count = rules_collect(spec->children[i], rules, count);
        return count;
    case SPEC_DEFAULT:
        return rules_collect(spec->children[0], rules, count);
    case SPEC_ATTR:
    case SPEC_BLOCK_VALUE:
    case SPEC_BLOCK_ATTRS:
    case SPEC_BLOCK_LIST:
    case SPEC_BLOCK_SET:
    case SPEC_BLOCK_MAP:
        if (count == SPEC_NODES_MAX)
            return count;
        rules[count] = (struct hcl_rule){ .name = spec->name, .is_block = spec->kind != SPEC_ATTR };
        return count + 1;
    case SPEC_LITERAL:
    case SPEC_NONE:
    case SPEC_KIND_END:
        return count;
    }
    return count;
}

static bool item_check(struct encoder *e, const struct hcl_node *item, const struct hcl_rule *rules)
{
    const struct hcl_rule *rule = rules;
    while (rule->name && strcmp(rule->name, item->key) != 0)
        rule++;
    if (!rule->name) {
        const char *near = hcl_suggest(item->key, rules);
        return hcl_fail_key(e->tree, item, e->err, "unknown key \"%.60s\"%s%.60s%s", item->key,
                            near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    }
    const bool holds_keys = item->kind == HCL_BLOCK || item->kind == HCL_MAP ||
                            item->kind == HCL_LIST || item->kind == HCL_NULL;
    if (rule->is_block && !holds_keys)
        return hcl_fail_key(e->tree, item, e->err, "\"%.60s\" is a block: write %.60s { ... }",
                            rule->name, rule->name);
    if (!rule->is_block && item->kind == HCL_BLOCK)
        return hcl_fail_key(e->tree, item, e->err, "\"%.60s\" is not a block: write %.60s = ...",
                            rule->name, rule->name);
    return true;
}

static bool object_put(struct encoder *e, const struct spec *spec, const struct hcl_node *body,
                       struct buf *out)
{
    CLEANUP(buf_fini) struct buf scratch = { 0 };
    struct hcl_rule *rules = (void *)buf_reserve(&scratch,
                                                 (SPEC_NODES_MAX + 1) * sizeof(struct hcl_rule));
    rules[rules_collect(spec, rules, 0)] = (struct hcl_rule){ 0 };
    for (const struct hcl_node *item = first_of(body); item; item = item->next)
        if (!item_check(e, item, rules))
            return false;
    msgpack_put_map(out, spec->child_count);
    for (size_t i = 0; i < spec->child_count; i++) {
        msgpack_put_text(out, view_str(spec->children[i]->key));
        if (!spec_put(e, spec->children[i], body, out))
            return false;
    }
    return true;
}

static bool spec_put(struct encoder *e, const struct spec *spec, const struct hcl_node *body,
                     struct buf *out)
{
    switch (spec->kind) {
    case SPEC_OBJECT:
        return object_put(e, spec, body, out);
    case SPEC_ARRAY:
        msgpack_put_list(out, spec->child_count);
        for (size_t i = 0; i < spec->child_count; i++)
            if (!spec_put(e, spec->children[i], body, out))
                return false;
        return true;
    case SPEC_ATTR:
        return attr_put(e, spec, body, out);
    case SPEC_BLOCK_VALUE:
    case SPEC_BLOCK_ATTRS:
        return single_put(e, spec, body, out);
    case SPEC_BLOCK_LIST:
    case SPEC_BLOCK_SET:
        return repeated_put(e, spec, body, out);
    case SPEC_BLOCK_MAP:
        return labelled_put(e, spec, body, out);
    case SPEC_DEFAULT:
        return default_put(e, spec, body, out);
    case SPEC_LITERAL:
        return literal_put(e, spec, out);
    case SPEC_NONE:
    case SPEC_KIND_END:
        break;
    }
    return err_set(e->err, ERR_INVALID, "encode config: the schema has a %s", "part without kind");
}

bool config_encode(const struct spec *spec, const struct hcl *tree, const struct hcl_node *body,
                   const struct vars *vars, struct buf *out, struct err *err)
{
    struct encoder e = { tree, vars, err };
    if (spec->kind != SPEC_OBJECT)
        return err_set(err, ERR_INVALID, "encode config: the driver's schema is not an object");
    return spec_put(&e, spec, body, out);
}

const struct hcl_node *config_node_at(const struct hcl_node *body, const char *path)
{
    while (body && *path) {
        const size_t len = strcspn(path, ".");
        const struct hcl_node *n = body->first;
        while (n && !(n->key && strlen(n->key) == len && strncmp(n->key, path, len) == 0))
            n = n->next;
        body = n;
        path += len + (path[len] == '.');
    }
    return body;
}

bool config_fail_at(const struct hcl *tree, const struct hcl_node *body, const struct err *found,
                    struct err *err)
{
    const char *at = strstr(found->msg, ": ");
    const struct hcl_node *node = NULL;
    if (at && body) {
        CLEANUP(str_freep) char *path = str_copy_n(at + 2, strcspn(at + 2, ":\" "));
        node = config_node_at(body, path);
    }
    return hcl_fail(tree,
                    node   ? node
                    : body ? body
                           : hcl_root(tree),
                    err, "%s", at ? at + 2 : found->msg);
}
