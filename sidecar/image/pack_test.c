#include "sidecar/image/pack.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/secret/secret.h"

#include <criterion/criterion.h>

static struct agent_keys *keys;
static struct squeeze *sealing, *opening;
static const struct pack_id id = { 42, { 1, 2, 3, 4, 5, 6, 7, 8 } };
static uint8_t chunk_id[CRYPTO_HASH_BYTES];

static void begin(void)
{
    uint8_t bytes[32];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    CLEANUP(secret_freep) struct secret *key = secret_take_bytes(bytes, sizeof(bytes));
    keys = agent_keys_new(key);
    sealing = squeeze_new(true);
    opening = squeeze_new(false);
    memset(chunk_id, 0x11, sizeof(chunk_id));
}

static void end(void)
{
    agent_keys_free(keys);
    squeeze_free(sealing);
    squeeze_free(opening);
}

TestSuite(pack, .init = begin, .fini = end);

static struct pack_bind data_bind(void)
{
    return (struct pack_bind){ .pack = id, .kind = PACK_DATA, .chunk_id = chunk_id };
}

static void seal(struct pack_bind bind, struct view plain, struct buf *out)
{
    out->len = 0;
    out->len = pack_seal(keys, sealing, &bind, plain,
                         buf_reserve(out, PACK_SEALED_BYTES(plain.len)));
}

static bool opens(struct pack_bind bind, struct view sealed, size_t plain_len, struct view plain)
{
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct err err = { 0 };
    uint8_t *to = buf_reserve(&out, plain_len + 1);
    to[plain_len] = 0xa5; /* never written */
    bool good = pack_open(keys, opening, &bind, sealed, plain_len, to, &err);
    cr_assert_eq(to[plain_len], 0xa5);
    cr_assert(good || err.kind == ERR_CORRUPT);
    return good && plain_len == plain.len && memcmp(to, plain.data, plain.len) == 0;
}

Test(pack, what_compresses_gets_shorter_and_what_does_not_stays)
{
    CLEANUP(buf_fini) struct buf sealed = { 0 };
    uint8_t zeros[10000] = { 0 }, noise[10000];
    crypto_random(noise, sizeof(noise));
    seal(data_bind(), view_of(zeros, sizeof(zeros)), &sealed);
    cr_assert_lt(sealed.len, 200);
    cr_assert(opens(data_bind(), buf_view(&sealed), sizeof(zeros), view_of(zeros, sizeof(zeros))));
    seal(data_bind(), view_of(noise, sizeof(noise)), &sealed);
    cr_assert_eq(sealed.len, PACK_SEALED_BYTES(sizeof(noise)));
    cr_assert(opens(data_bind(), buf_view(&sealed), sizeof(noise), view_of(noise, sizeof(noise))));
    seal(data_bind(), view_str("x"), &sealed);
    cr_assert(opens(data_bind(), buf_view(&sealed), 1, view_str("x")));
}

Test(pack, part_opens_only_where_it_belongs)
{
    CLEANUP(buf_fini) struct buf sealed = { 0 };
    struct view plain = view_str("some content that is long enough to be compressed, some content");
    uint8_t other_id[CRYPTO_HASH_BYTES] = { 0 };
    seal(data_bind(), plain, &sealed);
    cr_assert(opens(data_bind(), buf_view(&sealed), plain.len, plain));
    struct pack_bind bind = data_bind();
    bind.pack.sequence++;
    cr_assert_not(opens(bind, buf_view(&sealed), plain.len, plain));
    bind = data_bind();
    bind.pack.nonce[7]++;
    cr_assert_not(opens(bind, buf_view(&sealed), plain.len, plain));
    bind = data_bind();
    bind.kind = PACK_TREE;
    cr_assert_not(opens(bind, buf_view(&sealed), plain.len, plain));
    bind = data_bind();
    bind.chunk_id = other_id;
    cr_assert_not(opens(bind, buf_view(&sealed), plain.len, plain));
    cr_assert_not(opens(data_bind(), buf_view(&sealed), plain.len - 1, plain));
    cr_assert_not(opens(data_bind(), buf_view(&sealed), plain.len + 1, plain));
    struct pack_bind at = { .pack = id, .kind = PACK_MANIFEST, .offset = 100 };
    seal(at, plain, &sealed);
    cr_assert(opens(at, buf_view(&sealed), plain.len, plain));
    at.offset = 101;
    cr_assert_not(opens(at, buf_view(&sealed), plain.len, plain));
}

