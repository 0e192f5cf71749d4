#include "sidecar/checkpoint/loader.h"

#include "common/base/own.h"
#include "common/loop/crew.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#define RUN_LOADS   16                  /* chunks in one run */
#define RUN_BYTES   ((size_t)512 << 10) /* read at once */
#define THREADS_MAX 8
_Static_assert(RUN_BYTES >= PACK_SEALED_BYTES(CHUNK_MAX), "a run holds any chunk");

/* Some chunks that lie together, on their way. */
struct run {
    struct loader *loader;
    struct load loads[RUN_LOADS];
    struct err failures[RUN_LOADS]; /* kind ERR_NONE: fine */
    size_t count;
    size_t bytes;
    struct pack_id pack;
    uint8_t *sealed, *plain; /* RUN_BYTES, CHUNK_MAX */
    struct squeeze *squeeze;
};

struct loader {
    struct loader_spec spec;
    struct crew *crew;
    struct run *runs; /* run_count, used in turn */
    size_t run_count, next;
    uint8_t *memory;
    size_t memory_bytes;
    uint64_t read_bytes;
};

struct loader *loader_new(const struct loader_spec *spec)
{
    const size_t run_bytes = RUN_BYTES + CHUNK_MAX;
    struct loader *l = mem_new(struct loader);
    unsigned threads = spec->threads < THREADS_MAX ? spec->threads : THREADS_MAX;
    l->spec = *spec;
    l->run_count = threads > 0 ? threads + 2 : 1;
    l->runs = mem_array(l->run_count, sizeof(struct run));
    l->memory_bytes = l->run_count * run_bytes;
    l->memory = mmap(NULL, l->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    if (l->memory == MAP_FAILED)
        abort();
    uint8_t *at = l->memory;
    for (size_t i = 0; i < l->run_count; i++, at += run_bytes) {
        l->runs[i].loader = l;
        l->runs[i].sealed = at;
        l->runs[i].plain = at + RUN_BYTES;
        l->runs[i].squeeze = squeeze_new(false);
    }
    l->crew = crew_new("loader", threads, l->run_count);
    return l;
}

void loader_free(struct loader *loader)
{
    if (loader == NULL)
        return;
    while (crew_collect(loader->crew) != NULL)
        ;
    crew_free(loader->crew);
    for (size_t i = 0; i < loader->run_count; i++)
        squeeze_free(loader->runs[i].squeeze);
    (void)munmap(loader->memory, loader->memory_bytes);
    free(loader->runs);
    free(loader);
}

uint64_t loader_read_bytes(const struct loader *loader) { return loader->read_bytes; }

static bool open_one(struct run *run, size_t i, struct view sealed, struct err *err)
{
    const struct load *load = &run->loads[i];
    const struct loader_spec *spec = &run->loader->spec;
    struct pack_bind bind = { .pack = run->pack, .kind = load->kind, .chunk_id = load->ref.id };
    return fetch_open_chunk(spec->source->keys, run->squeeze, &bind, sealed, &load->ref, run->plain,
                            err) &&
           spec->use(load, view_of(run->plain, load->ref.plain_len), err);
}

/* On a crew's thread. A damaged chunk does not end the run: the others are still wanted. */
static void open_run(void *arg)
{
    struct run *run = arg;
    size_t at = 0;
    for (size_t i = 0; i < run->count; i++) {
        size_t len = run->loads[i].ref.sealed_len;
        if (run->failures[i].kind == ERR_NONE)
            (void)open_one(run, i, view_of(run->sealed + at, len), &run->failures[i]);
        at += len;
    }
}

static bool collect(struct loader *l, struct err *err)
{
    char name[PACK_ID_TEXT];
    struct run *run = crew_collect(l->crew);
    assert(run != NULL);
    for (size_t i = 0; i < run->count; i++) {
        struct err *failure = &run->failures[i];
        if (failure->kind != ERR_NONE) {
            pack_id_format(run->pack, name);
            (void)err_wrap(failure, "pack %s: chunk", name);
        }
        if (!l->spec.done(l->spec.done_arg, &run->loads[i],
                          failure->kind != ERR_NONE ? failure : NULL, err))
            return false;
    }
    run->count = run->bytes = 0;
    return true;
}

/* Reads the run and hands it over. What cannot be read is damage, unless the store is away. */
static bool submit(struct loader *l, struct err *err)
{
    struct run *run = &l->runs[l->next];
    struct err why = { 0 };
    char name[PACK_ID_TEXT];
    if (run->count == 0)
        return true;
    uint64_t first = run->loads[0].ref.offset;
    bool is_named = manifest_pack(l->spec.manifest, run->loads[0].ref.pack, &run->pack, &why);
    pack_id_format(run->pack, name);
    struct pack_range range = { first, run->bytes, run->sealed };
    if (!is_named || !store_pack_read(l->spec.source->store, l->spec.source->name, name, range,
                                      l->spec.until, &why)) {
        if (why.kind != ERR_CORRUPT && why.kind != ERR_NOT_FOUND) {
            *err = why;
            return err_wrap(err, "pack %s", name);
        }
        why.kind = ERR_CORRUPT;
    }
    for (size_t i = 0; i < run->count; i++)
        run->failures[i] = why;
    l->read_bytes += run->bytes;
    l->next = (l->next + 1) % l->run_count;
    crew_submit(l->crew, open_run, run);
    return crew_outstanding(l->crew) < l->run_count || collect(l, err);
}

static bool fits(const struct run *run, const struct chunk_ref *ref)
{
    if (run->count == 0)
        return true;
    return run->count < RUN_LOADS && run->bytes + ref->sealed_len <= RUN_BYTES &&
           ref->pack == run->loads[0].ref.pack &&
           ref->offset == run->loads[0].ref.offset + run->bytes;
}

bool loader_put(struct loader *loader, const struct load *load, struct err *err)
{
    if (!fits(&loader->runs[loader->next], &load->ref) && !submit(loader, err))
        return false;
    struct run *run = &loader->runs[loader->next];
    run->loads[run->count++] = *load;
    run->bytes += load->ref.sealed_len;
    return true;
}

bool loader_flush(struct loader *loader, struct err *err)
{
    if (!submit(loader, err))
        return false;
    while (crew_outstanding(loader->crew) > 0)
        if (!collect(loader, err))
            return false;
    return true;
}
