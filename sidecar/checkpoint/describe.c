#include "sidecar/checkpoint/describe.h"

#include "common/base/own.h"
#include "sidecar/image/chunker.h"

#include <stdlib.h>

void description_fini(struct description *d)
{
    free(d->refs);
    free(d->quick);
    *d = (struct description){ 0 };
}

/* A stream of bytes on its way into chunks. */
struct cutter {
    struct sealer *sealer;
    struct description *out;
    struct chunker chunker;
    struct buf pending; /* of the chunk that is not cut yet */
    uint64_t bytes;
};

static void place(void *arg, size_t at, const struct chunk_ref *ref, uint64_t quick)
{
    struct description *d = arg;
    d->refs[at] = *ref;
    d->quick[at] = quick;
}

static bool put_chunk(struct cutter *c, struct view plain, struct err *err)
{
    struct description *d = c->out;
    if ((d->count & (d->count - 1)) == 0) { /* at powers of two */
        size_t room = d->count == 0 ? 1 : 2 * d->count;
        d->refs = mem_resize(d->refs, room, sizeof(struct chunk_ref));
        d->quick = mem_resize(d->quick, room, sizeof(uint64_t));
    }
    return sealer_put(c->sealer, plain, d->count++, err);
}

static bool cutter_feed(struct cutter *c, struct view bytes, struct err *err)
{
    c->bytes += bytes.len;
    while (bytes.len > 0) {
        bool is_cut;
        size_t taken = chunker_feed(&c->chunker, bytes, &is_cut);
        buf_put(&c->pending, view_of(bytes.data, taken));
        bytes = view_of(bytes.data + taken, bytes.len - taken);
        if (!is_cut)
            continue;
        if (!put_chunk(c, buf_view(&c->pending), err))
            return false;
        c->pending.len = 0;
    }
    return true;
}

static bool cutter_end(struct cutter *c, struct err *err)
{
    return (c->pending.len == 0 || put_chunk(c, buf_view(&c->pending), err)) &&
           sealer_flush(c->sealer, err);
}

static void cutter_fini(struct cutter *c) { buf_fini(&c->pending); }

static bool put_tree(const struct catalog *catalog, const struct agent_keys *keys,
                     struct sealer *sealer, struct description *out, struct err *err)
{
    CLEANUP(keyed_hash_freep) struct keyed_hash *hash = keyed_hash_new(keys, SUBKEY_ROOT_HASH);
    CLEANUP(buf_fini) struct buf list = { 0 };
    CLEANUP(cutter_fini)
    struct cutter c = { .sealer = sealer, .out = out, .chunker = chunker_of(CHUNK_TREE) };
    for (size_t i = 0; i < catalog->count; i++) {
        const struct item *item = &catalog->items[i];
        struct view head = catalog_borrow_head(catalog, i);
        list.len = 0;
        if (item->type == TREE_FILE)
            tree_encode_chunks(catalog->refs + item->first_ref, item->ref_count, &list);
        tree_hash_entry(hash, head, buf_view(&list));
        if (!cutter_feed(&c, head, err) || !cutter_feed(&c, buf_view(&list), err))
            return false;
    }
    keyed_hash_finish(hash, out->root_hash);
    out->tree_bytes = c.bytes;
    if (c.bytes > TREE_BYTES_MAX)
        return err_set(err, ERR_INVALID, "describe %zu entries: beyond the format's limit",
                       catalog->count);
    return cutter_end(&c, err);
}

/* One level more: the list of the last one, in chunks. */
static bool put_list(struct sealer *sealer, struct description *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf list = { 0 };
    CLEANUP(cutter_fini)
    struct cutter c = { .sealer = sealer, .out = out, .chunker = chunker_of(CHUNK_TREE) };
    for (size_t i = out->top; i < out->count; i++)
        chunk_ref_encode(&out->refs[i], &list);
    out->top = out->count;
    out->levels++;
    return cutter_feed(&c, buf_view(&list), err) && cutter_end(&c, err);
}

bool describe(const struct catalog *catalog, const struct agent_keys *keys, struct sealer *sealer,
              struct description *out, struct err *err)
{
    sealer_aim(sealer, PACK_TREE, place, out);
    if (!put_tree(catalog, keys, sealer, out, err))
        return false;
    while (out->count - out->top > TREE_ROOT_REFS) {
        if (out->levels == TREE_LEVELS_MAX)
            return err_set(err, ERR_INVALID, "describe %zu entries: too many levels",
                           catalog->count);
        if (!put_list(sealer, out, err))
            return false;
    }
    return true;
}
