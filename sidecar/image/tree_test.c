#include "sidecar/image/tree.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/secret/secret.h"

#include <criterion/criterion.h>

static struct tree_entry dir_of(const char *path)
{
    return (struct tree_entry){ .type = TREE_DIR, .mode = 0755, .path = view_str(path) };
}

static struct tree_entry link_of(const char *path, const char *target)
{
    return (struct tree_entry){ .type = TREE_HARDLINK,
                                .path = view_str(path),
                                .target = view_str(target) };
}

static void put(struct buf *tree, struct tree_entry entry) { tree_encode_entry(&entry, tree); }

static struct chunk_ref ref_of(uint8_t id, uint32_t len)
{
    struct chunk_ref ref = { .plain_len = len, .sealed_len = 41, .pack = 1, .offset = 32 };
    memset(ref.id, id, sizeof(ref.id));
    return ref;
}

/* A file of `size` bytes in one chunk; `chunks` keeps the bytes. */
static struct tree_entry file_of(const char *path, uint32_t size, struct buf *chunks)
{
    struct chunk_ref ref = ref_of(7, size);
    struct tree_entry entry = dir_of(path);
    chunk_ref_encode(&ref, chunks);
    entry.type = TREE_FILE;
    entry.size = size;
    entry.chunks = buf_view(chunks);
    return entry;
}

static bool is_good(const struct buf *tree)
{
    struct tree_totals totals;
    struct err err = { 0 };
    bool good = tree_check(buf_view(tree), &totals, &err);
    cr_assert(good || err.kind == ERR_CORRUPT);
    return good;
}

Test(tree, order_puts_a_directory_before_its_content_before_its_siblings)
{
    static const char *const paths[] = { "", "a", "a/b", "a/b/c", "a/c", "a!", "a.txt", "ab" };
    for (size_t i = 0; i < COUNT(paths); i++)
        for (size_t j = 0; j < COUNT(paths); j++) {
            int order = tree_path_compare(view_str(paths[i]), view_str(paths[j]));
            cr_assert_eq((order > 0) - (order < 0), (i > j) - (i < j), "%s %s", paths[i], paths[j]);
        }
}

Test(tree, whole_tree_is_checked_and_added_up)
{
    CLEANUP(buf_fini) struct buf tree = { 0 };
    CLEANUP(buf_fini) struct buf chunks = { 0 };
    struct tree_totals totals;
    struct err err = { 0 };
    put(&tree, dir_of(""));
    put(&tree, dir_of("d"));
    put(&tree, dir_of("d/e"));
    put(&tree, file_of("d/f", 100, &chunks));
    put(&tree, link_of("g", "d/f"));
    struct tree_entry symlink = { .type = TREE_SYMLINK,
                                  .path = view_str("h"),
                                  .target = view_str("/nowhere") };
    put(&tree, symlink);
    cr_assert(tree_check(buf_view(&tree), &totals, &err), "%s", err.msg);
    cr_assert(totals.dirs == 3 && totals.files == 1 && totals.hardlinks == 1 &&
              totals.symlinks == 1 && totals.bytes == 100 && totals.chunks == 1);
}

Test(tree, every_cut_and_every_flipped_type_is_found)
{
    CLEANUP(buf_fini) struct buf tree = { 0 };
    CLEANUP(buf_fini) struct buf chunks = { 0 };
    put(&tree, dir_of(""));
    size_t root = tree.len;
    put(&tree, file_of("f", 100, &chunks));
    for (size_t len = 0; len < tree.len; len++) {
        struct buf cut = { tree.data, len, 0 };
        cr_assert_eq(is_good(&cut), len == root, "cut to %zu", len);
    }
    for (int type = 0; type < 256; type++) {
        tree.data[root] = (uint8_t)type;
        cr_assert_eq(is_good(&tree), type == TREE_FILE, "type %d", type);
    }
}

