#include "sidecar/image/manifest.h"

#include "common/base/own.h"
#include "common/base/text.h"

#include <criterion/criterion.h>

static struct chunk_ref refs[TREE_ROOT_REFS];
static struct pack_id packs[3];

static struct manifest good_manifest(void)
{
    struct manifest m = { .id = { 42, { 1, 2, 3, 4, 5, 6, 7, 8 } },
                          .parent = { 41, { 9 } },
                          .epoch = 3,
                          .wall_ms = 1700000000123,
                          .cut = CUT_CONSISTENT,
                          .pause_us = 900,
                          .skipped = 2,
                          .name = "prod/web/1",
                          .label = "before the meeting",
                          .reason = "barrier",
                          .config_digest = "abcd",
                          .totals = { 10, 5, 2, 1, 123456, 20 },
                          .stored_bytes = 4000,
                          .tree_bytes = 900,
                          .refs = refs,
                          .ref_count = 1,
                          .packs = packs,
                          .pack_count = 2 };
    memset(m.root_hash, 0x77, sizeof(m.root_hash));
    refs[0] = (struct chunk_ref){ .plain_len = 900, .sealed_len = 500, .pack = 42, .offset = 32 };
    memset(refs[0].id, 0x33, sizeof(refs[0].id));
    packs[0] = (struct pack_id){ 7, { 1 } };
    packs[1] = m.id;
    return m;
}

static bool is_good(const struct manifest *m)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(manifest_fini) struct manifest out = { 0 };
    struct err err = { 0 };
    manifest_encode(m, &bytes);
    bool good = manifest_decode(buf_view(&bytes), &out, &err);
    cr_assert(good || err.kind == ERR_CORRUPT);
    return good;
}

Test(manifest, survives_its_bytes)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(buf_fini) struct buf again = { 0 };
    CLEANUP(manifest_fini) struct manifest out = { 0 };
    struct manifest m = good_manifest();
    struct err err = { 0 };
    manifest_encode(&m, &bytes);
    cr_assert(manifest_decode(buf_view(&bytes), &out, &err), "%s", err.msg);
    cr_assert_str_eq(out.name, m.name);
    cr_assert_str_eq(out.label, m.label);
    cr_assert_str_eq(out.artifact_digest, "");
    cr_assert_eq(out.totals.chunks, 20);
    cr_assert_eq(out.wall_ms, m.wall_ms);
    manifest_encode(&out, &again);
    cr_assert(view_is_equal(buf_view(&bytes), buf_view(&again)));
}

Test(manifest, every_cut_and_every_extra_byte_is_corrupt)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct manifest m = good_manifest();
    manifest_encode(&m, &bytes);
    buf_put_u8(&bytes, 0);
    for (size_t len = 0; len <= bytes.len; len++) {
        CLEANUP(manifest_fini) struct manifest out = { 0 };
        struct err err = { 0 };
        cr_assert_eq(manifest_decode(view_of(bytes.data, len), &out, &err), len == bytes.len - 1);
    }
}

Test(manifest, any_flipped_byte_is_survived)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct manifest m = good_manifest();
    manifest_encode(&m, &bytes);
    for (size_t i = 0; i < bytes.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            CLEANUP(manifest_fini) struct manifest out = { 0 };
            struct err err = { 0 };
            bytes.data[i] ^= (uint8_t)(1 << bit);
            if (!manifest_decode(buf_view(&bytes), &out, &err))
                cr_assert_eq(err.kind, ERR_CORRUPT);
            bytes.data[i] ^= (uint8_t)(1 << bit);
        }
}

