#include "sidecar/image/quick.h"

#include "sidecar/crypto/keys.h"

#define STRIPE 32 /* bytes of two independent lanes: enough to keep the multiplier busy */

struct quick_seed quick_seed_new(void)
{
    struct quick_seed seed;
    crypto_random(&seed, sizeof(seed));
    return seed;
}

static uint64_t load(const uint8_t *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof(word)); /* host order: fingerprints stay on this host */
    return word;
}

/* Both halves of the 128-bit product: each bit of either factor reaches the result. */
static uint64_t fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t quick_hash(const struct quick_seed *seed, struct view bytes)
{
    const uint64_t *s = seed->words;
    uint64_t left = s[0] ^ bytes.len, right = s[1];
    const uint8_t *at = bytes.data;
    size_t rest = bytes.len;
    for (; rest >= STRIPE; rest -= STRIPE, at += STRIPE) {
        left = fold(load(at) ^ s[2], load(at + 8) ^ left);
        right = fold(load(at + 16) ^ s[3], load(at + 24) ^ right);
    }
    uint8_t tail[STRIPE] = { 0 };
    if (rest > 0)
        memcpy(tail, at, rest);
    left = fold(load(tail) ^ s[2], load(tail + 8) ^ left);
    right = fold(load(tail + 16) ^ s[3], load(tail + 24) ^ right);
    return fold(left ^ s[2], right ^ s[3]);
}