Test(tree, entries_out_of_place_are_found)
{
    static const struct {
        const char *paths[4];
    } rows[] = {
        { { "a", NULL } },            /* no root */
        { { "", "", NULL } },         /* two roots */
        { { "", "b", "a", NULL } },   /* order */
        { { "", "a", "a", NULL } },   /* twice */
        { { "", "a/b", NULL } },      /* no parent */
        { { "", "a", "b/c", NULL } }, /* another's parent */
        { { "", ".", NULL } },
        { { "", "..", NULL } },
        { { "", "a", "a/../b", NULL } },
        { { "", "/a", NULL } },
        { { "", "a/", NULL } },
        { { "", "a", "a//b", NULL } },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(buf_fini) struct buf tree = { 0 };
        for (size_t j = 0; rows[i].paths[j] != NULL; j++)
            put(&tree, dir_of(rows[i].paths[j]));
        cr_assert_not(is_good(&tree), "row %zu", i);
    }
}

Test(tree, nothing_lies_in_a_link_or_a_file)
{
    CLEANUP(buf_fini) struct buf tree = { 0 };
    struct tree_entry symlink = { .type = TREE_SYMLINK,
                                  .path = view_str("a"),
                                  .target = view_str("/etc") };
    put(&tree, dir_of(""));
    put(&tree, symlink);
    put(&tree, dir_of("a/b"));
    cr_assert_not(is_good(&tree));
}

Test(tree, hard_link_must_name_an_earlier_file)
{
    static const char *const targets[] = { "d/g", "nothing", "z", "d", "../f" };
    for (size_t i = 0; i <= COUNT(targets); i++) {
        CLEANUP(buf_fini) struct buf tree = { 0 };
        CLEANUP(buf_fini) struct buf chunks = { 0 };
        put(&tree, dir_of(""));
        put(&tree, dir_of("d"));
        put(&tree, file_of("d/f", 5, &chunks));
        put(&tree, link_of("d/g", i < COUNT(targets) ? targets[i] : "d/f"));
        chunks.len = 0;
        put(&tree, file_of("z", 5, &chunks));
        cr_assert_eq(is_good(&tree), i == COUNT(targets), "%zu", i);
    }
}

Test(tree, holes_and_chunks_must_cover_the_file)
{
    static const struct {
        struct tree_hole holes[3];
        size_t count;
        uint64_t size;
        bool is_good;
    } rows[] = {
        { { { 0 } }, 0, 100, true },
        { { { 0 } }, 0, 101, false },
        { { { 100, 50 } }, 1, 150, true },
        { { { 0, 50 } }, 1, 150, true },
        { { { 10, 50 }, { 70, 30 } }, 2, 180, true },
        { { { 10, 50 }, { 60, 40 } }, 2, 190, false }, /* they touch */
        { { { 70, 30 }, { 10, 50 } }, 2, 180, false }, /* order */
        { { { 140, 50 } }, 1, 150, false },            /* outside */
        { { { 100, 0 } }, 1, 100, false },             /* empty */
        { { { UINT64_MAX, 2 } }, 1, 150, false },
        { { { 100, UINT64_MAX } }, 1, 150, false },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(buf_fini) struct buf tree = { 0 };
        CLEANUP(buf_fini) struct buf chunks = { 0 };
        CLEANUP(buf_fini) struct buf holes = { 0 };
        struct tree_entry entry = file_of("f", 100, &chunks);
        for (size_t j = 0; j < rows[i].count; j++)
            tree_put_hole(&holes, rows[i].holes[j]);
        entry.holes = buf_view(&holes);
        entry.size = rows[i].size;
        put(&tree, dir_of(""));
        put(&tree, entry);
        cr_assert_eq(is_good(&tree), rows[i].is_good, "row %zu", i);
    }
}

Test(tree, attributes_survive_and_must_be_in_order)
{
    CLEANUP(buf_fini) struct buf xattrs = { 0 };
    CLEANUP(buf_fini) struct buf tree = { 0 };
    struct view name, value;
    struct err err = { 0 };
    struct tree_entry root = dir_of("");
    tree_put_xattr(&xattrs, view_str("user.a"), view_of("\0x", 2));
    tree_put_xattr(&xattrs, view_str("user.b"), view_of(NULL, 0));
    root.xattrs = buf_view(&xattrs);
    put(&tree, root);
    cr_assert(is_good(&tree));
    struct cursor c = cursor_of(buf_view(&xattrs), "test");
    cr_assert(tree_take_xattr(&c, &name, &value, &err));
    cr_assert(view_is_equal(name, view_str("user.a")) && value.len == 2);
    tree_put_xattr(&xattrs, view_str("user.a"), view_of(NULL, 0));
    tree.len = 0;
    root.xattrs = buf_view(&xattrs);
    put(&tree, root);
    cr_assert_not(is_good(&tree));
}

