#include "sidecar/image/pack.h"

#include "common/base/own.h"

#include <zstd.h>

#include <assert.h>
#include <sys/mman.h>

#define SQUEEZE_LEVEL 1 /* 3 stores 2% less and takes 70% longer */
#define CODEC_RAW     0
#define CODEC_ZSTD    1
#define BIND_BYTES    65
#define INDEX_ENTRY   49
#define SUM_BYTES     8
static const char header_magic[8] = { 'A', 'G', 'N', 'T', 'P', 'A', 'C', 'K' };
static const char footer_magic[8] = { 'A', 'G', 'N', 'T', 'P', 'E', 'N', 'D' };
_Static_assert(PACK_HEADER_BYTES == PACK_FRONT_BYTES + KEYRING_WRAPPED_BYTES + SUM_BYTES,
               "header: front, key, sum");
_Static_assert((size_t)PACK_BLOCK_MAX *INDEX_ENTRY + 64 <= PACK_PART_MAX, "a block is a part");
_Static_assert(PACK_SEALED_BYTES(CHUNK_MAX) <= PACK_SEALED_MAX, "a chunk stored raw fits");

#define SCRATCH_BYTES PACK_SEALED_BYTES(PACK_PART_MAX)

struct squeeze {
    ZSTD_CCtx *sealing; /* one of them, the other is NULL */
    ZSTD_DCtx *opening;
    uint8_t *scratch; /* SCRATCH_BYTES, mapped: what is not used takes no memory */
};

struct squeeze *squeeze_new(bool for_sealing)
{
    struct squeeze *s = mem_new(struct squeeze);
    s->scratch = mmap(NULL, SCRATCH_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                      0);
    if (s->scratch == MAP_FAILED)
        abort();
    if (!for_sealing) {
        s->opening = ZSTD_createDCtx();
        if (s->opening == NULL)
            abort();
        return s;
    }
    s->sealing = ZSTD_createCCtx();
    if (s->sealing == NULL)
        abort();
    (void)ZSTD_CCtx_setParameter(s->sealing, ZSTD_c_compressionLevel, SQUEEZE_LEVEL);
    (void)ZSTD_CCtx_setParameter(s->sealing, ZSTD_c_contentSizeFlag, 0);
    return s;
}

void squeeze_free(struct squeeze *squeeze)
{
    if (squeeze == NULL)
        return;
    (void)ZSTD_freeCCtx(squeeze->sealing);
    (void)ZSTD_freeDCtx(squeeze->opening);
    (void)munmap(squeeze->scratch, SCRATCH_BYTES);
    free(squeeze);
}

