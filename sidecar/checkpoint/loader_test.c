#include "sidecar/checkpoint/loader.h"

#include "sidecar/checkpoint/fixture_test.h"

#include <stdatomic.h>

static struct fixture f;
static struct checkpoint_source source;
static struct manifest manifest;
static struct buf tree;

static void begin(void)
{
    struct err err = { 0 };
    struct fetch fetch;
    fixture_begin(&f);
    for (int i = 0; i < 40; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "f%02d", i);
        fixture_write_noise(&f, name, 60000, (uint64_t)i);
    }
    cr_assert(fixture_save(&f));
    source = fixture_source(&f);
    fetch_init(&fetch, &source, fixture_soon());
    struct pack_id id;
    cr_assert(pack_id_parse(view_str(f.head), &id, &err));
    cr_assert(fetch_manifest(&fetch, id, &manifest, &err));
    cr_assert(fetch_tree(&fetch, &manifest, &tree, NULL, &err));
    fetch_fini(&fetch);
}

static void end(void)
{
    manifest_fini(&manifest);
    buf_fini(&tree);
    fixture_end(&f);
}

TestSuite(loader, .init = begin, .fini = end);

struct tally {
    uint64_t next;
    size_t failures;
    bool stops;
};

static atomic_size_t used_bytes;

static bool use(const struct load *load, struct view plain, struct err *err)
{
    (void)err;
    cr_assert_eq(plain.len, load->ref.plain_len);
    atomic_fetch_add(&used_bytes, plain.len);
    return true;
}

static bool done(void *arg, const struct load *load, const struct err *failure, struct err *err)
{
    struct tally *tally = arg;
    cr_assert_eq(load->at, tally->next++); /* in the order asked for */
    tally->failures += failure != NULL;
    return !tally->stops || err_set(err, ERR_INVALID, "enough");
}

static bool load_all(struct tally *tally, unsigned threads, struct err *err)
{
    CLEANUP(loader_freep)
    struct loader *loader = loader_new(&(struct loader_spec){ .source = &source,
                                                              .manifest = &manifest,
                                                              .until = fixture_soon(),
                                                              .threads = threads,
                                                              .use = use,
                                                              .done = done,
                                                              .done_arg = tally });
    struct cursor c = cursor_of(buf_view(&tree), "tree");
    uint64_t at = 0;
    while (c.rest.len > 0) {
        struct tree_entry entry;
        cr_assert(tree_decode_entry(&c, &entry, err));
        struct cursor chunks = cursor_of(entry.chunks, "tree");
        while (chunks.rest.len > 0) {
            struct load load = { .kind = PACK_DATA, .at = at++ };
            cr_assert(chunk_ref_decode(&chunks, &load.ref, err));
            if (!loader_put(loader, &load, err))
                return false;
        }
    }
    return loader_flush(loader, err);
}

Test(loader, every_chunk_comes_back_once_in_order)
{
    static const unsigned threads[] = { 0, 1, 3 };
    for (size_t i = 0; i < COUNT(threads); i++) {
        struct tally tally = { 0 };
        struct err err = { 0 };
        atomic_store(&used_bytes, 0);
        cr_assert(load_all(&tally, threads[i], &err), "%s", err.msg);
        cr_assert_eq(tally.failures, 0);
        cr_assert_eq(tally.next, manifest.totals.chunks);
        cr_assert_eq(atomic_load(&used_bytes), 40 * 60000);
    }
}

Test(loader, damage_is_told_for_its_chunk_only)
{
    struct tally tally = { 0 };
    struct err err = { 0 };
    CLEANUP(str_freep)
    char *path = str_format("%s/store/agents/prod%%2Fweb%%2F1/packs/%s", f.dir, f.head);
    CLEANUP(fd_closep) struct fd fd = { open(path, O_WRONLY | O_CLOEXEC) };
    cr_assert_eq(pwrite(fd.raw, "damage", 6, 1000000), 6);
    cr_assert(load_all(&tally, 2, &err), "%s", err.msg);
    cr_assert_eq(tally.failures, 1);
    cr_assert_eq(tally.next, manifest.totals.chunks);
}

Test(loader, failing_done_and_absent_store_end_it)
{
    struct tally tally = { .stops = true };
    struct err err = { 0 };
    cr_assert_not(load_all(&tally, 2, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    CLEANUP(str_freep) char *store = str_format("%s/store", f.dir);
    CLEANUP(str_freep) char *away = str_format("%s/away", f.dir);
    cr_assert_eq(rename(store, away), 0);
    tally = (struct tally){ 0 };
    cr_assert_not(load_all(&tally, 2, &err));
    cr_assert_eq(err.kind, ERR_UNAVAILABLE, "%s", err.msg);
}
