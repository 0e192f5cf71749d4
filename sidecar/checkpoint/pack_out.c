#include "sidecar/checkpoint/pack_out.h"

#include "common/base/own.h"

#include <assert.h>
#include <stdlib.h>

#define BUFFER_BYTES ((size_t)128 << 10) /* one write to the store */

struct pack_out {
    const struct checkpoint_source *source;
    struct pack_id id;
    struct deadline until;
    struct pack_writer *writer; /* NULL before the first byte */
    struct buf buffer;          /* not handed over yet */
    uint64_t offset;            /* of the end, buffer included */
    uint64_t chunk_bytes;
    struct pack_index_block block; /* chunks since the last block; grows to PACK_BLOCK_MAX */
    size_t block_cap;
    uint64_t last_offset; /* of the last finished block; 0: none */
    uint32_t last_len, last_plain_len;
    struct squeeze *squeeze; /* for index and manifest */
};

struct pack_out *pack_out_new(const struct checkpoint_source *source, struct pack_id id,
                              struct deadline until)
{
    assert(source->wrapped_key != NULL);
    struct pack_out *pack = mem_new(struct pack_out);
    pack->source = source;
    pack->id = id;
    pack->until = until;
    return pack;
}

void pack_out_free(struct pack_out *pack)
{
    if (pack == NULL)
        return;
    pack_abandon(pack->writer);
    buf_fini(&pack->buffer);
    pack_index_fini(&pack->block);
    squeeze_free(pack->squeeze);
    free(pack);
}

uint64_t pack_out_bytes(const struct pack_out *pack) { return pack->chunk_bytes; }

static bool hand_over(struct pack_out *pack, struct err *err)
{
    bool good = pack_put(pack->writer, buf_view(&pack->buffer), pack->until, err);
    pack->buffer.len = 0;
    return good;
}

static bool append(struct pack_out *pack, struct view bytes, struct err *err)
{
    pack->offset += bytes.len;
    buf_put(&pack->buffer, bytes);
    return pack->buffer.len < BUFFER_BYTES || hand_over(pack, err);
}

static bool begin(struct pack_out *pack, struct err *err)
{
    if (pack->writer != NULL)
        return true;
    char name[PACK_ID_TEXT];
    pack_id_format(pack->id, name);
    if (!store_pack_create(pack->source->store, pack->source->name, name, pack->until,
                           &pack->writer, err))
        return false;
    CLEANUP(buf_fini) struct buf header = { 0 };
    pack_header_encode(pack->id, pack->source->wrapped_key, &header);
    return append(pack, buf_view(&header), err);
}

/* Seals one of the parts that are bound to their offset, and appends it. */
static bool append_part(struct pack_out *pack, enum pack_kind kind, struct view plain,
                        uint32_t *out_len, struct err *err)
{
    if (plain.len > PACK_PART_MAX)
        return err_set(err, ERR_INVALID, "manifest of %zu bytes is beyond the format", plain.len);
    if (pack->squeeze == NULL)
        pack->squeeze = squeeze_new(true);
    CLEANUP(buf_fini) struct buf sealed = { 0 };
    struct pack_bind bind = { .pack = pack->id, .kind = kind, .offset = pack->offset };
    sealed.len = pack_seal(pack->source->keys, pack->squeeze, &bind, plain,
                           buf_reserve(&sealed, PACK_SEALED_BYTES(plain.len)));
    *out_len = (uint32_t)sealed.len;
    return append(pack, buf_view(&sealed), err);
}

static bool end_block(struct pack_out *pack, struct err *err)
{
    if (pack->block.count == 0)
        return true;
    CLEANUP(buf_fini) struct buf plain = { 0 };
    uint64_t offset = pack->offset;
    pack->block.before_offset = pack->last_offset;
    pack->block.before_len = pack->last_len;
    pack->block.before_plain_len = pack->last_plain_len;
    pack_index_encode(&pack->block, &plain);
    pack->block.count = 0;
    pack->last_offset = offset;
    pack->last_plain_len = (uint32_t)plain.len;
    return append_part(pack, PACK_INDEX, buf_view(&plain), &pack->last_len, err);
}

static void note(struct pack_out *pack, enum pack_kind kind, const struct chunk_ref *ref)
{
    struct pack_index_block *block = &pack->block;
    if (block->count == pack->block_cap) {
        pack->block_cap = pack->block_cap == 0 ? 64 : 2 * pack->block_cap;
        block->entries = mem_resize(block->entries, pack->block_cap,
                                    sizeof(struct pack_index_entry));
    }
    block->entries[block->count++] = (struct pack_index_entry){ .ref = *ref, .kind = kind };
}

bool pack_out_chunk(struct pack_out *pack, enum pack_kind kind, struct view sealed,
                    struct chunk_ref *ref, struct err *err)
{
    assert(kind == PACK_DATA || kind == PACK_TREE);
    if (!begin(pack, err))
        return false;
    ref->pack = pack->id.sequence;
    ref->offset = pack->offset;
    ref->sealed_len = (uint32_t)sealed.len;
    pack->chunk_bytes += sealed.len;
    note(pack, kind, ref);
    return append(pack, sealed, err) &&
           (pack->block.count < PACK_BLOCK_MAX || end_block(pack, err));
}

bool pack_out_finish(struct pack_out *pack, const struct manifest *manifest, struct err *err)
{
    CLEANUP(buf_fini) struct buf plain = { 0 };
    CLEANUP(buf_fini) struct buf footer_bytes = { 0 };
    struct pack_footer footer = { .id = pack->id, .format = PACK_FORMAT };
    manifest_encode(manifest, &plain);
    if (!begin(pack, err) || !end_block(pack, err))
        return false;
    footer.index_offset = pack->last_offset;
    footer.index_len = pack->last_len;
    footer.index_plain_len = pack->last_plain_len;
    footer.manifest_plain_len = (uint32_t)plain.len;
    if (!append_part(pack, PACK_MANIFEST, buf_view(&plain), &footer.manifest_len, err))
        return false;
    pack_footer_encode(&footer, &footer_bytes);
    if (!append(pack, buf_view(&footer_bytes), err) || !hand_over(pack, err))
        return false;
    return pack_commit(&pack->writer, pack->until, err);
}
