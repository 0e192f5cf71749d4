/* pack.h - the parts of a pack as bytes: header, sealed chunks, index, manifest, footer.
 *
 * Each sealed part is bound to the agent's key, to its pack, to its kind and to what it is (a chunk
 * to its id, the others to their offset): nothing can be moved, swapped or taken from elsewhere
 * unseen. Pure. Format: proto/checkpoint.md, section 3. */
#pragma once
#include "sidecar/crypto/keyring.h"
#include "sidecar/image/limits.h"
#include "sidecar/image/ref.h"

enum pack_kind { PACK_DATA = 1, PACK_TREE = 2, PACK_INDEX = 3, PACK_MANIFEST = 4 };

/* A zstd context and room to work in, one for each thread; tens to some hundred KiB. */
struct squeeze;
/** For sealing or for opening. Aborts when memory is gone. */
struct squeeze *squeeze_new(bool for_sealing);
/** NULL is fine. */
void squeeze_free(struct squeeze *squeeze);
static inline void squeeze_freep(struct squeeze **squeeze)
{
    squeeze_free(*squeeze);
    *squeeze = NULL;
}

/* How a part is bound. */
struct pack_bind {
    struct pack_id pack;
    enum pack_kind kind;
    const uint8_t *chunk_id; /* PACK_DATA, PACK_TREE; the others: NULL */
    uint64_t offset;         /* PACK_INDEX, PACK_MANIFEST; chunks: 0 */
};

/** Compresses (unless that makes it longer) and seals `plain` (at most PACK_PART_MAX bytes) into
 * `out`, which has room for PACK_SEALED_BYTES(plain.len); returns the length. */
size_t pack_seal(const struct agent_keys *keys, struct squeeze *squeeze,
                 const struct pack_bind *bind, struct view plain, uint8_t *out);

/** Opens a part of exactly `plain_len` bytes into `out`; never writes more. Errors: CORRUPT. */
MUST_USE bool pack_open(const struct agent_keys *keys, struct squeeze *squeeze,
                        const struct pack_bind *bind, struct view sealed, size_t plain_len,
                        uint8_t *out, struct err *err);

struct pack_header {
    uint32_t format;
    uint8_t wrapped_key[KEYRING_WRAPPED_BYTES]; /* the agent's data key; format 1 has none */
};
/** The PACK_HEADER_BYTES at the front of a pack. */
void pack_header_encode(struct pack_id id, const uint8_t wrapped_key[KEYRING_WRAPPED_BYTES],
                        struct buf *out);
/** Reads the header from the first PACK_HEADER_BYTES of a pack; in format 1 only the front of them
 *  is header. Errors: CORRUPT not a pack, unknown format, check sum, or of another pack than `id`.
 */
MUST_USE bool pack_header_decode(struct view bytes, struct pack_id id, struct pack_header *out,
                                 struct err *err);

struct pack_footer {
    struct pack_id id;
    uint32_t format;       /* of the pack: PACK_FORMAT, or an older one that was read */
    uint64_t index_offset; /* of the last block of the index; 0: no chunks in this pack */
    uint32_t index_len;
    uint32_t index_plain_len;
    uint64_t manifest_offset;
    uint32_t manifest_len;
    uint32_t manifest_plain_len;
};
/** The 64 bytes at the end of a pack, with a check sum. */
void pack_footer_encode(const struct pack_footer *footer, struct buf *out);
/** Also checks that all lies inside a pack of `pack_bytes`, the manifest just before the footer.
 *  Errors: CORRUPT. */
MUST_USE bool pack_footer_decode(struct view bytes, struct pack_id id, uint64_t pack_bytes,
                                 struct pack_footer *out, struct err *err);

/* A block of the index: the chunks since the block before it. */
struct pack_index_entry {
    struct chunk_ref ref;
    enum pack_kind kind; /* PACK_DATA or PACK_TREE */
};
struct pack_index_block {
    uint64_t before_offset; /* of the block before; 0: this is the first */
    uint32_t before_len;
    uint32_t before_plain_len;
    struct pack_index_entry *entries; /* owned */
    size_t count;                     /* 1 .. PACK_BLOCK_MAX */
};
/** Releases the entries; zeroed memory is fine. */
void pack_index_fini(struct pack_index_block *block);
/** Appends the bytes. */
void pack_index_encode(const struct pack_index_block *block, struct buf *out);
/** Reads the block at `offset` of pack `id` into `out`, which the caller must fini also after a
 *  failure; every entry and the block before lie before `offset`. Errors: CORRUPT. */
MUST_USE bool pack_index_decode(struct view bytes, struct pack_id id, uint64_t offset,
                                struct pack_index_block *out, struct err *err);
