#include "sidecar/image/manifest.h"

#include "common/base/own.h"
#include "common/base/text.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>

static const char magic[4] = { 'A', 'G', 'M', 'F' };

/* The texts, in the order of the format. */
#define TEXTS(X)                                           \
    X(name, "name", MANIFEST_NAME_MAX)                     \
    X(label, "label", MANIFEST_TEXT_MAX)                   \
    X(reason, "reason", MANIFEST_TEXT_MAX)                 \
    X(config_digest, "config digest", MANIFEST_DIGEST_MAX) \
    X(artifact_digest, "artifact digest", MANIFEST_DIGEST_MAX)

/* The plain numbers, in the order of the format. */
#define NUMBERS(X)                       \
    X(epoch, "epoch")                    \
    X(stored_bytes, "stored bytes")      \
    X(tree_bytes, "tree bytes")          \
    X(totals.files, "files")             \
    X(totals.dirs, "directories")        \
    X(totals.symlinks, "symbolic links") \
    X(totals.hardlinks, "hard links")    \
    X(totals.bytes, "bytes")             \
    X(totals.chunks, "chunks")

#define TEXT_ROW(member, field, max) { field, offsetof(struct manifest, member), max },
static const struct {
    const char *field;
    size_t at, max;
} texts[] = { TEXTS(TEXT_ROW) };

#define NUMBER_ROW(member, field) { field, offsetof(struct manifest, member) },
static const struct {
    const char *field;
    size_t at;
} numbers[] = { NUMBERS(NUMBER_ROW) };

static const char *const cut_names[] = { [CUT_CONSISTENT] = "consistent", [CUT_FUZZY] = "fuzzy" };

const char *cut_kind_name(enum cut_kind kind) { return cut_names[kind]; }

void manifest_fini(struct manifest *m)
{
    free(m->refs);
    free(m->packs);
    m->refs = NULL;
    m->packs = NULL;
    m->ref_count = m->pack_count = 0;
}

void manifest_encode(const struct manifest *m, struct buf *out)
{
    assert(m->ref_count >= 1 && m->ref_count <= TREE_ROOT_REFS && m->levels <= TREE_LEVELS_MAX);
    assert(m->pack_count >= 1 && m->pack_count <= MANIFEST_PACKS_MAX);
    buf_put(out, view_of(magic, sizeof(magic)));
    buf_put_u32(out, MANIFEST_FORMAT);
    pack_id_encode(m->id, out);
    pack_id_encode(m->parent, out);
    buf_put_u64(out, (uint64_t)m->wall_ms);
    buf_put_u8(out, (uint8_t)m->cut);
    buf_put_u32(out, m->pause_us);
    buf_put_u32(out, m->skipped);
    for (size_t i = 0; i < COUNT(numbers); i++)
        buf_put_u64(out, *(const uint64_t *)(const void *)((const char *)m + numbers[i].at));
    for (size_t i = 0; i < COUNT(texts); i++)
        buf_put_bytes(out, view_str((const char *)m + texts[i].at));
    buf_put(out, view_of(m->root_hash, sizeof(m->root_hash)));
    buf_put_u32(out, m->levels);
    buf_put_u32(out, (uint32_t)m->ref_count);
    for (size_t i = 0; i < m->ref_count; i++)
        chunk_ref_encode(&m->refs[i], out);
    buf_put_u32(out, (uint32_t)m->pack_count);
    for (size_t i = 0; i < m->pack_count; i++)
        pack_id_encode(m->packs[i], out);
}

static bool take_front(struct cursor *c, struct manifest *m, struct err *err)
{
    struct view found;
    uint32_t format;
    uint64_t wall;
    uint8_t cut;
    if (!cursor_take(c, "magic", sizeof(magic), &found, err) ||
        !cursor_u32(c, "format", &format, err))
        return false;
    if (memcmp(found.data, magic, sizeof(magic)) != 0 || format != MANIFEST_FORMAT)
        return err_set(err, ERR_CORRUPT, "manifest: another format");
    if (!pack_id_decode(c, &m->id, err) || !pack_id_decode(c, &m->parent, err) ||
        !cursor_u64(c, "time", &wall, err) || !cursor_u8(c, "cut", &cut, err) ||
        !cursor_u32(c, "pause", &m->pause_us, err) || !cursor_u32(c, "skipped", &m->skipped, err))
        return false;
    if (m->id.sequence == 0 || m->parent.sequence >= m->id.sequence)
        return err_set(err, ERR_CORRUPT, "manifest: parent is not older");
    if (cut != CUT_CONSISTENT && cut != CUT_FUZZY)
        return err_set(err, ERR_CORRUPT, "manifest: cut of kind %u", cut);
    m->cut = (enum cut_kind)cut;
    m->wall_ms = (int64_t)wall;
    return true;
}

