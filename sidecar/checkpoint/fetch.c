#include "sidecar/checkpoint/fetch.h"

#include "common/base/own.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

void fetch_init(struct fetch *f, const struct checkpoint_source *source, struct deadline until)
{
    *f = (struct fetch){ .source = source, .until = until, .squeeze = squeeze_new(false) };
}

void fetch_fini(struct fetch *f)
{
    squeeze_free(f->squeeze);
    buf_fini(&f->sealed);
    *f = (struct fetch){ 0 };
}

void tree_refs_fini(struct tree_refs *refs)
{
    free(refs->refs);
    *refs = (struct tree_refs){ 0 };
}

/* Context for whatever went wrong in a pack. */
static bool in_pack(struct pack_id id, const char *part, struct err *err)
{
    char name[PACK_ID_TEXT];
    pack_id_format(id, name);
    return err_wrap(err, "pack %s: %s", name, part);
}

static bool read_range(struct fetch *f, struct pack_id id, uint64_t offset, size_t len,
                       uint8_t *out, struct err *err)
{
    char name[PACK_ID_TEXT];
    struct pack_range range = { offset, len, out };
    pack_id_format(id, name);
    f->read_bytes += len;
    return store_pack_read(f->source->store, f->source->name, name, range, f->until, err);
}

bool fetch_footer(struct fetch *f, struct pack_id id, struct pack_footer *out, struct err *err)
{
    char name[PACK_ID_TEXT];
    uint64_t size = 0;
    uint8_t bytes[PACK_FOOTER_BYTES];
    pack_id_format(id, name);
    if (!store_pack_size(f->source->store, f->source->name, name, f->until, &size, err))
        return in_pack(id, "size", err);
    if (size < PACK_HEADER_BYTES + PACK_FOOTER_BYTES)
        return err_set(err, ERR_CORRUPT, "pack %s: only %" PRIu64 " bytes", name, size);
    if (!read_range(f, id, size - sizeof(bytes), sizeof(bytes), bytes, err) ||
        !pack_footer_decode(view_of(bytes, sizeof(bytes)), id, size, out, err))
        return in_pack(id, "footer", err);
    return true;
}

bool fetch_header(struct fetch *f, struct pack_id id, struct pack_header *out, struct err *err)
{
    uint8_t bytes[PACK_HEADER_BYTES];
    return (read_range(f, id, 0, sizeof(bytes), bytes, err) &&
            pack_header_decode(view_of(bytes, sizeof(bytes)), id, out, err)) ||
           in_pack(id, "header", err);
}

/* One of the parts that are bound to their offset. */
struct part {
    struct pack_id id;
    enum pack_kind kind;
    uint64_t offset;
    uint32_t len, plain_len;
};

static bool fetch_part(struct fetch *f, const struct part *part, struct buf *out, struct err *err)
{
    struct pack_bind bind = { .pack = part->id, .kind = part->kind, .offset = part->offset };
    f->sealed.len = 0;
    uint8_t *sealed = buf_reserve(&f->sealed, part->len);
    if (!read_range(f, part->id, part->offset, part->len, sealed, err) ||
        !pack_open(f->source->keys, f->squeeze, &bind, view_of(sealed, part->len), part->plain_len,
                   buf_reserve(out, part->plain_len), err))
        return false;
    out->len += part->plain_len;
    return true;
}

bool fetch_manifest(struct fetch *f, struct pack_id id, struct manifest *out, struct err *err)
{
    struct pack_footer footer;
    CLEANUP(buf_fini) struct buf plain = { 0 };
    *out = (struct manifest){ 0 };
    if (!fetch_footer(f, id, &footer, err))
        return false;
    struct part part = { id, PACK_MANIFEST, footer.manifest_offset, footer.manifest_len,
                         footer.manifest_plain_len };
    if (!fetch_part(f, &part, &plain, err) || !manifest_decode(buf_view(&plain), out, err))
        return in_pack(id, "manifest", err);
    if (!pack_id_is_equal(out->id, id) || strcmp(out->name, f->source->name) != 0) {
        (void)err_set(err, ERR_CORRUPT, "it is of another checkpoint or of agent \"%.100s\"",
                      out->name);
        return in_pack(id, "manifest", err);
    }
    return true;
}

bool fetch_open_chunk(const struct agent_keys *keys, struct squeeze *squeeze,
                      const struct pack_bind *bind, struct view sealed, const struct chunk_ref *ref,
                      uint8_t *out, struct err *err)
{
    uint8_t id[CRYPTO_HASH_BYTES];
    if (!pack_open(keys, squeeze, bind, sealed, ref->plain_len, out, err))
        return false;
    agent_keys_hash(keys, SUBKEY_CHUNK_ID, view_of(out, ref->plain_len), id);
    if (!crypto_is_equal(id, ref->id, sizeof(id)))
        return err_set(err, ERR_CORRUPT, "content does not match its name");
    return true;
}

static bool fetch_chunk(struct fetch *f, const struct manifest *m, const struct chunk_ref *ref,
                        struct buf *out, struct err *err)
{
    struct pack_bind bind = { .kind = PACK_TREE, .chunk_id = ref->id };
    if (!manifest_pack(m, ref->pack, &bind.pack, err))
        return false;
    f->sealed.len = 0;
    uint8_t *sealed = buf_reserve(&f->sealed, ref->sealed_len);
    if (!read_range(f, bind.pack, ref->offset, ref->sealed_len, sealed, err) ||
        !fetch_open_chunk(f->source->keys, f->squeeze, &bind, view_of(sealed, ref->sealed_len), ref,
                          buf_reserve(out, ref->plain_len), err))
        return in_pack(bind.pack, "tree chunk", err);
    out->len += ref->plain_len;
    return true;
}

