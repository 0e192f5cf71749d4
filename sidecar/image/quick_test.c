#include "sidecar/image/quick.h"

#include <criterion/criterion.h>

Test(quick, every_changed_bit_and_every_length_shows)
{
    uint8_t bytes[200] = { 0 };
    struct quick_seed seed = quick_seed_new();
    uint64_t whole = quick_hash(&seed, view_of(bytes, sizeof(bytes)));
    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_neq(quick_hash(&seed, view_of(bytes, sizeof(bytes))), whole);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < sizeof(bytes); len++)
        cr_assert_neq(quick_hash(&seed, view_of(bytes, len)), whole);
    cr_assert_eq(quick_hash(&seed, view_of(bytes, sizeof(bytes))), whole);
}

Test(quick, swapped_words_show)
{
    struct quick_seed seed = quick_seed_new();
    uint64_t words[16];
    for (uint64_t i = 0; i < 16; i++)
        words[i] = i;
    uint64_t whole = quick_hash(&seed, view_of(words, sizeof(words)));
    for (size_t i = 0; i < 16; i++)
        for (size_t j = 0; j < i; j++) {
            uint64_t kept = words[i];
            words[i] = words[j], words[j] = kept;
            cr_assert_neq(quick_hash(&seed, view_of(words, sizeof(words))), whole);
            words[j] = words[i], words[i] = kept;
        }
}

Test(quick, seeds_give_different_fingerprints)
{
    struct quick_seed a = quick_seed_new(), b = quick_seed_new();
    cr_assert_neq(quick_hash(&a, view_str("x")), quick_hash(&b, view_str("x")));
}
