/* ref.h - names: of a pack, and of a chunk with the place where it lies.
 *
 * Values, 16 and 56 bytes when encoded. A chunk is named by its keyed hash; the place is only where
 * to look, what is found there must have that hash. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"
#include "sidecar/crypto/keys.h"

/* Of a pack and of the checkpoint whose manifest it holds. No two packs share one: sequence grows,
 * and the nonce tells apart attempts of which one was committed. All zero: none. */
struct pack_id {
    uint64_t sequence;
    uint8_t nonce[8];
};
#define PACK_ID_BYTES 16
#define PACK_ID_TEXT  40 /* "00000042-0123456789abcdef" and NUL; sequence has 8 to 20 digits */

/** Text that sorts by sequence; the pack's name in the store and the checkpoint's name for people.
 */
void pack_id_format(struct pack_id id, char out[PACK_ID_TEXT]);
/** Exactly what pack_id_format makes. Errors: INVALID, quoting the text. */
MUST_USE bool pack_id_parse(struct view text, struct pack_id *out, struct err *err);
/** Compares sequence and nonce. */
bool pack_id_is_equal(struct pack_id a, struct pack_id b);
/** True for the id that stands for no pack. */
static inline bool pack_id_is_none(struct pack_id id) { return id.sequence == 0; }
/** 16 bytes: sequence little-endian, nonce. */
void pack_id_encode(struct pack_id id, struct buf *out);
/** Errors: CORRUPT. */
MUST_USE bool pack_id_decode(struct cursor *c, struct pack_id *out, struct err *err);

struct chunk_ref {
    uint8_t id[CRYPTO_HASH_BYTES]; /* keyed hash of the plain bytes */
    uint32_t plain_len;            /* 1 .. CHUNK_MAX */
    uint32_t sealed_len;           /* in the pack, at most PACK_SEALED_MAX */
    uint64_t pack;                 /* sequence of the pack: the manifest lists the full ids */
    uint64_t offset;               /* in the pack */
};
#define CHUNK_REF_BYTES 56

/** 56 bytes, little-endian, in the order of the struct. */
void chunk_ref_encode(const struct chunk_ref *ref, struct buf *out);
/** Takes one and checks every bound. Errors: CORRUPT. */
MUST_USE bool chunk_ref_decode(struct cursor *c, struct chunk_ref *out, struct err *err);