static bool take_texts(struct cursor *c, struct manifest *m, struct err *err)
{
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct view text;
        if (!cursor_bytes(c, texts[i].field, texts[i].max, &text, err))
            return false;
        if (!utf8_is_valid(text))
            return err_set(err, ERR_CORRUPT, "manifest: %s is not UTF-8", texts[i].field);
        char *to = (char *)m + texts[i].at;
        if (text.len > 0)
            memcpy(to, text.data, text.len);
        to[text.len] = '\0';
    }
    return true;
}

static bool take_refs(struct cursor *c, struct manifest *m, struct err *err)
{
    uint32_t count;
    if (!cursor_u32(c, "levels", &m->levels, err) || !cursor_u32(c, "tree chunks", &count, err))
        return false;
    if (m->levels > TREE_LEVELS_MAX || count == 0 || count > TREE_ROOT_REFS)
        return err_set(err, ERR_CORRUPT, "manifest: %u levels, %u tree chunks", m->levels, count);
    m->refs = mem_array(count, sizeof(struct chunk_ref));
    for (; m->ref_count < count; m->ref_count++) {
        if (!chunk_ref_decode(c, &m->refs[m->ref_count], err))
            return false;
        if (m->refs[m->ref_count].plain_len > TREE_CHUNK_MAX)
            return err_set(err, ERR_CORRUPT, "manifest: tree chunk too long");
    }
    return true;
}

static bool take_packs(struct cursor *c, struct manifest *m, struct err *err)
{
    uint32_t count;
    if (!cursor_u32(c, "packs", &count, err))
        return false;
    if (count == 0 || count > MANIFEST_PACKS_MAX)
        return err_set(err, ERR_CORRUPT, "manifest: %u packs", count);
    m->packs = mem_array(count, sizeof(struct pack_id));
    for (uint64_t before = 0; m->pack_count < count; m->pack_count++) {
        struct pack_id *pack = &m->packs[m->pack_count];
        if (!pack_id_decode(c, pack, err))
            return false;
        bool is_own = pack->sequence == m->id.sequence;
        if (pack->sequence <= before || pack->sequence > m->id.sequence ||
            (is_own && !pack_id_is_equal(*pack, m->id)))
            return err_set(err, ERR_CORRUPT, "manifest: packs are not in order");
        before = pack->sequence;
    }
    return true;
}

bool manifest_decode(struct view bytes, struct manifest *out, struct err *err)
{
    struct cursor c = cursor_of(bytes, "manifest");
    struct view hash;
    *out = (struct manifest){ 0 };
    if (!take_front(&c, out, err))
        return false;
    for (size_t i = 0; i < COUNT(numbers); i++)
        if (!cursor_u64(&c, numbers[i].field, (uint64_t *)(void *)((char *)out + numbers[i].at),
                        err))
            return false;
    if (!take_texts(&c, out, err) ||
        !cursor_take(&c, "root hash", sizeof(out->root_hash), &hash, err))
        return false;
    memcpy(out->root_hash, hash.data, hash.len);
    if (out->tree_bytes == 0 || out->tree_bytes > TREE_BYTES_MAX || out->epoch > INT64_MAX)
        return err_set(err, ERR_CORRUPT, "manifest: epoch or size of the tree out of range");
    return take_refs(&c, out, err) && take_packs(&c, out, err) && cursor_finish(&c, err);
}

bool manifest_pack(const struct manifest *m, uint64_t sequence, struct pack_id *out,
                   struct err *err)
{
    size_t low = 0, high = m->pack_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->packs[middle].sequence < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == m->pack_count || m->packs[low].sequence != sequence)
        return err_set(err, ERR_CORRUPT, "manifest: pack %llu is used and not listed",
                       (unsigned long long)sequence);
    *out = m->packs[low];
    return true;
}
