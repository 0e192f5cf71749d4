#include "sidecar/image/chunk_index.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

#define REFS 5000
static struct chunk_ref refs[REFS];

static void make_ids(void)
{
    for (uint32_t i = 0; i < REFS; i++)
        crypto_digest(view_of(&i, sizeof(i)), refs[i].id);
}

Test(chunk_index, each_ref_is_found_and_no_other)
{
    CLEANUP(chunk_index_fini) struct chunk_index index = { 0 };
    make_ids();
    cr_assert_eq(chunk_index_find(&index, refs, refs[0].id), CHUNK_INDEX_NONE);
    for (uint32_t i = 0; i < REFS; i += 2)
        chunk_index_add(&index, refs, i);
    for (uint32_t i = 0; i < REFS; i++)
        cr_assert_eq(chunk_index_find(&index, refs, refs[i].id), i % 2 == 0 ? i : CHUNK_INDEX_NONE);
}

Test(chunk_index, ids_that_begin_alike_are_told_apart)
{
    CLEANUP(chunk_index_fini) struct chunk_index index = { 0 };
    memset(refs, 0, sizeof(refs));
    for (uint32_t i = 0; i < 100; i++) {
        refs[i].id[31] = (uint8_t)i;
        chunk_index_add(&index, refs, i);
    }
    for (uint32_t i = 0; i < 100; i++)
        cr_assert_eq(chunk_index_find(&index, refs, refs[i].id), i);
}

Test(chunk_index, first_of_equal_ids_stays)
{
    CLEANUP(chunk_index_fini) struct chunk_index index = { 0 };
    memset(refs, 0, sizeof(refs));
    chunk_index_add(&index, refs, 7);
    chunk_index_add(&index, refs, 8);
    cr_assert_eq(chunk_index_find(&index, refs, refs[9].id), 7);
    cr_assert_eq(index.used, 1);
}