static void keep_refs(struct tree_refs *all, const struct tree_refs *level)
{
    if (all == NULL)
        return;
    all->refs = mem_resize(all->refs, all->count + level->count, sizeof(struct chunk_ref));
    memcpy(all->refs + all->count, level->refs, level->count * sizeof(struct chunk_ref));
    all->count += level->count;
}

static bool decode_list(struct view list, struct tree_refs *out, struct err *err)
{
    struct cursor c = cursor_of(list, "list of tree chunks");
    tree_refs_fini(out);
    out->refs = mem_array(list.len / CHUNK_REF_BYTES + 1, sizeof(struct chunk_ref));
    while (c.rest.len > 0)
        if (!chunk_ref_decode(&c, &out->refs[out->count++], err))
            return false;
    return true;
}

/* The content of one level: the list below it, or the tree. */
static bool fetch_level(struct fetch *f, const struct manifest *m, const struct tree_refs *level,
                        size_t max, struct buf *out, struct err *err)
{
    for (size_t i = 0; i < level->count; i++) {
        if (out->len + level->refs[i].plain_len > max)
            return err_set(err, ERR_CORRUPT, "tree: larger than the manifest says");
        if (!fetch_chunk(f, m, &level->refs[i], out, err))
            return false;
    }
    return true;
}

static bool is_same_totals(const struct tree_totals *a, const struct tree_totals *b)
{
    return a->files == b->files && a->dirs == b->dirs && a->symlinks == b->symlinks &&
           a->hardlinks == b->hardlinks && a->bytes == b->bytes && a->chunks == b->chunks;
}

static bool check_tree(const struct fetch *f, const struct manifest *m, struct view tree,
                       struct err *err)
{
    struct tree_totals totals;
    uint8_t hash[CRYPTO_HASH_BYTES];
    if (tree.len != m->tree_bytes)
        return err_set(err, ERR_CORRUPT, "tree: %zu bytes, the manifest says %" PRIu64, tree.len,
                       m->tree_bytes);
    if (!tree_check(tree, &totals, err) || !tree_root_hash(f->source->keys, tree, hash, err))
        return false;
    if (!is_same_totals(&totals, &m->totals))
        return err_set(err, ERR_CORRUPT, "tree: does not add up to what the manifest says");
    if (!crypto_is_equal(hash, m->root_hash, sizeof(hash)))
        return err_set(err, ERR_CORRUPT, "tree: root hash differs");
    return true;
}

bool fetch_tree(struct fetch *f, const struct manifest *m, struct buf *out, struct tree_refs *refs,
                struct err *err)
{
    CLEANUP(tree_refs_fini) struct tree_refs level = { 0 };
    level.refs = mem_array(m->ref_count, sizeof(struct chunk_ref));
    level.count = m->ref_count;
    memcpy(level.refs, m->refs, m->ref_count * sizeof(struct chunk_ref));
    for (uint32_t i = 0; i < m->levels; i++) {
        CLEANUP(buf_fini) struct buf list = { 0 };
        keep_refs(refs, &level);
        if (!fetch_level(f, m, &level, TREE_LIST_MAX, &list, err) ||
            !decode_list(buf_view(&list), &level, err))
            return in_pack(m->id, "tree", err);
    }
    keep_refs(refs, &level);
    if (!fetch_level(f, m, &level, m->tree_bytes, out, err) ||
        !check_tree(f, m, buf_view(out), err))
        return in_pack(m->id, "tree", err);
    return true;
}

bool fetch_index(struct fetch *f, struct pack_id id, fetch_entry_fn *each, void *arg,
                 struct err *err)
{
    struct pack_footer footer;
    struct pack_header header;
    if (!fetch_footer(f, id, &footer, err) || !fetch_header(f, id, &header, err))
        return false;
    if (header.format != footer.format) {
        (void)err_set(err, ERR_CORRUPT, "format %u at the front, %u at the end", header.format,
                      footer.format);
        return in_pack(id, "header", err);
    }
    struct part part = { id, PACK_INDEX, footer.index_offset, footer.index_len,
                         footer.index_plain_len };
    while (part.offset != 0) { /* each block lies before the one that names it: this ends */
        CLEANUP(buf_fini) struct buf plain = { 0 };
        CLEANUP(pack_index_fini) struct pack_index_block block = { 0 };
        if (part.len <= CRYPTO_SEAL_BYTES || part.len > PACK_SEALED_BYTES(PACK_PART_MAX) ||
            !fetch_part(f, &part, &plain, err) ||
            !pack_index_decode(buf_view(&plain), id, part.offset, &block, err))
            return err->kind != ERR_NONE ? in_pack(id, "index", err)
                                         : err_set(err, ERR_CORRUPT, "index: bad length");
        for (size_t i = 0; i < block.count; i++)
            if (!each(arg, &block.entries[i], err))
                return false;
        part.offset = block.before_offset;
        part.len = block.before_len;
        part.plain_len = block.before_plain_len;
    }
    return true;
}
