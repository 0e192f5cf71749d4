#include "sidecar/checkpoint/sealer.h"

#include "common/base/own.h"
#include "common/loop/crew.h"
#include "sidecar/image/chunk_index.h"

#include <assert.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define THREADS_MAX  8
#define SEALED_ROOM  PACK_SEALED_BYTES(CHUNK_MAX)
#define KINDS        2  /* PACK_DATA and PACK_TREE */
#define INLINE_PUTS  12 /* chunks before threads and an index are worth their start */
#define EXPECT_AHEAD 8  /* chunks of the tree that may have gone since last time */

/* One chunk on its way. */
struct job {
    struct sealer *sealer;
    uint8_t *plain, *sealed; /* CHUNK_MAX, SEALED_ROOM */
    size_t sealed_len;       /* 0: known, found is its place */
    size_t at;
    struct chunk_ref ref;
    uint64_t quick;
};

struct known_set { /* chunks of one kind */
    const struct chunk_ref *refs;
    size_t count;
    struct chunk_index index;  /* in refs: made before the crew, whose jobs read it */
    struct chunk_ref *fresh;   /* of this run */
    struct chunk_index in_run; /* in fresh: caller's thread only */
    size_t fresh_count, fresh_cap;
};

struct sealer {
    struct sealer_spec spec;
    struct crew *crew; /* NULL: everything is done in the caller */
    unsigned threads;
    size_t puts;
    struct job *jobs; /* job_count, used in turn */
    size_t job_count, next;
    uint8_t *memory; /* of all jobs: mapped, so that it is given back at once */
    size_t memory_bytes;
    _Atomic(struct squeeze *) squeezes[THREADS_MAX]; /* as many as jobs run at once; NULL: taken */
    unsigned squeeze_count;
    struct known_set sets[KINDS];
    size_t tree_at; /* tree chunks come in the order of last time: the one expected next */
    enum pack_kind kind;
    sealer_place_fn *place;
    void *place_arg;
};

static struct known_set *set_of(struct sealer *s, enum pack_kind kind)
{
    return &s->sets[kind == PACK_TREE];
}

/* In a pack that will stay: others may be gone by the time somebody restores. */
static bool is_lasting(const struct sealer *s, const struct chunk_ref *ref)
{
    return pack_set_has(s->spec.known.live, ref->pack) &&
           !pack_set_has(s->spec.known.leave, ref->pack);
}

static void learn(struct sealer *s, struct known_set *set)
{
    assert(set->count < CHUNK_INDEX_NONE);
    for (size_t i = 0; i < set->count; i++)
        if (is_lasting(s, &set->refs[i]))
            chunk_index_add(&set->index, set->refs, (uint32_t)i);
}

/* A few lookups cost less than making the index. */
static const struct chunk_ref *find_known(const struct sealer *s, const struct known_set *set,
                                          const uint8_t id[CRYPTO_HASH_BYTES])
{
    if (s->crew != NULL) {
        uint32_t found = chunk_index_find(&set->index, set->refs, id);
        return found == CHUNK_INDEX_NONE ? NULL : &set->refs[found];
    }
    for (size_t i = 0; i < set->count; i++)
        if (memcmp(set->refs[i].id, id, CRYPTO_HASH_BYTES) == 0 && is_lasting(s, &set->refs[i]))
            return &set->refs[i];
    return NULL;
}

static void map_memory(struct sealer *s)
{
    const size_t job_bytes = CHUNK_MAX + SEALED_ROOM;
    s->memory_bytes = s->job_count * job_bytes;
    s->memory = mmap(NULL, s->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                     0);
    if (s->memory == MAP_FAILED)
        abort();
    uint8_t *at = s->memory;
    for (size_t i = 0; i < s->job_count; i++, at += job_bytes)
        s->jobs[i] = (struct job){ .sealer = s, .plain = at, .sealed = at + CHUNK_MAX };
    for (size_t i = 0; i < s->squeeze_count; i++)
        atomic_init(&s->squeezes[i], squeeze_new(true));
}

struct sealer *sealer_new(const struct sealer_spec *spec)
{
    struct sealer *s = mem_new(struct sealer);
    unsigned threads = spec->threads < THREADS_MAX ? spec->threads : THREADS_MAX;
    s->spec = *spec;
    s->squeeze_count = threads > 0 ? threads : 1;
    s->job_count = threads + 2;
    s->jobs = mem_array(s->job_count, sizeof(struct job));
    map_memory(s);
    s->threads = threads;
    const struct sealer_known *known = &spec->known;
    set_of(s, PACK_DATA)->refs = known->data;
    set_of(s, PACK_DATA)->count = known->data_count;
    set_of(s, PACK_TREE)->refs = known->tree;
    set_of(s, PACK_TREE)->count = known->tree_count;
    return s;
}

void sealer_free(struct sealer *sealer)
{
    if (sealer == NULL)
        return;
    while (sealer->crew != NULL && crew_collect(sealer->crew) != NULL)
        ;
    if (sealer->crew != NULL)
        crew_free(sealer->crew);
    for (size_t i = 0; i < sealer->squeeze_count; i++)
        squeeze_free(atomic_load(&sealer->squeezes[i]));
    (void)munmap(sealer->memory, sealer->memory_bytes);
    for (size_t i = 0; i < KINDS; i++) {
        chunk_index_fini(&sealer->sets[i].index);
        chunk_index_fini(&sealer->sets[i].in_run);
        free(sealer->sets[i].fresh);
    }
    free(sealer->jobs);
    free(sealer);
}

