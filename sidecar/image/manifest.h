/* manifest.h - the description of one checkpoint.
 *
 * It lies sealed at the end of the checkpoint's pack. Pure: bytes to struct and back.
 * Format: proto/checkpoint.md, section 5. */
#pragma once
#include "sidecar/image/limits.h"
#include "sidecar/image/ref.h"
#include "sidecar/image/tree.h"

enum cut_kind { CUT_CONSISTENT = 1, CUT_FUZZY = 2 };
/** "consistent" or "fuzzy". */
const char *cut_kind_name(enum cut_kind kind);

struct manifest {
    struct pack_id id, parent; /* parent: none for the first checkpoint */
    uint64_t epoch;            /* of the holder that made it */
    int64_t wall_ms;           /* when the cut was made (Unix time), for people only */
    enum cut_kind cut;
    uint32_t pause_us;                  /* how long the agent was frozen */
    uint32_t skipped;                   /* sockets, devices and FIFOs that were left out */
    char name[MANIFEST_NAME_MAX + 1];   /* of the agent */
    char label[MANIFEST_TEXT_MAX + 1];  /* given by the agent or an operator */
    char reason[MANIFEST_TEXT_MAX + 1]; /* why it was taken: "interval", "barrier", ... */
    char config_digest[MANIFEST_DIGEST_MAX + 1];
    char artifact_digest[MANIFEST_DIGEST_MAX + 1];
    uint8_t root_hash[CRYPTO_HASH_BYTES];
    struct tree_totals totals;
    uint64_t stored_bytes;  /* of the chunks that this checkpoint added */
    uint64_t tree_bytes;    /* of the encoded tree */
    uint32_t levels;        /* lists between `refs` and the tree: 0 when refs are its chunks */
    struct chunk_ref *refs; /* ref_count, owned */
    size_t ref_count;
    struct pack_id *packs; /* every pack that is needed, ascending, owned; includes `id` if used */
    size_t pack_count;
};

/** Releases refs and packs; zeroed memory is fine. */
void manifest_fini(struct manifest *m);

/** Appends the bytes. All limits hold (asserted). */
void manifest_encode(const struct manifest *m, struct buf *out);
/** Reads all of `bytes` into `out`, which the caller must fini also after a failure. Errors:
 *  CORRUPT, naming the field. */
MUST_USE bool manifest_decode(struct view bytes, struct manifest *out, struct err *err);

/** The full id of the pack with this sequence. Errors: CORRUPT: the manifest does not list it. */
MUST_USE bool manifest_pack(const struct manifest *m, uint64_t sequence, struct pack_id *out,
                            struct err *err);
