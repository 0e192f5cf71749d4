#include "sidecar/image/chunker.h"

#include "common/base/own.h"
#include "sidecar/image/limits.h"

static const uint64_t gear[256] = {
#include "sidecar/image/gear.def"
};

#define TOP_BITS(n) (~UINT64_C(0) << (64 - (n))) /* the oldest 64 bytes weigh in these */

/* A cut is where the hash has no bit of the mask: rare before the average, likely after it. */
static const struct {
    size_t min, avg, max;
    uint64_t rare, likely;
} rules[] = {
    [CHUNK_CONTENT] = { CHUNK_MIN, CHUNK_AVG, CHUNK_MAX, TOP_BITS(18), TOP_BITS(14) },
    [CHUNK_PAGED] = { CHUNK_PAGE, CHUNK_PAGE, CHUNK_PAGE, 0, 0 },
    [CHUNK_TREE] = { TREE_CHUNK_MIN, TREE_CHUNK_AVG, TREE_CHUNK_MAX, TOP_BITS(16), TOP_BITS(12) },
};
_Static_assert(CHUNK_MIN < CHUNK_AVG && CHUNK_AVG < CHUNK_MAX, "chunk sizes in order");

#define SQLITE_MAIN    "SQLite format 3" /* and its NUL: 16 bytes */
#define SQLITE_WAL     "\x37\x7f\x06"    /* then 0x82 or 0x83 */
#define SQLITE_JOURNAL "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"

static bool begins(struct view bytes, const char *with, size_t len)
{
    return bytes.len >= len && memcmp(bytes.data, with, len) == 0;
}

enum chunk_mode chunk_mode_of(struct view first_bytes)
{
    bool is_paged = begins(first_bytes, SQLITE_MAIN, sizeof(SQLITE_MAIN)) ||
                    begins(first_bytes, SQLITE_WAL, sizeof(SQLITE_WAL) - 1) ||
                    begins(first_bytes, SQLITE_JOURNAL, sizeof(SQLITE_JOURNAL) - 1);
    return is_paged ? CHUNK_PAGED : CHUNK_CONTENT;
}

/* Hashes bytes[from..to) until one ends with no bit of `mask`; returns the index after it, or `to`
 * and leaves `*is_cut`. */
static size_t seek_cut(uint64_t *hash, const uint8_t *bytes, size_t from, size_t to, uint64_t mask,
                       bool *is_cut)
{
    uint64_t h = *hash;
    size_t at = from;
    bool is_found = false;
    while (at < to && !is_found) {
        h = (h << 1) + gear[bytes[at++]];
        is_found = (h & mask) == 0;
    }
    *hash = h;
    *is_cut = *is_cut || is_found;
    return at;
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

size_t chunker_feed(struct chunker *c, struct view bytes, bool *is_cut)
{
    size_t min = rules[c->mode].min, avg = rules[c->mode].avg, max = rules[c->mode].max;
    size_t start = c->in_chunk, at = 0;
    *is_cut = false;
    if (start < min) /* no cut is allowed there: not even hashed */
        at = least(bytes.len, min - start);
    if (c->mode != CHUNK_PAGED && start + at >= min) {
        size_t middle = start + at < avg ? least(bytes.len, avg - start) : at;
        at = seek_cut(&c->hash, bytes.data, at, middle, rules[c->mode].rare, is_cut);
        if (!*is_cut && max > start)
            at = seek_cut(&c->hash, bytes.data, at, least(bytes.len, max - start),
                          rules[c->mode].likely, is_cut);
    }
    c->in_chunk = start + at;
    if (c->in_chunk >= max)
        *is_cut = true;
    if (*is_cut)
        *c = chunker_of(c->mode);
    return at;
}
