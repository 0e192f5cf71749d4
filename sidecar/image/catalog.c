#include "sidecar/image/catalog.h"

#include "common/base/own.h"

#include <assert.h>

#define ITEMS_MIN ((size_t)64)

void catalog_fini(struct catalog *c)
{
    buf_fini(&c->heads);
    free(c->items);
    free(c->refs);
    free(c->quick);
    *c = (struct catalog){ 0 };
}

static struct item *new_item(struct catalog *c)
{
    if (c->count == c->cap) {
        c->cap = c->cap == 0 ? ITEMS_MIN : c->cap + c->cap / 2;
        c->items = mem_resize(c->items, c->cap, sizeof(struct item));
    }
    return &c->items[c->count++];
}

void catalog_replace(struct catalog *c, size_t at, const struct item *facts,
                     const struct tree_entry *entry)
{
    struct item *item = &c->items[at];
    *item = *facts;
    item->type = (uint8_t)entry->type;
    item->head_at = c->heads.len;
    item->first_ref = c->ref_count;
    item->ref_count = 0;
    item->has_holes = entry->holes.len > 0;
    tree_encode_head(entry, &c->heads);
    item->head_len = (uint32_t)(c->heads.len - item->head_at);
}

void catalog_remove(struct catalog *c, size_t at)
{
    assert(at < c->count);
    c->count--;
    memmove(c->items + at, c->items + at + 1, (c->count - at) * sizeof(struct item));
}

bool catalog_has_targets(const struct catalog *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->items[i].type != TREE_HARDLINK)
            continue;
        size_t target = catalog_find(c, tree_borrow_target(catalog_borrow_head(c, i)));
        if (target == SIZE_MAX || c->items[target].type != TREE_FILE)
            return false;
    }
    return true;
}

void catalog_resize(struct catalog *c, size_t at, uint64_t size)
{
    struct item *item = &c->items[at];
    assert(item->type == TREE_FILE && !item->has_holes);
    item->size = size;
    item->is_racy = true;
    tree_resize_head(c->heads.data + item->head_at, item->head_len, size);
}

size_t catalog_add(struct catalog *c, const struct item *facts, const struct tree_entry *entry)
{
    (void)new_item(c);
    catalog_replace(c, c->count - 1, facts, entry);
    return c->count - 1;
}

static void reserve_refs(struct catalog *c, size_t more)
{
    if (c->ref_count + more <= c->ref_cap)
        return;
    size_t grown = c->ref_cap + c->ref_cap / 2;
    c->ref_cap = grown < c->ref_count + more ? c->ref_count + more + ITEMS_MIN : grown;
    c->refs = mem_resize(c->refs, c->ref_cap, sizeof(struct chunk_ref));
    c->quick = mem_resize(c->quick, c->ref_cap, sizeof(uint64_t));
}

void catalog_reserve(struct catalog *c, const struct catalog *like)
{
    if (like->count == 0)
        return;
    (void)buf_reserve(&c->heads, like->heads.len);
    reserve_refs(c, like->ref_count);
    if (c->cap < like->count + ITEMS_MIN) {
        c->cap = like->count + ITEMS_MIN;
        c->items = mem_resize(c->items, c->cap, sizeof(struct item));
    }
}

size_t catalog_add_ref(struct catalog *c, size_t at)
{
    assert(c->items[at].first_ref + c->items[at].ref_count == c->ref_count);
    reserve_refs(c, 1);
    c->items[at].ref_count++;
    c->refs[c->ref_count] = (struct chunk_ref){ 0 };
    c->quick[c->ref_count] = 0;
    return c->ref_count++;
}

size_t catalog_copy(struct catalog *c, const struct catalog *from, size_t at)
{
    const struct item *source = &from->items[at];
    struct item *item = new_item(c);
    *item = *source;
    item->head_at = c->heads.len;
    item->first_ref = c->ref_count;
    buf_put(&c->heads, view_of(from->heads.data + source->head_at, source->head_len));
    if (source->ref_count == 0)
        return c->count - 1;
    reserve_refs(c, source->ref_count);
    memcpy(c->refs + c->ref_count, from->refs + source->first_ref,
           source->ref_count * sizeof(struct chunk_ref));
    memcpy(c->quick + c->ref_count, from->quick + source->first_ref,
           source->ref_count * sizeof(uint64_t));
    c->ref_count += source->ref_count;
    return c->count - 1;
}

struct view catalog_borrow_head(const struct catalog *c, size_t at)
{
    return view_of(c->heads.data + c->items[at].head_at, c->items[at].head_len);
}

struct view catalog_borrow_path(const struct catalog *c, size_t at)
{
    return tree_borrow_path(catalog_borrow_head(c, at));
}

size_t catalog_find(const struct catalog *c, struct view path)
{
    size_t low = 0, high = c->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = tree_path_compare(catalog_borrow_path(c, middle), path);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}

static bool is_same_content(const struct catalog *a, const struct item *x, const struct catalog *b,
                            const struct item *y)
{
    if (x->ref_count != y->ref_count)
        return false;
    for (size_t i = 0; i < x->ref_count; i++) {
        const struct chunk_ref *left = &a->refs[x->first_ref + i];
        const struct chunk_ref *right = &b->refs[y->first_ref + i];
        if (left->plain_len != right->plain_len ||
            memcmp(left->id, right->id, sizeof(left->id)) != 0)
            return false;
    }
    return true;
}

bool catalog_is_equal(const struct catalog *a, const struct catalog *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!view_is_equal(catalog_borrow_head(a, i), catalog_borrow_head(b, i)) ||
            !is_same_content(a, &a->items[i], b, &b->items[i]))
            return false;
    return true;
}

bool catalog_from_tree(struct view tree, struct catalog *out, struct err *err)
{
    struct cursor c = cursor_of(tree, "tree");
    while (c.rest.len > 0) {
        struct tree_entry entry;
        if (!tree_decode_entry(&c, &entry, err))
            return false;
        struct item facts = { .size = entry.size };
        size_t at = catalog_add(out, &facts, &entry);
        struct cursor chunks = cursor_of(entry.chunks, "tree");
        while (chunks.rest.len > 0) {
            size_t ref = catalog_add_ref(out, at);
            if (!chunk_ref_decode(&chunks, &out->refs[ref], err))
                return false;
        }
    }
    return true;
}

struct tree_totals catalog_totals(const struct catalog *c)
{
    struct tree_totals totals = { 0 };
    for (size_t i = 0; i < c->count; i++) {
        const struct item *item = &c->items[i];
        totals.files += item->type == TREE_FILE;
        totals.dirs += item->type == TREE_DIR;
        totals.symlinks += item->type == TREE_SYMLINK;
        totals.hardlinks += item->type == TREE_HARDLINK;
        totals.bytes += item->type == TREE_FILE ? item->size : 0;
        totals.chunks += item->ref_count;
    }
    return totals;
}
