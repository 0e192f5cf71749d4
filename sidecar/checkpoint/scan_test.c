#include "sidecar/checkpoint/scan.h"

#include "sidecar/checkpoint/fixture_test.h"

static struct fixture f;
static struct fd root;
static struct catalog none;

static void begin(void)
{
    fixture_begin(&f);
    root = (struct fd){ open(f.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
}

static void end(void)
{
    fd_closep(&root);
    fixture_end(&f);
}

TestSuite(scan, .init = begin, .fini = end);

static void scan(const struct catalog *before, struct scan *out)
{
    struct err err = { 0 };
    struct scan_spec spec = { .root_fd = root.raw, .before = before };
    cr_assert(scan_tree(&spec, out, &err), "%s", err.msg);
}

/* As if everything had happened long ago. */
static void age(struct catalog *c)
{
    for (size_t i = 0; i < c->count; i++)
        c->items[i].is_racy = false;
}

Test(scan, entries_come_in_the_order_of_the_tree)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    CLEANUP(str_freep) char *dir = str_format("%s/a", f.state);
    cr_assert_eq(mkdir(dir, 0700), 0);
    fixture_write(&f, "a/x", "1", 1);
    fixture_write(&f, "a.txt", "1", 1);
    fixture_write(&f, "a!", "1", 1);
    scan(&none, &s);
    static const char *const order[] = { "", "a", "a/x", "a!", "a.txt" };
    cr_assert_eq(s.catalog.count, COUNT(order));
    for (size_t i = 0; i < COUNT(order); i++)
        cr_assert(view_is_equal(catalog_borrow_path(&s.catalog, i), view_str(order[i])));
    cr_assert_eq(s.dirty_count, 3);
    cr_assert_eq(s.dirty_bytes, 3);
}

Test(scan, what_is_known_costs_no_reading)
{
    CLEANUP(scan_fini) struct scan first = { 0 };
    CLEANUP(scan_fini) struct scan second = { 0 };
    CLEANUP(scan_fini) struct scan third = { 0 };
    fixture_write(&f, "a", "1", 1);
    fixture_write(&f, "b", "1", 1);
    scan(&none, &first);
    age(&first.catalog);
    scan(&first.catalog, &second);
    cr_assert_eq(second.dirty_count, 0);
    cr_assert(catalog_is_equal(&first.catalog, &second.catalog));
    fixture_write(&f, "b", "2", 1);
    scan(&first.catalog, &third);
    cr_assert_eq(third.dirty_count, 1);
    cr_assert(view_is_equal(catalog_borrow_path(&third.catalog, third.dirty[0]), view_str("b")));
}

Test(scan, fresh_changes_are_not_believed)
{
    CLEANUP(scan_fini) struct scan first = { 0 };
    CLEANUP(scan_fini) struct scan second = { 0 };
    fixture_write(&f, "a", "1", 1);
    scan(&none, &first);
    cr_assert(first.catalog.items[1].is_racy);
    scan(&first.catalog, &second);
    cr_assert_eq(second.dirty_count, 1);
}

Test(scan, removal_in_a_known_directory_is_seen)
{
    CLEANUP(scan_fini) struct scan first = { 0 };
    CLEANUP(scan_fini) struct scan second = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/a", f.state);
    fixture_write(&f, "a", "1", 1);
    fixture_write(&f, "b", "1", 1);
    scan(&none, &first);
    age(&first.catalog);
    cr_assert_eq(unlink(path), 0);
    scan(&first.catalog, &second);
    cr_assert_eq(second.catalog.count, 2);
}

Test(scan, other_names_of_a_file_are_links_to_the_first)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    CLEANUP(str_freep) char *a = str_format("%s/m", f.state);
    CLEANUP(str_freep) char *b = str_format("%s/z", f.state);
    CLEANUP(str_freep) char *outside = str_format("%s/outside", f.dir);
    fixture_write(&f, "m", "1", 1);
    fixture_write(&f, "n", "1", 1);
    CLEANUP(str_freep) char *n = str_format("%s/n", f.state);
    cr_assert_eq(link(a, b), 0);
    cr_assert_eq(link(n, outside), 0);
    scan(&none, &s);
    cr_assert_eq(s.catalog.items[1].type, TREE_FILE);
    cr_assert_eq(s.catalog.items[2].type, TREE_FILE); /* its other name is not in the tree */
    cr_assert_eq(s.catalog.items[3].type, TREE_HARDLINK);
}

