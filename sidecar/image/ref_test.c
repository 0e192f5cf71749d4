#include "sidecar/image/ref.h"

#include "common/base/own.h"
#include "sidecar/image/limits.h"
#include "sidecar/image/pack.h"

#include <criterion/criterion.h>

Test(ref, pack_ids_survive_their_text)
{
    static const uint64_t sequences[] = { 1, 42, 99999999, 100000000, INT64_MAX };
    for (size_t i = 0; i < COUNT(sequences); i++) {
        struct pack_id id = { sequences[i], { 1, 2, 3, 4, 5, 6, 7, 0xab } }, again;
        char text[PACK_ID_TEXT];
        struct err err = { 0 };
        pack_id_format(id, text);
        cr_assert(pack_id_parse(view_str(text), &again, &err), "%s", err.msg);
        cr_assert(pack_id_is_equal(id, again));
    }
    char text[PACK_ID_TEXT];
    pack_id_format((struct pack_id){ 42, { 1, 35, 69, 103, 137, 171, 205, 239 } }, text);
    cr_assert_str_eq(text, "00000042-0123456789abcdef");
}

Test(ref, anything_else_is_no_id)
{
    static const char *const bad[] = { "",
                                       "42-0123456789abcdef",
                                       "00000042-0123456789ABCDEF",
                                       "00000000-0123456789abcdef",
                                       "-0000042-0123456789abcdef",
                                       "+0000042-0123456789abcdef",
                                       "000000042-0123456789abcdef",
                                       "00000042_0123456789abcdef",
                                       "00000042-0123456789abcdef ",
                                       "00000042-0123456789abcde",
                                       "99999999999999999999-0123456789abcdef",
                                       "../00042-0123456789abcdef" };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct pack_id id;
        struct err err = { 0 };
        cr_assert_not(pack_id_parse(view_str(bad[i]), &id, &err), "%s", bad[i]);
        cr_assert_eq(err.kind, ERR_INVALID);
    }
}

static struct chunk_ref good_ref(void)
{
    struct chunk_ref ref = { .plain_len = 1000, .sealed_len = 500, .pack = 3, .offset = 32 };
    memset(ref.id, 0x5a, sizeof(ref.id));
    return ref;
}

static bool survives(struct chunk_ref ref)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct chunk_ref again;
    struct err err = { 0 };
    chunk_ref_encode(&ref, &bytes);
    cr_assert_eq(bytes.len, CHUNK_REF_BYTES);
    struct cursor c = cursor_of(buf_view(&bytes), "test");
    if (!chunk_ref_decode(&c, &again, &err)) {
        cr_assert_eq(err.kind, ERR_CORRUPT);
        return false;
    }
    return memcmp(&ref, &again, sizeof(ref)) == 0 && c.rest.len == 0;
}

Test(ref, chunk_refs_out_of_bounds_are_corrupt)
{
    struct chunk_ref ref = good_ref();
    cr_assert(survives(ref));
    ref.plain_len = 0;
    cr_assert_not(survives(ref));
    ref.plain_len = CHUNK_MAX + 1;
    cr_assert_not(survives(ref));
    ref = good_ref();
    ref.sealed_len = CRYPTO_SEAL_BYTES;
    cr_assert_not(survives(ref));
    ref.sealed_len = PACK_SEALED_BYTES(1000);
    cr_assert(survives(ref));
    ref.sealed_len++;
    cr_assert_not(survives(ref));
    ref = good_ref();
    ref.pack = 0;
    cr_assert_not(survives(ref));
    ref.pack = UINT64_MAX;
    cr_assert_not(survives(ref));
    ref = good_ref();
    ref.offset = 31;
    cr_assert_not(survives(ref));
    ref.offset = PACK_BYTES_MAX + 1;
    cr_assert_not(survives(ref));
}