Test(manifest, what_contradicts_itself_is_corrupt)
{
    struct manifest m = good_manifest();
    cr_assert(is_good(&m));
    m.parent.sequence = 42;
    cr_assert_not(is_good(&m));
    m = good_manifest();
    m.id.sequence = 0;
    cr_assert_not(is_good(&m));
    m = good_manifest();
    m.cut = (enum cut_kind)3;
    cr_assert_not(is_good(&m));
    m = good_manifest();
    m.tree_bytes = 0;
    cr_assert_not(is_good(&m));
    m.tree_bytes = TREE_BYTES_MAX + 1;
    cr_assert_not(is_good(&m));
    m = good_manifest();
    m.label[0] = '\xff';
    cr_assert_not(is_good(&m));
    m = good_manifest();
    refs[0].plain_len = (uint32_t)TREE_CHUNK_MAX + 1;
    cr_assert_not(is_good(&m));
    m = good_manifest();
    packs[0].sequence = 42; /* twice */
    cr_assert_not(is_good(&m));
    m = good_manifest();
    packs[1].nonce[0] ^= 1; /* another pack of our own sequence */
    cr_assert_not(is_good(&m));
    m = good_manifest();
    packs[1].sequence = 43; /* later than the checkpoint */
    cr_assert_not(is_good(&m));
}

Test(manifest, counts_beyond_the_limits_are_corrupt)
{
    struct manifest m = good_manifest();
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    manifest_encode(&m, &bytes);
    size_t pack_count_at = bytes.len - 2 * PACK_ID_BYTES - 4;
    size_t ref_count_at = pack_count_at - CHUNK_REF_BYTES - 4;
    static const uint32_t counts[] = { 0, 65, 8193, UINT32_MAX };
    for (size_t i = 0; i < COUNT(counts); i++)
        for (size_t j = 0; j < 3; j++) {
            CLEANUP(manifest_fini) struct manifest out = { 0 };
            CLEANUP(buf_fini) struct buf changed = { 0 };
            struct err err = { 0 };
            size_t at = j == 0 ? pack_count_at : j == 1 ? ref_count_at : ref_count_at - 4;
            if (j == 2 && counts[i] == 0)
                continue; /* no levels are fine */
            buf_put(&changed, buf_view(&bytes));
            memcpy(changed.data + at, &counts[i], 4);
            cr_assert_not(manifest_decode(buf_view(&changed), &out, &err));
            cr_assert_eq(err.kind, ERR_CORRUPT);
        }
}

Test(manifest, packs_are_found_by_sequence)
{
    struct manifest m = good_manifest();
    struct pack_id found;
    struct err err = { 0 };
    cr_assert(manifest_pack(&m, 7, &found, &err));
    cr_assert(pack_id_is_equal(found, packs[0]));
    cr_assert(manifest_pack(&m, 42, &found, &err));
    cr_assert_not(manifest_pack(&m, 8, &found, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_not(manifest_pack(&m, 43, &found, &err));
    cr_assert_str_eq(cut_kind_name(CUT_FUZZY), "fuzzy");
}

/* Golden: proto/checkpoint.md, section 5. */
Test(manifest, bytes_are_what_the_format_says)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    char text[1200];
    struct manifest m = good_manifest();
    manifest_encode(&m, &bytes);
    hex_encode(buf_view(&bytes), text);
    cr_assert_str_eq(text, "41474d46"
                           "01000000"
                           "2a000000000000000102030405060708"
                           "29000000000000000900000000000000"
                           "7b68e5cf8b010000"
                           "01"
                           "84030000"
                           "02000000"
                           "0300000000000000"
                           "a00f000000000000"
                           "8403000000000000"
                           "0a00000000000000"
                           "0500000000000000"
                           "0200000000000000"
                           "0100000000000000"
                           "40e2010000000000"
                           "1400000000000000"
                           "0a00000070726f642f7765622f31"
                           "120000006265666f726520746865206d656574696e67"
                           "0700000062617272696572"
                           "0400000061626364"
                           "00000000"
                           "7777777777777777777777777777777777777777777777777777777777777777"
                           "00000000"
                           "01000000"
                           "3333333333333333333333333333333333333333333333333333333333333333"
                           "84030000"
                           "f4010000"
                           "2a00000000000000"
                           "2000000000000000"
                           "02000000"
                           "07000000000000000100000000000000"
                           "2a000000000000000102030405060708");
}