static struct agent_keys *fixed_keys(void)
{
    uint8_t bytes[32];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    CLEANUP(secret_freep) struct secret *key = secret_take_bytes(bytes, sizeof(bytes));
    return agent_keys_new(key);
}

Test(tree, root_hash_is_of_content_not_of_places)
{
    CLEANUP(agent_keys_freep) struct agent_keys *keys = fixed_keys();
    uint8_t hashes[3][CRYPTO_HASH_BYTES];
    for (size_t i = 0; i < 3; i++) {
        CLEANUP(buf_fini) struct buf tree = { 0 };
        CLEANUP(buf_fini) struct buf chunks = { 0 };
        struct err err = { 0 };
        struct chunk_ref ref = ref_of(7, 100);
        struct tree_entry entry = file_of("f", 100, &chunks);
        ref.pack = i == 1 ? 99 : 1; /* moved */
        ref.offset = i == 1 ? 4096 : 32;
        ref.id[0] = i == 2 ? 8 : 7; /* another content */
        chunks.len = 0;
        chunk_ref_encode(&ref, &chunks);
        entry.chunks = buf_view(&chunks);
        put(&tree, dir_of(""));
        put(&tree, entry);
        cr_assert(tree_root_hash(keys, buf_view(&tree), hashes[i], &err));
    }
    cr_assert_eq(memcmp(hashes[0], hashes[1], CRYPTO_HASH_BYTES), 0);
    cr_assert_neq(memcmp(hashes[0], hashes[2], CRYPTO_HASH_BYTES), 0);
}

/* Golden: proto/checkpoint.md, section 4. */
Test(tree, bytes_are_what_the_format_says)
{
    CLEANUP(buf_fini) struct buf tree = { 0 };
    CLEANUP(buf_fini) struct buf chunks = { 0 };
    struct tree_entry root = dir_of("");
    root.uid = 1000, root.gid = 100, root.mtime_s = 1700000000, root.mtime_ns = 5;
    struct tree_entry file = file_of("f", 3, &chunks);
    put(&tree, root);
    put(&tree, file);
    char text[400];
    hex_encode(buf_view(&tree), text);
    cr_assert_str_eq(text, "01ed01e803000064000000"
                           "00f1536500000000"
                           "05000000"
                           "00000000"
                           "00000000"
                           "00000000"
                           "02ed010000000000000000"
                           "0000000000000000"
                           "00000000"
                           "0100000066"
                           "00000000"
                           "00000000"
                           "0300000000000000"
                           "00000000"
                           "38000000"
                           "0707070707070707070707070707070707070707070707070707070707070707"
                           "03000000"
                           "29000000"
                           "0100000000000000"
                           "2000000000000000");
}

Test(tree, target_is_found_in_a_head)
{
    CLEANUP(buf_fini) struct buf head = { 0 };
    struct tree_entry link = link_of("some/link", "some/file");
    tree_encode_head(&link, &head);
    cr_assert(view_is_equal(tree_borrow_target(buf_view(&head)), view_str("some/file")));
}

Test(tree, size_of_a_head_can_be_changed_in_place)
{
    CLEANUP(buf_fini) struct buf head = { 0 };
    CLEANUP(buf_fini) struct buf again = { 0 };
    CLEANUP(buf_fini) struct buf chunks = { 0 };
    struct tree_entry file = file_of("some/file", 3, &chunks);
    tree_encode_head(&file, &head);
    cr_assert(view_is_equal(tree_borrow_path(buf_view(&head)), view_str("some/file")));
    tree_resize_head(head.data, head.len, 0x123456789a);
    file.size = 0x123456789a;
    tree_encode_head(&file, &again);
    cr_assert(view_is_equal(buf_view(&head), buf_view(&again)));
}
