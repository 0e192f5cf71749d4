#include "sidecar/checkpoint/describe.h"

#include "sidecar/checkpoint/fixture_test.h"

static struct fixture f;
static void begin(void) { fixture_begin(&f); }
static void end(void) { fixture_end(&f); }
TestSuite(describe, .init = begin, .fini = end);

static void fill_catalog(struct catalog *c, unsigned files)
{
    struct item facts = { 0 };
    struct tree_entry root = { .type = TREE_DIR };
    (void)catalog_add(c, &facts, &root);
    for (unsigned i = 0; i < files; i++) {
        char path[200];
        (void)snprintf(path, sizeof(path), "%0180u", i);
        struct tree_entry entry = { .type = TREE_FILE, .path = view_str(path) };
        (void)catalog_add(c, &facts, &entry);
    }
}

static void describe_files(unsigned files, struct description *d)
{
    struct err err = { 0 };
    CLEANUP(catalog_fini) struct catalog c = { 0 };
    struct checkpoint_source source = fixture_source(&f);
    struct pack_id id = { 1, { 0 } };
    struct quick_seed seed = quick_seed_new();
    CLEANUP(pack_out_freep) struct pack_out *pack = pack_out_new(&source, id, fixture_soon());
    CLEANUP(sealer_freep)
    struct sealer *sealer = sealer_new(&(struct sealer_spec){
        .source = &source, .pack = pack, .id = id, .seed = &seed, .threads = 1 });
    fill_catalog(&c, files);
    cr_assert(describe(&c, f.keys, sealer, d, &err), "%s", err.msg);
}

Test(describe, small_tree_needs_no_lists)
{
    CLEANUP(description_fini) struct description d = { 0 };
    describe_files(10, &d);
    cr_assert(d.levels == 0 && d.top == 0 && d.count == 1);
    cr_assert_gt(d.tree_bytes, 10 * 180);
}

Test(describe, large_tree_is_listed_until_the_manifest_can_hold_it)
{
    CLEANUP(description_fini) struct description d = { 0 };
    describe_files(20000, &d);
    cr_assert_geq(d.levels, 1);
    cr_assert_leq(d.count - d.top, TREE_ROOT_REFS);
    cr_assert_gt(d.top, TREE_ROOT_REFS);
}

Test(describe, equal_catalogs_have_equal_root_hashes)
{
    CLEANUP(description_fini) struct description a = { 0 };
    CLEANUP(description_fini) struct description b = { 0 };
    CLEANUP(description_fini) struct description c = { 0 };
    describe_files(100, &a);
    describe_files(100, &b);
    describe_files(101, &c);
    cr_assert_eq(memcmp(a.root_hash, b.root_hash, sizeof(a.root_hash)), 0);
    cr_assert_neq(memcmp(a.root_hash, c.root_hash, sizeof(a.root_hash)), 0);
}
