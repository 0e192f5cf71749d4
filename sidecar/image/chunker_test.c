#include "sidecar/image/chunker.h"

#include "common/base/own.h"
#include "sidecar/image/limits.h"

#include <criterion/criterion.h>

static uint8_t bytes[3000000];

static void fill(uint64_t seed)
{
    for (size_t i = 0; i < sizeof(bytes); i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        bytes[i] = (uint8_t)(seed >> 56);
    }
}

/* Ends of chunks when the bytes arrive in pieces of `step`; returns how many. */
static size_t cut_all(enum chunk_mode mode, size_t len, size_t step, size_t *ends)
{
    struct chunker c = chunker_of(mode);
    size_t count = 0, at = 0;
    while (at < len) {
        size_t piece = step < len - at ? step : len - at;
        for (size_t used = 0; used < piece;) {
            bool is_cut;
            used += chunker_feed(&c, view_of(bytes + at + used, piece - used), &is_cut);
            if (is_cut)
                ends[count++] = at + used;
        }
        at += piece;
    }
    return count;
}

Test(chunker, cuts_do_not_depend_on_how_bytes_arrive)
{
    static const size_t steps[] = { 1, 7, 4096, 65536, 1000003, sizeof(bytes) };
    static size_t first[2000], other[2000];
    fill(1);
    for (int mode = CHUNK_CONTENT; mode <= CHUNK_TREE; mode++) {
        size_t len = mode == CHUNK_TREE ? 300000 : sizeof(bytes);
        size_t count = cut_all((enum chunk_mode)mode, len, len, first);
        cr_assert_gt(count, 5);
        for (size_t i = 0; i < COUNT(steps); i++) {
            cr_assert_eq(cut_all((enum chunk_mode)mode, len, steps[i], other), count);
            cr_assert_eq(memcmp(first, other, count * sizeof(size_t)), 0);
        }
    }
}

static void check_sizes(enum chunk_mode mode, size_t min, size_t max)
{
    static size_t ends[2000];
    for (uint64_t seed = 1; seed < 6; seed++) {
        fill(seed);
        if (seed == 5)
            memset(bytes, 0, sizeof(bytes));
        size_t count = cut_all(mode, sizeof(bytes), sizeof(bytes), ends), before = 0;
        for (size_t i = 0; i < count; i++) {
            cr_assert_geq(ends[i] - before, min);
            cr_assert_leq(ends[i] - before, max);
            before = ends[i];
        }
    }
}

Test(chunker, sizes_stay_within_the_limits)
{
    check_sizes(CHUNK_CONTENT, CHUNK_MIN, CHUNK_MAX);
    check_sizes(CHUNK_TREE, TREE_CHUNK_MIN, TREE_CHUNK_MAX);
    check_sizes(CHUNK_PAGED, CHUNK_PAGE, CHUNK_PAGE);
}

Test(chunker, average_is_near_the_named_one)
{
    static size_t ends[2000];
    fill(7);
    size_t count = cut_all(CHUNK_CONTENT, sizeof(bytes), sizeof(bytes), ends);
    cr_assert_gt(sizeof(bytes) / count, CHUNK_AVG / 2);
    cr_assert_lt(sizeof(bytes) / count, CHUNK_AVG * 2);
}

Test(chunker, insertion_moves_few_cuts)
{
    static size_t before[2000], after[2000];
    fill(3);
    size_t count = cut_all(CHUNK_CONTENT, sizeof(bytes) - 10, sizeof(bytes), before);
    memmove(bytes + 100010, bytes + 100000, sizeof(bytes) - 100010);
    size_t again = cut_all(CHUNK_CONTENT, sizeof(bytes), sizeof(bytes), after), same = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < again; j++)
            same += after[j] == before[i] + 10;
    cr_assert_geq(same + 6, count, "%zu of %zu", same, count);
}

Test(chunker, sqlite_files_are_cut_by_page)
{
    cr_assert_eq(chunk_mode_of(view_of("SQLite format 3\0rest", 20)), CHUNK_PAGED);
    cr_assert_eq(chunk_mode_of(view_of("\x37\x7f\x06\x82", 4)), CHUNK_PAGED);
    cr_assert_eq(chunk_mode_of(view_of("\x37\x7f\x06\x83", 4)), CHUNK_PAGED);
    cr_assert_eq(chunk_mode_of(view_of("\xd9\xd5\x05\xf9\x20\xa1\x63\xd7", 8)), CHUNK_PAGED);
    cr_assert_eq(chunk_mode_of(view_of("SQLite format 4\0", 16)), CHUNK_CONTENT);
    cr_assert_eq(chunk_mode_of(view_of(NULL, 0)), CHUNK_CONTENT);
}
