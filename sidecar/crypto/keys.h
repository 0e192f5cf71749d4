/* keys.h - what is done with the key of one agent: seal, open, name, authenticate.
 *
 * An agent's data key is random; everything is keyed by subkeys derived from it, one for each
 * purpose, so that no two uses share a key. Any thread may call; nothing here allocates except into
 * a `struct buf`. Algorithms: XChaCha20-Poly1305 (random 24-byte nonces), BLAKE2b-256, BLAKE2b KDF.
 */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"

#define CRYPTO_HASH_BYTES 32
#define CRYPTO_SEAL_BYTES 40 /* a sealed text is this much longer: nonce 24, tag 16 */

#define CRYPTO_SUBKEYS(X) /* purpose, number in the KDF: never reused, never changed */ \
    X(SEAL, 1)                                                                          \
    X(CHUNK_ID, 2)                                                                      \
    X(RECORD_MAC, 3)                                                                    \
    X(ROOT_HASH, 4)
#define CRYPTO_SUBKEY_ENUM(purpose, number) SUBKEY_##purpose,
enum subkey { CRYPTO_SUBKEYS(CRYPTO_SUBKEY_ENUM) SUBKEY_COUNT };

struct secret;
struct agent_keys;

/** The subkeys of a data key of 32 bytes (asserted). The data key stays the caller's. */
struct agent_keys *agent_keys_new(const struct secret *data_key);
/** Wipes. NULL is fine. */
void agent_keys_free(struct agent_keys *keys);
static inline void agent_keys_freep(struct agent_keys **keys)
{
    agent_keys_free(*keys);
    *keys = NULL;
}

typedef bool agent_keys_run_fn(void *arg, struct err *err);
/** Runs `run(arg)` with the keys held readable, so that calls inside it, on any thread, do not pay
 *  for unlocking. Returns what `run` returns. */
MUST_USE bool agent_keys_hold(const struct agent_keys *keys, agent_keys_run_fn *run, void *arg,
                              struct err *err);

/** Seals `plain` and binds it to `ad` into `out`, which has room for CRYPTO_SEAL_BYTES more than
 *  plain.len: nonce, text, tag. `plain` may not overlap `out`. */
void agent_keys_seal(const struct agent_keys *keys, struct view ad, struct view plain,
                     uint8_t *out);

/** Opens what agent_keys_seal made under the same `ad` into `out`, which has room for
 *  sealed.len - CRYPTO_SEAL_BYTES. Errors: CORRUPT: cut, changed, another key or another `ad`;
 *  nothing of the text is in `out` then. */
MUST_USE bool agent_keys_open(const struct agent_keys *keys, struct view ad, struct view sealed,
                              uint8_t *out, struct err *err);

/** Keyed hash of `bytes` for one purpose (not SEAL, asserted). */
void agent_keys_hash(const struct agent_keys *keys, enum subkey purpose, struct view bytes,
                     uint8_t out[CRYPTO_HASH_BYTES]);

struct keyed_hash;
/** The same hash, of what is put piece by piece. One owner, one thread. */
struct keyed_hash *keyed_hash_new(const struct agent_keys *keys, enum subkey purpose);
void keyed_hash_put(struct keyed_hash *hash, struct view bytes);
/** Gives the hash; only keyed_hash_free is legal afterwards. */
void keyed_hash_finish(struct keyed_hash *hash, uint8_t out[CRYPTO_HASH_BYTES]);
/** NULL is fine. */
void keyed_hash_free(struct keyed_hash *hash);
static inline void keyed_hash_freep(struct keyed_hash **hash)
{
    keyed_hash_free(*hash);
    *hash = NULL;
}

/** Unkeyed BLAKE2b-256, for digests that people compare. */
void crypto_digest(struct view bytes, uint8_t out[CRYPTO_HASH_BYTES]);

/** Fills with random bytes of the kernel. */
void crypto_random(void *out, size_t len);

/** Constant-time. */
bool crypto_is_equal(const void *a, const void *b, size_t len);
