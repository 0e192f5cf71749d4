#include "sidecar/crypto/keys.h"

#include "common/base/own.h"
#include "common/secret/secret.h"

#include <sodium.h>

#include <assert.h>

#define KEYS_MAGIC   0x6b657973u
#define SUBKEY_BYTES 32
#define NONCE_BYTES  crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_BYTES    crypto_aead_xchacha20poly1305_ietf_ABYTES
_Static_assert(CRYPTO_SEAL_BYTES == NONCE_BYTES + TAG_BYTES, "a sealed text is nonce, text, tag");
_Static_assert(crypto_kdf_KEYBYTES == 32, "a data key is a key of the KDF");

/* Separates our derived keys from those of any other use of the same key. */
static const char kdf_context[crypto_kdf_CONTEXTBYTES] = { 'a', 'g', 'n', 't', 'd', 'k', 'v', '1' };

#define NUMBER_ROW(purpose, number) [SUBKEY_##purpose] = (number),
static const uint64_t subkey_numbers[SUBKEY_COUNT] = { CRYPTO_SUBKEYS(NUMBER_ROW) };

struct agent_keys {
    unsigned magic;
    struct secret *subkeys; /* SUBKEY_COUNT keys in the order of the enum */
};

static bool derive_each(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)err;
    assert(len == crypto_kdf_KEYBYTES);
    unsigned char *out = arg;
    for (size_t i = 0; i < SUBKEY_COUNT; i++)
        (void)crypto_kdf_derive_from_key(out + i * SUBKEY_BYTES, SUBKEY_BYTES, subkey_numbers[i],
                                         kdf_context, bytes);
    return true;
}

struct derivation {
    const struct secret *from;
};

static bool fill_subkeys(unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    assert(len == (size_t)SUBKEY_COUNT * SUBKEY_BYTES);
    return secret_use(((struct derivation *)arg)->from, derive_each, bytes, err);
}

struct agent_keys *agent_keys_new(const struct secret *data_key)
{
    struct agent_keys *keys = mem_new(struct agent_keys);
    keys->magic = KEYS_MAGIC;
    struct derivation how = { data_key };
    struct err none = { 0 };
    bool good = secret_make((size_t)SUBKEY_COUNT * SUBKEY_BYTES, fill_subkeys, &how, &keys->subkeys,
                            &none);
    assert(good);
    return keys;
}

void agent_keys_free(struct agent_keys *keys)
{
    if (keys == NULL)
        return;
    assert(keys->magic == KEYS_MAGIC);
    secret_free(keys->subkeys);
    keys->magic = 0;
    free(keys);
}

struct held_run {
    agent_keys_run_fn *run;
    void *arg;
};

static bool run_held(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)bytes, (void)len;
    struct held_run *held = arg;
    return held->run(held->arg, err);
}

bool agent_keys_hold(const struct agent_keys *keys, agent_keys_run_fn *run, void *arg,
                     struct err *err)
{
    assert(keys->magic == KEYS_MAGIC);
    struct held_run held = { run, arg };
    return secret_use(keys->subkeys, run_held, &held, err);
}

struct sealing {
    struct view ad, text;
    uint8_t *out;
};

static bool seal_with(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)len, (void)err;
    struct sealing *s = arg;
    randombytes_buf(s->out, NONCE_BYTES);
    unsigned long long sealed_len = 0;
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(
        s->out + NONCE_BYTES, &sealed_len, s->text.data, s->text.len, s->ad.data, s->ad.len, NULL,
        s->out, bytes + SUBKEY_SEAL * SUBKEY_BYTES);
    assert(sealed_len == s->text.len + TAG_BYTES);
    return true;
}

void agent_keys_seal(const struct agent_keys *keys, struct view ad, struct view plain, uint8_t *out)
{
    assert(keys->magic == KEYS_MAGIC);
    struct sealing sealing = { ad, plain, out };
    struct err none = { 0 };
    bool good = secret_use(keys->subkeys, seal_with, &sealing, &none);
    assert(good);
}

