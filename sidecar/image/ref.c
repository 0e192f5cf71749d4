#include "sidecar/image/ref.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "sidecar/image/limits.h"

#include <inttypes.h>
#include <stdio.h>

#define SEQUENCE_DIGITS 8 /* at least */

void pack_id_format(struct pack_id id, char out[PACK_ID_TEXT])
{
    char nonce[2 * sizeof(id.nonce) + 1];
    hex_encode(view_of(id.nonce, sizeof(id.nonce)), nonce);
    (void)snprintf(out, PACK_ID_TEXT, "%0*" PRIu64 "-%s", SEQUENCE_DIGITS, id.sequence, nonce);
}

bool pack_id_parse(struct view text, struct pack_id *out, struct err *err)
{
    struct pack_id id = { 0 };
    struct err ignored = { 0 };
    int64_t sequence = 0;
    char again[PACK_ID_TEXT] = "";
    const size_t nonce_len = 2 * sizeof(id.nonce);
    bool good = text.len > nonce_len + SEQUENCE_DIGITS && text.len < PACK_ID_TEXT &&
                int_parse(view_of(text.data, text.len - nonce_len - 1), 1, INT64_MAX, &sequence,
                          &ignored) &&
                hex_decode(view_of(text.data + text.len - nonce_len, nonce_len), id.nonce,
                           sizeof(id.nonce), &ignored);
    if (good) {
        id.sequence = (uint64_t)sequence;
        pack_id_format(id, again);
    }
    if (!good || !view_is_equal(text, view_str(again)))
        return err_set(err, ERR_INVALID, "checkpoint \"%.*s\": not an id like 00000042-%016x",
                       (int)(text.len < 64 ? text.len : 64), (const char *)text.data, 0xabcdefu);
    *out = id;
    return true;
}

bool pack_id_is_equal(struct pack_id a, struct pack_id b)
{
    return a.sequence == b.sequence && memcmp(a.nonce, b.nonce, sizeof(a.nonce)) == 0;
}

void pack_id_encode(struct pack_id id, struct buf *out)
{
    buf_put_u64(out, id.sequence);
    buf_put(out, view_of(id.nonce, sizeof(id.nonce)));
}

bool pack_id_decode(struct cursor *c, struct pack_id *out, struct err *err)
{
    struct view nonce;
    if (!cursor_u64(c, "pack sequence", &out->sequence, err) ||
        !cursor_take(c, "pack nonce", sizeof(out->nonce), &nonce, err))
        return false;
    if (out->sequence > INT64_MAX)
        return err_set(err, ERR_CORRUPT, "%s: pack sequence out of range", c->what);
    memcpy(out->nonce, nonce.data, nonce.len);
    return true;
}

void chunk_ref_encode(const struct chunk_ref *ref, struct buf *out)
{
    buf_put(out, view_of(ref->id, sizeof(ref->id)));
    buf_put_u32(out, ref->plain_len);
    buf_put_u32(out, ref->sealed_len);
    buf_put_u64(out, ref->pack);
    buf_put_u64(out, ref->offset);
}

bool chunk_ref_decode(struct cursor *c, struct chunk_ref *out, struct err *err)
{
    struct view id;
    if (!cursor_take(c, "chunk id", sizeof(out->id), &id, err) ||
        !cursor_u32(c, "chunk length", &out->plain_len, err) ||
        !cursor_u32(c, "sealed length", &out->sealed_len, err) ||
        !cursor_u64(c, "chunk pack", &out->pack, err) ||
        !cursor_u64(c, "chunk offset", &out->offset, err))
        return false;
    memcpy(out->id, id.data, id.len);
    if (out->plain_len == 0 || out->plain_len > CHUNK_MAX)
        return err_set(err, ERR_CORRUPT, "%s: chunk of %u bytes", c->what, out->plain_len);
    if (out->sealed_len <= CRYPTO_SEAL_BYTES || out->sealed_len > PACK_SEALED_BYTES(out->plain_len))
        return err_set(err, ERR_CORRUPT, "%s: chunk of %u bytes sealed into %u", c->what,
                       out->plain_len, out->sealed_len);
    if (out->pack == 0 || out->pack > INT64_MAX)
        return err_set(err, ERR_CORRUPT, "%s: chunk in no pack", c->what);
    if (out->offset < PACK_FRONT_BYTES || out->offset > PACK_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "%s: chunk outside its pack", c->what);
    return true;
}