Test(scan, excluded_directory_is_not_entered)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    struct err err = { 0 };
    static const char *const exclude[] = { "node_modules" };
    CLEANUP(str_freep) char *dir = str_format("%s/node_modules", f.state);
    cr_assert_eq(mkdir(dir, 0700), 0);
    fixture_write(&f, "node_modules/x", "1", 1);
    struct scan_spec spec = {
        .root_fd = root.raw, .before = &none, .exclude = exclude, .exclude_count = 1
    };
    cr_assert(scan_tree(&spec, &s, &err));
    cr_assert_eq(s.catalog.count, 1);
}

Test(scan, shared_memory_of_sqlite_is_left_out)
{
    CLEANUP(scan_fini) struct scan s = { 0 };
    static const char *const names[] = { "a.db",  "a.db-journal", "a.db-shm", "a.db-wal",
                                         "abcde", "alone-shm",    "-shm" };
    for (size_t i = 0; i < COUNT(names); i++)
        fixture_write(&f, names[i], "1", 1);
    scan(&none, &s);
    cr_assert_eq(s.dirty_count, COUNT(names) - 1);
    cr_assert_eq(catalog_find(&s.catalog, view_str("a.db-shm")), SIZE_MAX);
    cr_assert_neq(catalog_find(&s.catalog, view_str("alone-shm")), SIZE_MAX);
}

Test(scan, files_with_chunks_in_a_leaving_pack_are_read_again)
{
    CLEANUP(scan_fini) struct scan first = { 0 };
    CLEANUP(scan_fini) struct scan second = { 0 };
    CLEANUP(pack_set_fini) struct pack_set leave = { 0 };
    struct err err = { 0 };
    fixture_write(&f, "a", "1", 1);
    scan(&none, &first);
    age(&first.catalog);
    size_t ref = catalog_add_ref(&first.catalog, 1);
    first.catalog.refs[ref].pack = 5;
    pack_set_add(&leave, 5, 0);
    struct scan_spec spec = { .root_fd = root.raw, .before = &first.catalog, .leave = &leave };
    cr_assert(scan_tree(&spec, &second, &err));
    cr_assert_eq(second.dirty_count, 1);
}

Test(scan, attributes_of_the_machine_are_left_out)
{
    CLEANUP(buf_fini) struct buf xattrs = { 0 };
    struct err err = { 0 };
    if (fsetxattr(root.raw, "user.kept", "1", 1, 0) < 0)
        cr_skip("no attributes on this file system");
    (void)fsetxattr(root.raw, "security.other", "1", 1, 0);
    cr_assert(scan_xattrs(root.raw, view_str(""), &xattrs, &err), "%s", err.msg);
    struct view name, value;
    struct cursor c = cursor_of(buf_view(&xattrs), "test");
    cr_assert(tree_take_xattr(&c, &name, &value, &err));
    cr_assert(view_is_equal(name, view_str("user.kept")));
    cr_assert_eq(c.rest.len, 0);
}

Test(scan, paths_in_messages_are_clean_and_short)
{
    char shown[128];
    cr_assert_str_eq(scan_show(view_of("a\xff", 2), shown), "a\xef\xbf\xbd");
    char longest[300];
    memset(longest, 'x', sizeof(longest));
    cr_assert_leq(strlen(scan_show(view_of(longest, sizeof(longest)), shown)), 127);
    memset(longest, 0xff, sizeof(longest));
    cr_assert_leq(strlen(scan_show(view_of(longest, sizeof(longest)), shown)), 127);
}
