#include "sidecar/checkpoint/fetch.h"

#include "sidecar/checkpoint/fixture_test.h"

static struct fixture f;
static struct fetch fetch;
static struct checkpoint_source source;

static void begin(void)
{
    fixture_begin(&f);
    fixture_write_noise(&f, "a", 100000, 1);
    cr_assert(fixture_save(&f));
    source = fixture_source(&f);
    fetch_init(&fetch, &source, fixture_soon());
}

static void end(void)
{
    fetch_fini(&fetch);
    fixture_end(&f);
}

TestSuite(fetch, .init = begin, .fini = end);

static struct pack_id head(void)
{
    struct pack_id id;
    struct err err = { 0 };
    cr_assert(pack_id_parse(view_str(f.head), &id, &err));
    return id;
}

Test(fetch, manifest_and_tree_of_a_checkpoint)
{
    CLEANUP(manifest_fini) struct manifest m = { 0 };
    CLEANUP(buf_fini) struct buf tree = { 0 };
    CLEANUP(tree_refs_fini) struct tree_refs refs = { 0 };
    struct err err = { 0 };
    cr_assert(fetch_manifest(&fetch, head(), &m, &err), "%s", err.msg);
    cr_assert(fetch_tree(&fetch, &m, &tree, &refs, &err), "%s", err.msg);
    cr_assert_eq(tree.len, m.tree_bytes);
    cr_assert_eq(refs.count, m.ref_count);
    cr_assert_gt(fetch.read_bytes, 0);
}

Test(fetch, tree_that_is_not_the_manifests_is_corrupt)
{
    CLEANUP(manifest_fini) struct manifest m = { 0 };
    struct err err = { 0 };
    cr_assert(fetch_manifest(&fetch, head(), &m, &err));
    struct manifest good = m;
    for (int i = 0; i < 4; i++) {
        CLEANUP(buf_fini) struct buf tree = { 0 };
        m = good;
        m.tree_bytes += i == 0;
        m.tree_bytes -= i == 1;
        m.totals.files += i == 2;
        m.root_hash[0] ^= i == 3;
        cr_assert_not(fetch_tree(&fetch, &m, &tree, NULL, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT);
        cr_assert_not_null(strstr(err.msg, f.head), "%s", err.msg);
    }
    m = good;
}

Test(fetch, missing_pack_is_not_found_and_named)
{
    CLEANUP(manifest_fini) struct manifest m = { 0 };
    struct err err = { 0 };
    cr_assert_not(fetch_manifest(&fetch, (struct pack_id){ 7, { 1 } }, &m, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert_not_null(strstr(err.msg, "00000007-0100000000000000"), "%s", err.msg);
}

Test(fetch, checkpoint_of_another_agent_is_corrupt)
{
    CLEANUP(manifest_fini) struct manifest m = { 0 };
    CLEANUP(str_freep) char *packs = str_format("%s/store/agents/prod%%2Fweb%%2F1", f.dir);
    CLEANUP(str_freep) char *other = str_format("%s/store/agents/other", f.dir);
    struct err err = { 0 };
    cr_assert_eq(rename(packs, other), 0);
    source.name = "other"; /* with the same key, which two agents never have */
    cr_assert_not(fetch_manifest(&fetch, head(), &m, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_not_null(strstr(err.msg, FIXTURE_NAME), "%s", err.msg);
}

Test(fetch, chunk_with_another_name_is_corrupt)
{
    CLEANUP(squeeze_freep) struct squeeze *sealing = squeeze_new(true);
    CLEANUP(squeeze_freep) struct squeeze *opening = squeeze_new(false);
    struct err err = { 0 };
    uint8_t sealed[100], out[10];
    struct chunk_ref ref = { .plain_len = 5 }; /* the name says other bytes */
    struct pack_bind bind = { .pack = head(), .kind = PACK_DATA, .chunk_id = ref.id };
    size_t len = pack_seal(f.keys, sealing, &bind, view_str("hello"), sealed);
    cr_assert_not(fetch_open_chunk(f.keys, opening, &bind, view_of(sealed, len), &ref, out, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    agent_keys_hash(f.keys, SUBKEY_CHUNK_ID, view_str("hello"), ref.id);
    len = pack_seal(f.keys, sealing, &bind, view_str("hello"), sealed);
    cr_assert(fetch_open_chunk(f.keys, opening, &bind, view_of(sealed, len), &ref, out, &err));
}
