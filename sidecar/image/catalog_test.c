#include "sidecar/image/catalog.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

static size_t add(struct catalog *c, enum tree_type type, const char *path, uint64_t size)
{
    struct item facts = { .size = size, .ino = 5 };
    struct tree_entry entry = { .type = type, .path = view_str(path), .size = size };
    return catalog_add(c, &facts, &entry);
}

static void add_chunk(struct catalog *c, size_t at, uint8_t id, uint32_t len)
{
    size_t ref = catalog_add_ref(c, at);
    c->refs[ref] = (struct chunk_ref){
        .plain_len = len, .sealed_len = 41, .pack = 1, .offset = 32
    };
    memset(c->refs[ref].id, id, sizeof(c->refs[ref].id));
    c->quick[ref] = id;
}

static void make(struct catalog *c)
{
    (void)add(c, TREE_DIR, "", 0);
    size_t f = add(c, TREE_FILE, "a", 30);
    add_chunk(c, f, 1, 10);
    add_chunk(c, f, 2, 20);
    (void)add(c, TREE_DIR, "d", 0);
    add_chunk(c, add(c, TREE_FILE, "d/b", 5), 3, 5);
}

Test(catalog, entries_are_found_by_path)
{
    CLEANUP(catalog_fini) struct catalog c = { 0 };
    make(&c);
    cr_assert_eq(catalog_find(&c, view_str("")), 0);
    cr_assert_eq(catalog_find(&c, view_str("d/b")), 3);
    cr_assert_eq(catalog_find(&c, view_str("d/c")), SIZE_MAX);
    struct tree_totals totals = catalog_totals(&c);
    cr_assert(totals.files == 2 && totals.dirs == 2 && totals.bytes == 35 && totals.chunks == 3);
}

Test(catalog, copies_keep_head_chunks_and_fingerprints)
{
    CLEANUP(catalog_fini) struct catalog a = { 0 };
    CLEANUP(catalog_fini) struct catalog b = { 0 };
    make(&a);
    for (size_t i = 0; i < a.count; i++)
        cr_assert_eq(catalog_copy(&b, &a, i), i);
    cr_assert(catalog_is_equal(&a, &b));
    cr_assert_eq(b.quick[b.items[3].first_ref], 3);
    b.refs[1].pack = 9; /* a place is no difference */
    cr_assert(catalog_is_equal(&a, &b));
    b.refs[1].id[0] ^= 1;
    cr_assert_not(catalog_is_equal(&a, &b));
    b.refs[1].id[0] ^= 1;
    b.heads.data[b.items[3].head_at + 1] ^= 1;
    cr_assert_not(catalog_is_equal(&a, &b));
}

Test(catalog, replaced_entry_begins_without_chunks)
{
    CLEANUP(catalog_fini) struct catalog c = { 0 };
    make(&c);
    struct item facts = { .size = 7 };
    struct tree_entry entry = { .type = TREE_FILE, .path = view_str("a"), .size = 9, .mode = 1 };
    catalog_replace(&c, 1, &facts, &entry);
    cr_assert_eq(c.items[1].ref_count, 0);
    add_chunk(&c, 1, 4, 7);
    catalog_resize(&c, 1, 7);
    cr_assert_eq(c.items[1].size, 7);
    cr_assert(c.items[1].is_racy);
    cr_assert_eq(catalog_find(&c, view_str("a")), 1);
}

Test(catalog, hard_link_without_its_file_shows)
{
    CLEANUP(catalog_fini) struct catalog c = { 0 };
    struct item facts = { 0 };
    struct tree_entry link = { .type = TREE_HARDLINK,
                               .path = view_str("e"),
                               .target = view_str("d/b") };
    make(&c);
    (void)catalog_add(&c, &facts, &link);
    cr_assert(catalog_has_targets(&c));
    catalog_remove(&c, 3);
    cr_assert_eq(c.count, 4);
    cr_assert(view_is_equal(catalog_borrow_path(&c, 3), view_str("e")));
    cr_assert_not(catalog_has_targets(&c));
}

Test(catalog, tree_gives_the_same_catalog)
{
    CLEANUP(catalog_fini) struct catalog a = { 0 };
    CLEANUP(catalog_fini) struct catalog b = { 0 };
    CLEANUP(buf_fini) struct buf tree = { 0 };
    struct tree_totals totals;
    struct err err = { 0 };
    make(&a);
    for (size_t i = 0; i < a.count; i++) {
        buf_put(&tree, catalog_borrow_head(&a, i));
        if (a.items[i].type == TREE_FILE)
            tree_encode_chunks(a.refs + a.items[i].first_ref, a.items[i].ref_count, &tree);
    }
    cr_assert(tree_check(buf_view(&tree), &totals, &err), "%s", err.msg);
    cr_assert(catalog_from_tree(buf_view(&tree), &b, &err), "%s", err.msg);
    cr_assert(catalog_is_equal(&a, &b));
    cr_assert_eq(b.items[1].ino, 0); /* of this machine nothing is known */
    cr_assert_not(b.items[1].has_quick);
    CLEANUP(catalog_fini) struct catalog cut = { 0 };
    cr_assert_not(catalog_from_tree(view_of(tree.data, tree.len - 1), &cut, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
}