static bool open_with(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)len;
    struct sealing *s = arg;
    if (crypto_aead_xchacha20poly1305_ietf_decrypt(
            s->out, NULL, NULL, s->text.data + NONCE_BYTES, s->text.len - NONCE_BYTES, s->ad.data,
            s->ad.len, s->text.data, bytes + SUBKEY_SEAL * SUBKEY_BYTES) != 0)
        return err_set(err, ERR_CORRUPT, "open sealed bytes: changed, or not sealed by this key");
    return true;
}

bool agent_keys_open(const struct agent_keys *keys, struct view ad, struct view sealed,
                     uint8_t *out, struct err *err)
{
    assert(keys->magic == KEYS_MAGIC);
    if (sealed.len < CRYPTO_SEAL_BYTES)
        return err_set(err, ERR_CORRUPT, "open sealed bytes: only %zu of them", sealed.len);
    struct sealing opening = { ad, sealed, out };
    return secret_use(keys->subkeys, open_with, &opening, err);
}

struct hashing {
    enum subkey purpose;
    struct view bytes;
    uint8_t *out;
    crypto_generichash_state *state; /* or NULL: all at once */
};

static bool hash_with(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)len, (void)err;
    const struct hashing *h = arg;
    const unsigned char *key = bytes + (size_t)h->purpose * SUBKEY_BYTES;
    if (h->state != NULL)
        return crypto_generichash_init(h->state, key, SUBKEY_BYTES, CRYPTO_HASH_BYTES) == 0;
    return crypto_generichash(h->out, CRYPTO_HASH_BYTES, h->bytes.data, h->bytes.len, key,
                              SUBKEY_BYTES) == 0;
}

void agent_keys_hash(const struct agent_keys *keys, enum subkey purpose, struct view bytes,
                     uint8_t out[CRYPTO_HASH_BYTES])
{
    assert(keys->magic == KEYS_MAGIC && purpose != SUBKEY_SEAL && purpose < SUBKEY_COUNT);
    struct hashing hashing = { purpose, bytes, out, NULL };
    struct err none = { 0 };
    bool good = secret_use(keys->subkeys, hash_with, &hashing, &none);
    assert(good);
}

struct keyed_hash {
    crypto_generichash_state state; /* 64-byte aligned: sodium_malloc would waste a page */
};

struct keyed_hash *keyed_hash_new(const struct agent_keys *keys, enum subkey purpose)
{
    assert(keys->magic == KEYS_MAGIC && purpose != SUBKEY_SEAL && purpose < SUBKEY_COUNT);
    struct keyed_hash *hash = aligned_alloc(64, sizeof(struct keyed_hash));
    if (hash == NULL)
        abort();
    struct hashing hashing = { purpose, { 0 }, NULL, &hash->state };
    struct err none = { 0 };
    bool good = secret_use(keys->subkeys, hash_with, &hashing, &none);
    assert(good);
    return hash;
}

void keyed_hash_put(struct keyed_hash *hash, struct view bytes)
{
    (void)crypto_generichash_update(&hash->state, bytes.data, bytes.len);
}

void keyed_hash_finish(struct keyed_hash *hash, uint8_t out[CRYPTO_HASH_BYTES])
{
    (void)crypto_generichash_final(&hash->state, out, CRYPTO_HASH_BYTES);
}

void keyed_hash_free(struct keyed_hash *hash)
{
    if (hash == NULL)
        return;
    sodium_memzero(hash, sizeof(*hash));
    free(hash);
}

void crypto_digest(struct view bytes, uint8_t out[CRYPTO_HASH_BYTES])
{
    (void)crypto_generichash(out, CRYPTO_HASH_BYTES, bytes.data, bytes.len, NULL, 0);
}

void crypto_random(void *out, size_t len)
{
    int ready = sodium_init();
    assert(ready >= 0);
    randombytes_buf(out, len);
}

bool crypto_is_equal(const void *a, const void *b, size_t len)
{
    return sodium_memcmp(a, b, len) == 0;
}
