// rooms: sidecar/image common/secret
/* Opening a part: first as it stands, then with the rest of the input sealed by the right key, so
 * that codec and zstd meet it. The first two bytes are the plain length that is claimed. Never more
 * than that is written. */
#include "sidecar/image/pack.h"

#include "common/base/own.h"
#include "common/secret/secret.h"

#include <assert.h>

#define AD_BYTES 65

static const struct pack_id id = { 42, { 1, 2, 3, 4, 5, 6, 7, 8 } };

static struct agent_keys *fixed_keys(void)
{
    uint8_t bytes[32] = { 0 };
    CLEANUP(secret_freep) struct secret *key = secret_take_bytes(bytes, sizeof(bytes));
    return agent_keys_new(key);
}

static void try_open(const struct agent_keys *keys, struct view sealed, size_t plain_len)
{
    uint8_t chunk_id[CRYPTO_HASH_BYTES] = { 0 };
    struct pack_bind bind = { .pack = id, .kind = PACK_DATA, .chunk_id = chunk_id };
    CLEANUP(squeeze_freep) struct squeeze *squeeze = squeeze_new(false);
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct err err = { 0 };
    uint8_t *to = buf_reserve(&out, plain_len + 1);
    to[plain_len] = 0xa5;
    if (!pack_open(keys, squeeze, &bind, sealed, plain_len, to, &err))
        assert(err.kind == ERR_CORRUPT);
    assert(to[plain_len] == 0xa5);
}

static void seal_and_open(const struct agent_keys *keys, struct view text, size_t plain_len)
{
    uint8_t ad[AD_BYTES] = "agnt";
    CLEANUP(buf_fini) struct buf sealed = { 0 };
    ad[4] = PACK_DATA;
    ad[5] = (uint8_t)id.sequence;
    memcpy(ad + 13, id.nonce, sizeof(id.nonce));
    ad[29] = (uint8_t)plain_len;
    ad[30] = (uint8_t)(plain_len >> 8);
    agent_keys_seal(keys, view_of(ad, sizeof(ad)), text,
                    buf_reserve(&sealed, text.len + CRYPTO_SEAL_BYTES));
    try_open(keys, view_of(sealed.data, text.len + CRYPTO_SEAL_BYTES), plain_len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    CLEANUP(agent_keys_freep) struct agent_keys *keys = fixed_keys();
    size_t plain_len = (size_t)data[0] | (size_t)data[1] << 8;
    struct view rest = view_of(data + 2, size - 2);
    try_open(keys, rest, plain_len);
    seal_and_open(keys, rest, plain_len);
    return 0;
}
