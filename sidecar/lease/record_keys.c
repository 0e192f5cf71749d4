#include "sidecar/lease/record_keys.h"

_Static_assert(RECORD_WRAPPED_BYTES == KEYRING_WRAPPED_BYTES, "the record holds one wrapped key");
_Static_assert(RECORD_MAC_BYTES == CRYPTO_HASH_BYTES, "the tag is one keyed hash");

void record_keys_fini(struct record_keys *rk) { agent_keys_freep(&rk->keys); }

static bool mac(void *arg, const struct record *record, struct view bytes,
                uint8_t out[RECORD_MAC_BYTES], struct err *err)
{
    struct record_keys *rk = arg;
    if (rk->keys == NULL || memcmp(rk->wrapped, record->wrapped_key, sizeof(rk->wrapped)) != 0) {
        struct agent_keys *keys;
        struct view wrapped = view_of(record->wrapped_key, sizeof(record->wrapped_key));
        if (!keyring_unwrap(rk->keyring, record->name, wrapped, &keys, err))
            return false;
        agent_keys_free(rk->keys);
        rk->keys = keys;
        memcpy(rk->wrapped, record->wrapped_key, sizeof(rk->wrapped));
    }
    agent_keys_hash(rk->keys, SUBKEY_RECORD_MAC, bytes, out);
    return true;
}

struct record_auth record_keys_auth(struct record_keys *rk)
{
    return (struct record_auth){ mac, rk };
}