/* A part of our own key that says another size than it has: never more than the room is written. */
static bool open_forged(const void *text, size_t len, size_t plain_len)
{
    uint8_t ad[65] = "agnt", sealed[200], id_bytes[16];
    CLEANUP(buf_fini) struct buf id_buf = { 0 };
    pack_id_encode(id, &id_buf);
    memcpy(id_bytes, id_buf.data, sizeof(id_bytes));
    ad[4] = PACK_DATA;
    memcpy(ad + 5, id_bytes, 16);
    ad[29] = (uint8_t)plain_len;
    memcpy(ad + 33, chunk_id, sizeof(chunk_id));
    agent_keys_seal(keys, view_of(ad, sizeof(ad)), view_of(text, len), sealed);
    return opens(data_bind(), view_of(sealed, len + CRYPTO_SEAL_BYTES), plain_len,
                 view_of((const uint8_t *)text + 1, plain_len));
}

Test(pack, forged_sizes_and_codecs_are_corrupt)
{
    cr_assert(open_forged("\0hello", 6, 5));
    cr_assert_not(open_forged("\0hello", 6, 4));
    cr_assert_not(open_forged("\0hello", 6, 6));
    cr_assert_not(open_forged("\2hello", 6, 5));
    cr_assert_not(open_forged("\1hello", 6, 5)); /* not zstd */
    cr_assert_not(open_forged("", 0, 5));
    /* A frame that expands to 64 zeros, said to be 5. */
    static const uint8_t bomb[] = { 1, 0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x40, 0x03, 0x02, 0x00, 0x00 };
    cr_assert_not(open_forged(bomb, sizeof(bomb), 5));
    cr_assert_not(opens(data_bind(), view_of("", 0), 5, view_str("hello")));
    cr_assert_not(opens(data_bind(), view_of("x", 1), PACK_PART_MAX + 1, view_str("hello")));
}

static const uint8_t *wrapped_key(void)
{
    static uint8_t key[KEYRING_WRAPPED_BYTES];
    for (uint8_t i = 0; i < sizeof(key); i++)
        key[i] = i;
    return key;
}

Test(pack, header_of_another_pack_or_format_is_corrupt)
{
    CLEANUP(buf_fini) struct buf header = { 0 };
    struct err err = { 0 };
    struct pack_header out;
    pack_header_encode(id, wrapped_key(), &header);
    cr_assert_eq(header.len, PACK_HEADER_BYTES);
    cr_assert(pack_header_decode(buf_view(&header), id, &out, &err), "%s", err.msg);
    cr_assert_eq(out.format, PACK_FORMAT);
    cr_assert_arr_eq(out.wrapped_key, wrapped_key(), KEYRING_WRAPPED_BYTES);
    for (size_t i = 0; i < header.len; i++) {
        header.data[i] ^= 1;
        cr_assert_not(pack_header_decode(buf_view(&header), id, &out, &err), "byte %zu", i);
        cr_assert_eq(err.kind, ERR_CORRUPT);
        header.data[i] ^= 1;
        cr_assert_not(pack_header_decode(view_of(header.data, i), id, &out, &err));
    }
}

/* Its header is the front alone; chunks follow. */
Test(pack, header_of_format_1_has_no_key)
{
    CLEANUP(buf_fini) struct buf header = { 0 };
    struct err err = { 0 };
    struct pack_header out;
    pack_header_encode(id, wrapped_key(), &header);
    header.data[8] = PACK_FORMAT_1;
    memset(header.data + PACK_FRONT_BYTES, 0xee, header.len - PACK_FRONT_BYTES);
    cr_assert(pack_header_decode(buf_view(&header), id, &out, &err), "%s", err.msg);
    cr_assert_eq(out.format, PACK_FORMAT_1);
}

