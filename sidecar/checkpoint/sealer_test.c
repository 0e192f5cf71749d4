#include "sidecar/checkpoint/sealer.h"

#include "sidecar/checkpoint/fixture_test.h"

static struct fixture f;
static struct checkpoint_source source;
static struct quick_seed seed;
static struct pack_out *pack;
static const struct pack_id id = { 9, { 1 } };

static void begin(void)
{
    fixture_begin(&f);
    source = fixture_source(&f);
    seed = quick_seed_new();
    pack = pack_out_new(&source, id, fixture_soon());
}

static void end(void)
{
    pack_out_free(pack);
    fixture_end(&f);
}

TestSuite(sealer, .init = begin, .fini = end);

#define CHUNKS 200
struct placed {
    struct chunk_ref refs[CHUNKS];
    uint64_t quick[CHUNKS];
    size_t order[CHUNKS], count;
};

static void place(void *arg, size_t at, const struct chunk_ref *ref, uint64_t quick)
{
    struct placed *p = arg;
    p->refs[at] = *ref;
    p->quick[at] = quick;
    p->order[p->count++] = at;
}

static void put_all(struct sealer *sealer, struct placed *out, enum pack_kind kind)
{
    static uint8_t bytes[3000];
    struct err err = { 0 };
    sealer_aim(sealer, kind, place, out);
    for (size_t i = 0; i < CHUNKS; i++) {
        fixture_noise(bytes, sizeof(bytes), i % 150); /* the last fifty are known by then */
        cr_assert(sealer_put(sealer, view_of(bytes, sizeof(bytes)), i, &err), "%s", err.msg);
    }
    cr_assert(sealer_flush(sealer, &err), "%s", err.msg);
}

static void seal_with(unsigned threads, struct placed *out)
{
    struct sealer *sealer = sealer_new(&(struct sealer_spec){
        .source = &source, .pack = pack, .id = id, .seed = &seed, .threads = threads });
    put_all(sealer, out, PACK_DATA);
    sealer_free(sealer);
}

static void check_placed(const struct placed *p)
{
    cr_assert_eq(p->count, CHUNKS);
    for (size_t i = 0; i < CHUNKS; i++)
        cr_assert_eq(p->order[i], i);
    for (size_t i = 150; i < CHUNKS; i++)
        cr_assert_eq(p->refs[i].offset, p->refs[i - 150].offset);
    for (size_t i = 1; i < 150; i++)
        cr_assert_eq(p->refs[i].offset, p->refs[i - 1].offset + p->refs[i - 1].sealed_len);
}

Test(sealer, refs_come_in_order_and_equal_chunks_are_stored_once)
{
    static struct placed alone, crew;
    seal_with(0, &alone);
    check_placed(&alone);
    pack_out_free(pack);
    pack = pack_out_new(&source, id, fixture_soon());
    seal_with(2, &crew);
    check_placed(&crew);
    for (size_t i = 0; i < CHUNKS; i++) {
        cr_assert_eq(memcmp(alone.refs[i].id, crew.refs[i].id, CRYPTO_HASH_BYTES), 0);
        cr_assert_eq(alone.quick[i], crew.quick[i]);
    }
}

Test(sealer, chunks_of_the_checkpoint_before_are_not_stored_again)
{
    static struct placed first, second;
    seal_with(2, &first);
    CLEANUP(pack_set_fini) struct pack_set live = { 0 };
    pack_set_add(&live, id.sequence, 0);
    uint64_t stored = pack_out_bytes(pack);
    struct sealer *sealer = sealer_new(&(struct sealer_spec){
        .source = &source,
        .pack = pack,
        .id = id,
        .seed = &seed,
        .threads = 2,
        .known = { .data = first.refs, .data_count = CHUNKS, .live = &live } });
    put_all(sealer, &second, PACK_DATA);
    cr_assert_eq(pack_out_bytes(pack), stored);
    cr_assert_eq(memcmp(first.refs, second.refs, sizeof(first.refs)), 0);
    second.count = 0;
    put_all(sealer, &second, PACK_TREE); /* another kind is another chunk */
    cr_assert_gt(pack_out_bytes(pack), stored);
    sealer_free(sealer);
}

Test(sealer, chunks_in_packs_that_leave_or_are_not_needed_are_stored_again)
{
    static struct placed first, second;
    seal_with(0, &first);
    CLEANUP(pack_set_fini) struct pack_set live = { 0 };
    uint64_t stored = pack_out_bytes(pack);
    struct sealer *sealer = sealer_new(&(struct sealer_spec){
        .source = &source,
        .pack = pack,
        .id = id,
        .seed = &seed,
        .known = { .data = first.refs, .data_count = CHUNKS, .live = &live } });
    put_all(sealer, &second, PACK_DATA);
    cr_assert_eq(pack_out_bytes(pack), 2 * stored);
    sealer_free(sealer);
}

static uint64_t seal_tree(const struct placed *before, const struct pack_set *live,
                          struct placed *out)
{
    uint64_t stored = pack_out_bytes(pack);
    struct sealer *sealer = sealer_new(
        &(struct sealer_spec){ .source = &source,
                               .pack = pack,
                               .id = id,
                               .seed = &seed,
                               .threads = 2,
                               .known = { .tree = before->refs,
                                          .tree_quick = before->quick,
                                          .tree_count = CHUNKS,
                                          .live = live } });
    out->count = 0;
    put_all(sealer, out, PACK_TREE);
    sealer_free(sealer);
    return pack_out_bytes(pack) - stored;
}

Test(sealer, tree_is_known_by_its_fingerprints_in_packs_that_stay)
{
    static struct placed nothing, first, second;
    CLEANUP(pack_set_fini) struct pack_set live = { 0 };
    CLEANUP(pack_set_fini) struct pack_set none = { 0 };
    uint64_t all = seal_tree(&nothing, &none, &first);
    pack_set_add(&live, id.sequence, 0);
    cr_assert_eq(seal_tree(&first, &live, &second), 0);
    cr_assert_eq(memcmp(first.refs, second.refs, sizeof(first.refs)), 0);
    cr_assert_eq(seal_tree(&first, &none, &second), all);
}

Test(sealer, failing_store_ends_the_run_and_leaks_nothing)
{
    struct mem_server *server = mem_server_new();
    struct err err = { 0 };
    static uint8_t bytes[200000];
    static struct placed out;
    source.store = mem_server_connect(server);
    mem_server_script(server, MEM_PACK_WRITE, MEM_FULL, 1000);
    struct sealer *sealer = sealer_new(&(struct sealer_spec){
        .source = &source, .pack = pack, .id = id, .seed = &seed, .threads = 2 });
    sealer_aim(sealer, PACK_DATA, place, &out);
    bool good = true;
    for (size_t i = 0; i < 50 && good; i++) {
        fixture_noise(bytes, sizeof(bytes), i);
        good = sealer_put(sealer, view_of(bytes, sizeof(bytes)), i, &err);
    }
    cr_assert_not(good);
    cr_assert_eq(err.os_errno, ENOSPC);
    sealer_free(sealer);
    pack_out_free(pack);
    pack = NULL;
    store_close(source.store);
    mem_server_free(server);
}