static void put_le(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

/* What a part is bound to: 65 bytes, proto/checkpoint.md section 3. */
static void bind_encode(const struct pack_bind *bind, size_t plain_len, uint8_t out[BIND_BYTES])
{
    bool is_chunk = bind->kind == PACK_DATA || bind->kind == PACK_TREE;
    assert(is_chunk == (bind->chunk_id != NULL));
    memset(out, 0, BIND_BYTES);
    memcpy(out, "agnt", 4);
    out[4] = (uint8_t)bind->kind;
    put_le(out + 5, bind->pack.sequence, 8);
    memcpy(out + 13, bind->pack.nonce, 8);
    put_le(out + 21, bind->offset, 8);
    put_le(out + 29, plain_len, 4);
    if (is_chunk)
        memcpy(out + 33, bind->chunk_id, CRYPTO_HASH_BYTES);
}

size_t pack_seal(const struct agent_keys *keys, struct squeeze *squeeze,
                 const struct pack_bind *bind, struct view plain, uint8_t *out)
{
    assert(squeeze->sealing != NULL && plain.len > 0 && plain.len <= PACK_PART_MAX);
    uint8_t ad[BIND_BYTES], *scratch = squeeze->scratch;
    bind_encode(bind, plain.len, ad);
    size_t len = ZSTD_compress2(squeeze->sealing, scratch + 1, plain.len - 1, plain.data,
                                plain.len);
    scratch[0] = CODEC_ZSTD;
    if (ZSTD_isError(len)) { /* does not get shorter */
        scratch[0] = CODEC_RAW;
        memcpy(scratch + 1, plain.data, plain.len);
        len = plain.len;
    }
    agent_keys_seal(keys, view_of(ad, sizeof(ad)), view_of(scratch, 1 + len), out);
    return 1 + len + CRYPTO_SEAL_BYTES;
}

static bool unsqueeze(struct squeeze *squeeze, struct view text, size_t plain_len, uint8_t *out,
                      struct err *err)
{
    if (text.len == 0)
        return err_set(err, ERR_CORRUPT, "sealed part is empty");
    struct view body = view_of(text.data + 1, text.len - 1);
    if (text.data[0] == CODEC_RAW && body.len == plain_len) {
        memcpy(out, body.data, plain_len);
        return true;
    }
    if (text.data[0] != CODEC_ZSTD)
        return err_set(err, ERR_CORRUPT, "sealed part has codec %u, %zu bytes", text.data[0],
                       body.len);
    size_t len = ZSTD_decompressDCtx(squeeze->opening, out, plain_len, body.data, body.len);
    if (ZSTD_isError(len) || len != plain_len)
        return err_set(err, ERR_CORRUPT, "sealed part does not expand to %zu bytes", plain_len);
    return true;
}

bool pack_open(const struct agent_keys *keys, struct squeeze *squeeze, const struct pack_bind *bind,
               struct view sealed, size_t plain_len, uint8_t *out, struct err *err)
{
    uint8_t ad[BIND_BYTES];
    assert(squeeze->opening != NULL);
    if (plain_len == 0 || plain_len > PACK_PART_MAX || sealed.len > PACK_SEALED_BYTES(plain_len))
        return err_set(err, ERR_CORRUPT, "sealed part of %zu bytes for %zu", sealed.len, plain_len);
    bind_encode(bind, plain_len, ad);
    if (!agent_keys_open(keys, view_of(ad, sizeof(ad)), sealed, squeeze->scratch, err))
        return false;
    return unsqueeze(squeeze, view_of(squeeze->scratch, sealed.len - CRYPTO_SEAL_BYTES), plain_len,
                     out, err);
}

static void put_sum(struct buf *out, size_t from)
{
    uint8_t sum[CRYPTO_HASH_BYTES];
    crypto_digest(view_of(out->data + from, out->len - from), sum);
    buf_put(out, view_of(sum, SUM_BYTES));
}

/* The check sum of everything before it in `bytes`. */
static bool take_sum(struct cursor *c, struct view bytes, struct err *err)
{
    uint8_t sum[CRYPTO_HASH_BYTES];
    struct view told;
    size_t summed = bytes.len - c->rest.len;
    if (!cursor_take(c, "check sum", SUM_BYTES, &told, err))
        return false;
    crypto_digest(view_of(bytes.data, summed), sum);
    return memcmp(sum, told.data, SUM_BYTES) == 0 ||
           err_set(err, ERR_CORRUPT, "%s: check sum differs", c->what);
}

static void put_front(struct buf *out, const char magic[8], uint32_t format, struct pack_id id)
{
    buf_put(out, view_of(magic, 8));
    buf_put_u32(out, format);
    buf_put_u32(out, 0);
    pack_id_encode(id, out);
}

/* Magic, format and a zero, as header and footer begin. */
static bool take_front(struct cursor *c, const char magic[8], uint32_t *out_format, struct err *err)
{
    struct view found;
    uint32_t zero;
    if (!cursor_take(c, "magic", 8, &found, err))
        return false;
    if (memcmp(found.data, magic, 8) != 0)
        return err_set(err, ERR_CORRUPT, "%s: not one of ours", c->what);
    if (!cursor_u32(c, "format", out_format, err) || !cursor_u32(c, "reserved", &zero, err))
        return false;
    if ((*out_format != PACK_FORMAT && *out_format != PACK_FORMAT_1) || zero != 0)
        return err_set(err, ERR_CORRUPT, "%s: format %u, this program reads up to %u", c->what,
                       *out_format, (unsigned)PACK_FORMAT);
    return true;
}

static bool take_id(struct cursor *c, struct pack_id expected, struct err *err)
{
    struct pack_id found;
    char text[PACK_ID_TEXT];
    if (!pack_id_decode(c, &found, err))
        return false;
    if (pack_id_is_equal(found, expected))
        return true;
    pack_id_format(found, text);
    return err_set(err, ERR_CORRUPT, "%s: belongs to pack %s", c->what, text);
}

void pack_header_encode(struct pack_id id, const uint8_t wrapped_key[KEYRING_WRAPPED_BYTES],
                        struct buf *out)
{
    size_t start = out->len;
    put_front(out, header_magic, PACK_FORMAT, id);
    buf_put(out, view_of(wrapped_key, KEYRING_WRAPPED_BYTES));
    put_sum(out, start);
}

bool pack_header_decode(struct view bytes, struct pack_id id, struct pack_header *out,
                        struct err *err)
{
    struct cursor c = cursor_of(bytes, "header");
    struct view key;
    *out = (struct pack_header){ 0 };
    if (bytes.len != PACK_HEADER_BYTES)
        return err_set(err, ERR_CORRUPT, "header: %zu bytes", bytes.len);
    if (!take_front(&c, header_magic, &out->format, err) || !take_id(&c, id, err))
        return false;
    if (out->format == PACK_FORMAT_1)
        return true; /* what follows are chunks */
    if (!cursor_take(&c, "wrapped key", KEYRING_WRAPPED_BYTES, &key, err) ||
        !take_sum(&c, bytes, err))
        return false;
    memcpy(out->wrapped_key, key.data, key.len);
    return cursor_finish(&c, err);
}

void pack_footer_encode(const struct pack_footer *footer, struct buf *out)
{
    size_t start = out->len;
    put_front(out, footer_magic, footer->format, footer->id);
    buf_put_u32(out, footer->index_len);
    buf_put_u32(out, footer->index_plain_len);
    buf_put_u32(out, footer->manifest_len);
    buf_put_u32(out, footer->manifest_plain_len);
    buf_put_u64(out, footer->index_offset);
    put_sum(out, start);
    assert(out->len - start == PACK_FOOTER_BYTES);
}

static bool check_footer(const struct pack_footer *f, uint64_t pack_bytes, struct err *err)
{
    uint64_t header = f->format == PACK_FORMAT_1 ? PACK_FRONT_BYTES : PACK_HEADER_BYTES;
    bool has_index = f->index_offset != 0;
    bool good = f->manifest_plain_len > 0 && f->manifest_plain_len <= PACK_PART_MAX &&
                f->manifest_len <= PACK_SEALED_BYTES(f->manifest_plain_len) &&
                f->manifest_len <= pack_bytes - header - PACK_FOOTER_BYTES &&
                f->index_plain_len <= PACK_PART_MAX && has_index == (f->index_len > 0) &&
                has_index == (f->index_plain_len > 0);
    if (!good)
        return err_set(err, ERR_CORRUPT, "footer: lengths out of range");
    /* The last block of the index ends where the manifest begins. */
    if (has_index && (f->index_offset < header || f->index_offset > f->manifest_offset ||
                      f->manifest_offset - f->index_offset != f->index_len))
        return err_set(err, ERR_CORRUPT, "footer: index out of place");
    if (!has_index && f->manifest_offset != header)
        return err_set(err, ERR_CORRUPT, "footer: chunks without an index");
    return true;
}

bool pack_footer_decode(struct view bytes, struct pack_id id, uint64_t pack_bytes,
                        struct pack_footer *out, struct err *err)
{
    struct cursor c = cursor_of(bytes, "footer");
    *out = (struct pack_footer){ .id = id };
    if (pack_bytes < PACK_HEADER_BYTES + PACK_FOOTER_BYTES || pack_bytes > PACK_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "pack of %llu bytes", (unsigned long long)pack_bytes);
    if (!take_front(&c, footer_magic, &out->format, err) || !take_id(&c, id, err) ||
        !cursor_u32(&c, "index length", &out->index_len, err) ||
        !cursor_u32(&c, "index plain length", &out->index_plain_len, err) ||
        !cursor_u32(&c, "manifest length", &out->manifest_len, err) ||
        !cursor_u32(&c, "manifest plain length", &out->manifest_plain_len, err) ||
        !cursor_u64(&c, "index offset", &out->index_offset, err) || !take_sum(&c, bytes, err) ||
        !cursor_finish(&c, err))
        return false;
    out->manifest_offset = pack_bytes - PACK_FOOTER_BYTES - out->manifest_len;
    return check_footer(out, pack_bytes, err);
}

void pack_index_fini(struct pack_index_block *block)
{
    free(block->entries);
    *block = (struct pack_index_block){ 0 };
}

void pack_index_encode(const struct pack_index_block *block, struct buf *out)
{
    assert(block->count >= 1 && block->count <= PACK_BLOCK_MAX);
    buf_put_u64(out, block->before_offset);
    buf_put_u32(out, block->before_len);
    buf_put_u32(out, block->before_plain_len);
    buf_put_u32(out, (uint32_t)block->count);
    for (size_t i = 0; i < block->count; i++) {
        const struct pack_index_entry *entry = &block->entries[i];
        buf_put_u8(out, (uint8_t)entry->kind);
        buf_put(out, view_of(entry->ref.id, sizeof(entry->ref.id)));
        buf_put_u32(out, entry->ref.plain_len);
        buf_put_u32(out, entry->ref.sealed_len);
        buf_put_u64(out, entry->ref.offset);
    }
}

static bool take_index_entry(struct cursor *c, uint64_t offset, struct pack_index_entry *out,
                             struct err *err)
{
    uint8_t kind;
    struct view id;
    if (!cursor_u8(c, "kind", &kind, err) ||
        !cursor_take(c, "chunk id", sizeof(out->ref.id), &id, err) ||
        !cursor_u32(c, "chunk length", &out->ref.plain_len, err) ||
        !cursor_u32(c, "sealed length", &out->ref.sealed_len, err) ||
        !cursor_u64(c, "chunk offset", &out->ref.offset, err))
        return false;
    if ((kind != PACK_DATA && kind != PACK_TREE) || out->ref.plain_len == 0 ||
        out->ref.plain_len > CHUNK_MAX || out->ref.sealed_len <= CRYPTO_SEAL_BYTES ||
        out->ref.sealed_len > PACK_SEALED_BYTES(out->ref.plain_len) ||
        out->ref.offset < PACK_FRONT_BYTES || out->ref.offset > offset ||
        out->ref.sealed_len > offset - out->ref.offset)
        return err_set(err, ERR_CORRUPT, "index: entry out of range");
    out->kind = (enum pack_kind)kind;
    memcpy(out->ref.id, id.data, id.len);
    return true;
}

static bool check_before(const struct pack_index_block *b, uint64_t offset, struct err *err)
{
    bool has_before = b->before_offset != 0;
    bool good = has_before == (b->before_len != 0) && has_before == (b->before_plain_len != 0) &&
                b->before_plain_len <= PACK_PART_MAX &&
                (!has_before ||
                 (b->before_offset >= PACK_FRONT_BYTES && b->before_offset < offset &&
                  b->before_len <= offset - b->before_offset));
    return good || err_set(err, ERR_CORRUPT, "index: block before it out of place");
}

bool pack_index_decode(struct view bytes, struct pack_id id, uint64_t offset,
                       struct pack_index_block *out, struct err *err)
{
    struct cursor c = cursor_of(bytes, "index");
    uint32_t count;
    *out = (struct pack_index_block){ 0 };
    if (!cursor_u64(&c, "block before", &out->before_offset, err) ||
        !cursor_u32(&c, "block before", &out->before_len, err) ||
        !cursor_u32(&c, "block before", &out->before_plain_len, err) ||
        !cursor_u32(&c, "count", &count, err) || !check_before(out, offset, err))
        return false;
    if (count == 0 || count > PACK_BLOCK_MAX || c.rest.len != (size_t)count * INDEX_ENTRY)
        return err_set(err, ERR_CORRUPT, "index: %u entries in %zu bytes", count, c.rest.len);
    out->entries = mem_array(count, sizeof(struct pack_index_entry));
    for (; out->count < count; out->count++) {
        out->entries[out->count].ref.pack = id.sequence;
        if (!take_index_entry(&c, offset, &out->entries[out->count], err))
            return false;
    }
    return cursor_finish(&c, err);
}