static struct pack_footer good_footer(void)
{
    return (struct pack_footer){ .id = id,
                                 .format = PACK_FORMAT,
                                 .index_offset = 1032,
                                 .index_len = 100,
                                 .index_plain_len = 69,
                                 .manifest_len = 200,
                                 .manifest_plain_len = 300 };
}
#define GOOD_PACK_BYTES (1032 + 100 + 200 + PACK_FOOTER_BYTES)

static bool footer_is_good(const struct pack_footer *footer, uint64_t pack_bytes)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct pack_footer out;
    struct err err = { 0 };
    pack_footer_encode(footer, &bytes);
    bool good = pack_footer_decode(buf_view(&bytes), id, pack_bytes, &out, &err);
    cr_assert(good || err.kind == ERR_CORRUPT);
    return good && out.manifest_offset == pack_bytes - PACK_FOOTER_BYTES - footer->manifest_len;
}

Test(pack, footer_must_fit_its_pack)
{
    struct pack_footer footer = good_footer();
    cr_assert(footer_is_good(&footer, GOOD_PACK_BYTES));
    cr_assert_not(footer_is_good(&footer, GOOD_PACK_BYTES - 1)); /* truncated in the middle */
    cr_assert_not(footer_is_good(&footer, GOOD_PACK_BYTES + 1));
    cr_assert_not(footer_is_good(&footer, 95));
    cr_assert_not(footer_is_good(&footer, PACK_BYTES_MAX + 1));
    footer.manifest_len = UINT32_MAX;
    cr_assert_not(footer_is_good(&footer, GOOD_PACK_BYTES));
    footer = good_footer();
    footer.manifest_plain_len = 0;
    cr_assert_not(footer_is_good(&footer, GOOD_PACK_BYTES));
    footer.manifest_plain_len = PACK_PART_MAX + 1;
    cr_assert_not(footer_is_good(&footer, GOOD_PACK_BYTES));
    footer = good_footer();
    footer.index_offset = UINT64_MAX;
    cr_assert_not(footer_is_good(&footer, GOOD_PACK_BYTES));
    footer = good_footer();
    footer.index_offset = 0; /* then there may be no chunks */
    cr_assert_not(footer_is_good(&footer, GOOD_PACK_BYTES));
    footer.index_len = footer.index_plain_len = 0;
    cr_assert_not(footer_is_good(&footer, GOOD_PACK_BYTES));
    cr_assert(footer_is_good(&footer, PACK_HEADER_BYTES + 200 + PACK_FOOTER_BYTES));
    cr_assert_not(footer_is_good(&footer, PACK_FRONT_BYTES + 200 + PACK_FOOTER_BYTES));
    footer.format = PACK_FORMAT_1;
    cr_assert(footer_is_good(&footer, PACK_FRONT_BYTES + 200 + PACK_FOOTER_BYTES));
    footer.format = PACK_FORMAT + 1;
    cr_assert_not(footer_is_good(&footer, PACK_FRONT_BYTES + 200 + PACK_FOOTER_BYTES));
}

Test(pack, every_flipped_bit_of_a_footer_is_found)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct pack_footer footer = good_footer(), out;
    pack_footer_encode(&footer, &bytes);
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        struct err err = { 0 };
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_not(pack_footer_decode(buf_view(&bytes), id, GOOD_PACK_BYTES, &out, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < bytes.len; len++) {
        struct err err = { 0 };
        cr_assert_not(
            pack_footer_decode(view_of(bytes.data, len), id, GOOD_PACK_BYTES, &out, &err));
    }
}

static struct pack_index_entry entry_of(uint64_t offset)
{
    struct pack_index_entry entry = {
        .kind = PACK_TREE,
        .ref = { .plain_len = 100, .sealed_len = 60, .offset = offset, .pack = id.sequence }
    };
    memset(entry.ref.id, 9, sizeof(entry.ref.id));
    return entry;
}

static bool index_is_good(struct pack_index_block *block, uint64_t offset)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(pack_index_fini) struct pack_index_block out = { 0 };
    struct err err = { 0 };
    pack_index_encode(block, &bytes);
    bool good = pack_index_decode(buf_view(&bytes), id, offset, &out, &err);
    cr_assert(good || err.kind == ERR_CORRUPT);
    bool is_same = good && out.count == block->count;
    for (size_t i = 0; is_same && i < out.count; i++) {
        const struct pack_index_entry *got = &out.entries[i], *put = &block->entries[i];
        is_same = got->kind == put->kind && memcmp(&got->ref, &put->ref, sizeof(got->ref)) == 0;
    }
    return is_same;
}