static struct squeeze *take_squeeze(struct sealer *s)
{
    for (size_t i = 0;; i = (i + 1) % s->squeeze_count) {
        struct squeeze *squeeze = atomic_exchange(&s->squeezes[i], NULL);
        if (squeeze != NULL)
            return squeeze; /* there are as many as jobs run at once, so one is free */
    }
}

static void give_squeeze(struct sealer *s, struct squeeze *squeeze)
{
    for (size_t i = 0;; i = (i + 1) % s->squeeze_count) {
        struct squeeze *none = NULL;
        if (atomic_compare_exchange_strong(&s->squeezes[i], &none, squeeze))
            return;
    }
}

/* On a crew's thread: the name is of the very bytes that are sealed. */
static void run_job(void *arg)
{
    struct job *job = arg;
    struct sealer *s = job->sealer;
    const struct agent_keys *keys = s->spec.source->keys;
    struct view plain = view_of(job->plain, job->ref.plain_len);
    struct known_set *set = set_of(s, s->kind);
    job->quick = quick_hash(s->spec.seed, plain);
    agent_keys_hash(keys, SUBKEY_CHUNK_ID, plain, job->ref.id);
    const struct chunk_ref *found = find_known(s, set, job->ref.id);
    if (found != NULL) {
        job->ref = *found;
        job->sealed_len = 0;
        return;
    }
    struct pack_bind bind = { .pack = s->spec.id, .kind = s->kind, .chunk_id = job->ref.id };
    struct squeeze *squeeze = take_squeeze(s);
    job->sealed_len = pack_seal(keys, squeeze, &bind, plain, job->sealed);
    give_squeeze(s, squeeze);
}

/* Puts what was sealed into the pack, unless the same chunk went there a moment ago. */
static bool store_job(struct sealer *s, struct job *job, struct err *err)
{
    struct known_set *set = set_of(s, s->kind);
    uint32_t found = chunk_index_find(&set->in_run, set->fresh, job->ref.id);
    if (found != CHUNK_INDEX_NONE) {
        job->ref = set->fresh[found];
        return true;
    }
    if (!pack_out_chunk(s->spec.pack, s->kind, view_of(job->sealed, job->sealed_len), &job->ref,
                        err))
        return false;
    if (set->fresh_count == set->fresh_cap) {
        set->fresh_cap = set->fresh_cap == 0 ? 64 : 2 * set->fresh_cap;
        set->fresh = mem_resize(set->fresh, set->fresh_cap, sizeof(struct chunk_ref));
    }
    set->fresh[set->fresh_count] = job->ref;
    chunk_index_add(&set->in_run, set->fresh, (uint32_t)set->fresh_count++);
    return true;
}

static bool end_job(struct sealer *s, struct job *job, struct err *err)
{
    if (job->sealed_len > 0 && !store_job(s, job, err))
        return false;
    s->place(s->place_arg, job->at, &job->ref, job->quick);
    return true;
}

static bool collect_one(struct sealer *s, struct err *err)
{
    struct job *job = crew_collect(s->crew);
    assert(job != NULL);
    return end_job(s, job, err);
}

static size_t outstanding(const struct sealer *s)
{
    return s->crew == NULL ? 0 : crew_outstanding(s->crew);
}

void sealer_aim(struct sealer *sealer, enum pack_kind kind, sealer_place_fn *place, void *arg)
{
    assert(outstanding(sealer) == 0);
    sealer->kind = kind;
    sealer->place = place;
    sealer->place_arg = arg;
}

/* The tree is the same as last time but for a few chunks: its fingerprints say where. */
static bool place_expected(struct sealer *s, struct view plain, size_t at)
{
    const struct sealer_known *known = &s->spec.known;
    if (known->tree_quick == NULL)
        return false;
    uint64_t quick = quick_hash(s->spec.seed, plain);
    for (size_t i = s->tree_at; i < known->tree_count && i < s->tree_at + EXPECT_AHEAD; i++) {
        const struct chunk_ref *ref = &known->tree[i];
        if (known->tree_quick[i] != quick || ref->plain_len != plain.len || !is_lasting(s, ref))
            continue;
        s->tree_at = i + 1;
        s->place(s->place_arg, at, ref, quick);
        return true;
    }
    return false;
}

static void start_crew(struct sealer *s)
{
    learn(s, set_of(s, PACK_DATA));
    learn(s, set_of(s, PACK_TREE));
    s->crew = crew_new("sealer", s->threads, s->job_count);
}

bool sealer_put(struct sealer *sealer, struct view plain, size_t at, struct err *err)
{
    assert(plain.len >= 1 && plain.len <= CHUNK_MAX && sealer->place != NULL);
    if (sealer->kind == PACK_TREE && place_expected(sealer, plain, at))
        return true;
    if (sealer->puts++ == INLINE_PUTS)
        start_crew(sealer);
    assert(sealer->job_count > 0);
    if (outstanding(sealer) == sealer->job_count && !collect_one(sealer, err))
        return false;
    struct job *job = &sealer->jobs[sealer->next++ % sealer->job_count];
    memcpy(job->plain, plain.data, plain.len);
    job->ref = (struct chunk_ref){ .plain_len = (uint32_t)plain.len };
    job->at = at;
    if (sealer->crew != NULL) {
        crew_submit(sealer->crew, run_job, job);
        return true;
    }
    run_job(job);
    return end_job(sealer, job, err);
}

bool sealer_flush(struct sealer *sealer, struct err *err)
{
    while (outstanding(sealer) > 0)
        if (!collect_one(sealer, err))
            return false;
    return true;
}
