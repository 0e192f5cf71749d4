#include "sidecar/crypto/keys.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/secret/secret.h"

#include <criterion/criterion.h>

/* Data key 00 01 02 ... 1f. */
static struct agent_keys *fixed_keys(uint8_t first)
{
    uint8_t bytes[32];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(first + i);
    CLEANUP(secret_freep) struct secret *key = secret_take_bytes(bytes, sizeof(bytes));
    return agent_keys_new(key);
}

static const struct view no_ad = { NULL, 0 };

Test(keys, sealed_text_opens_to_itself)
{
    CLEANUP(agent_keys_freep) struct agent_keys *keys = fixed_keys(0);
    uint8_t sealed[5 + CRYPTO_SEAL_BYTES], plain[5];
    struct err err = { 0 };
    agent_keys_seal(keys, view_str("ad"), view_str("hello"), sealed);
    cr_assert(agent_keys_open(keys, view_str("ad"), view_of(sealed, sizeof(sealed)), plain, &err));
    cr_assert_eq(memcmp(plain, "hello", 5), 0);
}

Test(keys, every_flipped_bit_and_every_cut_is_corrupt)
{
    CLEANUP(agent_keys_freep) struct agent_keys *keys = fixed_keys(0);
    uint8_t sealed[5 + CRYPTO_SEAL_BYTES], plain[5];
    agent_keys_seal(keys, no_ad, view_str("hello"), sealed);
    for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
        struct err err = { 0 };
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_not(agent_keys_open(keys, no_ad, view_of(sealed, sizeof(sealed)), plain, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT);
        sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < sizeof(sealed); len++) {
        struct err err = { 0 };
        cr_assert_not(agent_keys_open(keys, no_ad, view_of(sealed, len), plain, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT);
    }
}

Test(keys, other_key_or_other_binding_is_corrupt)
{
    CLEANUP(agent_keys_freep) struct agent_keys *keys = fixed_keys(0);
    CLEANUP(agent_keys_freep) struct agent_keys *other = fixed_keys(1);
    uint8_t sealed[5 + CRYPTO_SEAL_BYTES], plain[5];
    struct view all = view_of(sealed, sizeof(sealed));
    struct err err = { 0 };
    agent_keys_seal(keys, view_str("pack 1"), view_str("hello"), sealed);
    cr_assert_not(agent_keys_open(keys, view_str("pack 2"), all, plain, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_not(agent_keys_open(other, view_str("pack 1"), all, plain, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
}

/* Golden: a change here loses every checkpoint ever made (proto/checkpoint.md, section 2). */
Test(keys, derivation_and_hash_are_what_the_format_says)
{
    CLEANUP(agent_keys_freep) struct agent_keys *keys = fixed_keys(0);
    static const char *const golden[SUBKEY_COUNT] = {
        [SUBKEY_CHUNK_ID] = "77bcb47568b9da1f85f5842f3230c4ff4cddea44f7dc82249de49e90cbddb296",
        [SUBKEY_RECORD_MAC] = "c4cb69d28c124ce5af1a0c462f3c6a3618305c9341ab6eee04e3fcef7cd55c80",
        [SUBKEY_ROOT_HASH] = "d9b3408f23d8478080cb072f5bf0db8f1e25a5161e4e8ad4803278f39ec627bf",
    };
    for (int purpose = SUBKEY_CHUNK_ID; purpose < SUBKEY_COUNT; purpose++) {
        uint8_t hash[CRYPTO_HASH_BYTES];
        char text[2 * CRYPTO_HASH_BYTES + 1];
        agent_keys_hash(keys, (enum subkey)purpose, view_str("hello"), hash);
        hex_encode(view_of(hash, sizeof(hash)), text);
        cr_expect_str_eq(text, golden[purpose]);
    }
}

Test(keys, sealed_bytes_of_the_past_still_open)
{
    CLEANUP(agent_keys_freep) struct agent_keys *keys = fixed_keys(0);
    uint8_t sealed[5 + CRYPTO_SEAL_BYTES], plain[5];
    struct err err = { 0 };
    cr_assert(hex_decode(view_str("49b165c5179906192d6d05eab8b11057486e6f8f316124efa2f2e99a5dced353"
                                  "5fb93737fb6237f0ff7be1591d"),
                         sealed, sizeof(sealed), &err),
              "%s", err.msg);
    cr_assert(agent_keys_open(keys, view_str("ad"), view_of(sealed, sizeof(sealed)), plain, &err),
              "%s", err.msg);
    cr_assert_eq(memcmp(plain, "hello", 5), 0);
}

Test(keys, hash_in_pieces_is_the_hash_of_the_whole)
{
    CLEANUP(agent_keys_freep) struct agent_keys *keys = fixed_keys(0);
    uint8_t whole[CRYPTO_HASH_BYTES], pieces[CRYPTO_HASH_BYTES];
    agent_keys_hash(keys, SUBKEY_ROOT_HASH, view_str("hello world"), whole);
    CLEANUP(keyed_hash_freep) struct keyed_hash *hash = keyed_hash_new(keys, SUBKEY_ROOT_HASH);
    keyed_hash_put(hash, view_str("hello "));
    keyed_hash_put(hash, view_str("world"));
    keyed_hash_finish(hash, pieces);
    cr_assert(crypto_is_equal(whole, pieces, sizeof(whole)));
}

static bool hash_while_held(void *arg, struct err *err)
{
    (void)err;
    uint8_t hash[CRYPTO_HASH_BYTES];
    agent_keys_hash(arg, SUBKEY_CHUNK_ID, view_str("x"), hash);
    return true;
}

Test(keys, keys_work_inside_and_after_a_hold)
{
    CLEANUP(agent_keys_freep) struct agent_keys *keys = fixed_keys(0);
    struct err err = { 0 };
    cr_assert(agent_keys_hold(keys, hash_while_held, keys, &err));
    cr_assert(hash_while_held(keys, &err));
}

Test(keys, digest_is_blake2b_256_without_a_key)
{
    uint8_t hash[CRYPTO_HASH_BYTES];
    char text[2 * CRYPTO_HASH_BYTES + 1];
    crypto_digest(view_str("abc"), hash);
    hex_encode(view_of(hash, sizeof(hash)), text);
    /* b2sum -l 256 of "abc" */
    cr_assert_str_eq(text, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}