Test(pack, index_names_only_what_lies_before_it)
{
    struct pack_index_entry entries[2] = { entry_of(32), entry_of(92) };
    struct pack_index_block block = { .entries = entries, .count = 2 };
    cr_assert(index_is_good(&block, 152));
    cr_assert_not(index_is_good(&block, 151));
    entries[1].ref.offset = UINT64_MAX;
    cr_assert_not(index_is_good(&block, 152));
    entries[1] = entry_of(31);
    cr_assert_not(index_is_good(&block, 152));
    entries[1] = entry_of(92);
    entries[1].kind = PACK_INDEX;
    cr_assert_not(index_is_good(&block, 152));
    entries[1] = entry_of(92);
    block.before_offset = 152; /* itself: would never end */
    block.before_len = block.before_plain_len = 50;
    cr_assert_not(index_is_good(&block, 152));
    block.before_offset = 100;
    cr_assert(index_is_good(&block, 152));
    block.before_len = 53;
    cr_assert_not(index_is_good(&block, 152));
    block.before_len = 0;
    cr_assert_not(index_is_good(&block, 152));
}

Test(pack, cut_index_is_corrupt)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct pack_index_entry entry = entry_of(32);
    struct pack_index_block block = { .entries = &entry, .count = 1 };
    pack_index_encode(&block, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        CLEANUP(pack_index_fini) struct pack_index_block out = { 0 };
        struct err err = { 0 };
        cr_assert_not(pack_index_decode(view_of(bytes.data, len), id, 200, &out, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT);
    }
    bytes.data[16] = 0; /* no entries, but bytes for one */
    CLEANUP(pack_index_fini) struct pack_index_block out = { 0 };
    struct err err = { 0 };
    cr_assert_not(pack_index_decode(buf_view(&bytes), id, 200, &out, &err));
}

/* Golden: proto/checkpoint.md, section 3. */
Test(pack, bytes_are_what_the_format_says)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    char text[300];
    pack_header_encode(id, wrapped_key(), &bytes);
    hex_encode(buf_view(&bytes), text);
    cr_assert_str_eq(text, "41474e545041434b"
                           "02000000"
                           "00000000"
                           "2a00000000000000"
                           "0102030405060708"
                           "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
                           "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
                           "404142434445464748494a4b4c4d4e4f50515253"
                           "7f658e3e33c99657");
    bytes.len = 0;
    struct pack_footer footer = good_footer();
    pack_footer_encode(&footer, &bytes);
    hex_encode(buf_view(&bytes), text);
    cr_assert_str_eq(text, "41474e5450454e44"
                           "02000000"
                           "00000000"
                           "2a00000000000000"
                           "0102030405060708"
                           "64000000"
                           "45000000"
                           "c8000000"
                           "2c010000"
                           "0804000000000000"
                           "ed383178a8fd4319");
    bytes.len = 0;
    struct pack_index_entry entry = entry_of(32);
    struct pack_index_block block = { .entries = &entry, .count = 1 };
    pack_index_encode(&block, &bytes);
    hex_encode(buf_view(&bytes), text);
    cr_assert_str_eq(text, "0000000000000000"
                           "00000000"
                           "00000000"
                           "01000000"
                           "02"
                           "0909090909090909090909090909090909090909090909090909090909090909"
                           "64000000"
                           "3c000000"
                           "2000000000000000");
}

Test(pack, sealed_chunk_of_the_past_still_opens)
{
    struct view plain = view_str("hello hello hello hello hello hello hello hello");
    uint8_t sealed[200];
    struct err err = { 0 };
    const char *hex = "dede80a05cc78e9fa6436aee28ff409792a31e893b6d9f2aff28c1e370d21786c339683c007c"
                      "97059f6d7f6f463205ba2989e2097ebe1f198e8ef06ccd00";
    cr_assert(hex_decode(view_str(hex), sealed, strlen(hex) / 2, &err), "%s", err.msg);
    cr_assert(opens(data_bind(), view_of(sealed, strlen(hex) / 2), plain.len, plain));
}
