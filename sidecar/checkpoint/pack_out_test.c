#include "sidecar/checkpoint/pack_out.h"

#include "sidecar/checkpoint/fetch.h"
#include "sidecar/checkpoint/fixture_test.h"

static struct fixture f;
static struct checkpoint_source source;
static const struct pack_id id = { 9, { 1, 2 } };

static void begin(void)
{
    fixture_begin(&f);
    source = fixture_source(&f);
}
static void end(void) { fixture_end(&f); }
TestSuite(pack_out, .init = begin, .fini = end);

static struct chunk_ref refs[1];
static struct pack_id packs[1];

static struct manifest small_manifest(void)
{
    struct manifest m = { .id = id,
                          .cut = CUT_CONSISTENT,
                          .tree_bytes = 1,
                          .refs = refs,
                          .ref_count = 1,
                          .packs = packs,
                          .pack_count = 1 };
    refs[0] = (struct chunk_ref){ .plain_len = 1, .sealed_len = 42, .pack = 9, .offset = 32 };
    packs[0] = id;
    (void)snprintf(m.name, sizeof(m.name), "%s", FIXTURE_NAME);
    return m;
}

static bool count_entry(void *arg, const struct pack_index_entry *entry, struct err *err)
{
    (void)err;
    cr_assert_eq(entry->ref.sealed_len, 60);
    ++*(size_t *)arg;
    return true;
}

static void write_chunks(size_t count)
{
    struct err err = { 0 };
    struct manifest m = small_manifest();
    uint8_t sealed[60] = { 0 };
    CLEANUP(pack_out_freep) struct pack_out *pack = pack_out_new(&source, id, fixture_soon());
    for (size_t i = 0; i < count; i++) {
        struct chunk_ref ref = { .plain_len = 100 };
        cr_assert(pack_out_chunk(pack, PACK_DATA, view_of(sealed, sizeof(sealed)), &ref, &err));
        cr_assert_eq(ref.pack, 9);
    }
    cr_assert(pack_out_finish(pack, &m, &err), "%s", err.msg);
    cr_assert_eq(pack_out_bytes(pack), 60 * count);
}

Test(pack_out, index_in_several_blocks_is_read_back)
{
    struct err err = { 0 };
    CLEANUP(fetch_fini) struct fetch fetch = { 0 };
    CLEANUP(manifest_fini) struct manifest m = { 0 };
    size_t count = 0;
    write_chunks(3 * PACK_BLOCK_MAX + 5);
    fetch_init(&fetch, &source, fixture_soon());
    cr_assert(fetch_index(&fetch, id, count_entry, &count, &err), "%s", err.msg);
    cr_assert_eq(count, 3 * PACK_BLOCK_MAX + 5);
    cr_assert(fetch_manifest(&fetch, id, &m, &err), "%s", err.msg);
}

Test(pack_out, pack_may_hold_a_manifest_only)
{
    struct err err = { 0 };
    CLEANUP(fetch_fini) struct fetch fetch = { 0 };
    CLEANUP(manifest_fini) struct manifest m = { 0 };
    size_t count = 0;
    write_chunks(0);
    fetch_init(&fetch, &source, fixture_soon());
    cr_assert(fetch_index(&fetch, id, count_entry, &count, &err), "%s", err.msg);
    cr_assert_eq(count, 0);
    cr_assert(fetch_manifest(&fetch, id, &m, &err), "%s", err.msg);
}

Test(pack_out, nothing_is_there_before_the_finish)
{
    struct err err = { 0 };
    uint64_t size;
    char name[PACK_ID_TEXT];
    uint8_t sealed[60] = { 0 };
    struct chunk_ref ref = { .plain_len = 100 };
    struct pack_out *pack = pack_out_new(&source, id, fixture_soon());
    cr_assert(pack_out_chunk(pack, PACK_DATA, view_of(sealed, sizeof(sealed)), &ref, &err));
    pack_out_free(pack);
    pack_id_format(id, name);
    cr_assert_not(store_pack_size(f.store, FIXTURE_NAME, name, fixture_soon(), &size, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
}

Test(pack_out, pack_of_the_same_name_is_a_conflict)
{
    struct err err = { 0 };
    struct manifest m = small_manifest();
    write_chunks(1);
    CLEANUP(pack_out_freep) struct pack_out *pack = pack_out_new(&source, id, fixture_soon());
    cr_assert_not(pack_out_finish(pack, &m, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
}
