#include "sidecar/checkpoint/capture.h"

#include "sidecar/checkpoint/fixture_test.h"

Test(capture, bytes_are_kept_until_a_bound_is_met)
{
    CLEANUP(capture_fini) struct capture c = { 0 };
    struct err err = { 0 };
    capture_init(&c, 10, fixture_soon());
    cr_assert(capture_put(&c, view_str("12345"), 3, &err));
    cr_assert(capture_put(&c, view_str("67890"), 4, &err));
    cr_assert_not(c.is_over);
    cr_assert_not(capture_put(&c, view_str("x"), 5, &err));
    cr_assert(c.is_over);
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
    cr_assert_eq(c.count, 2);
    cr_assert(c.chunks[1].at == 4 && c.chunks[1].from == 5 && c.chunks[1].len == 5);
}

Test(capture, nothing_is_taken_after_the_pause)
{
    CLEANUP(capture_fini) struct capture c = { 0 };
    struct err err = { 0 };
    capture_init(&c, 10, (struct deadline){ boot_now() });
    cr_assert_not(capture_put(&c, view_str("1"), 0, &err));
    cr_assert(c.is_over);
}

struct seen {
    size_t at[4], count;
    uint32_t len[4];
};

static void place(void *arg, size_t at, const struct chunk_ref *ref, uint64_t quick)
{
    (void)quick;
    struct seen *seen = arg;
    seen->at[seen->count] = at;
    seen->len[seen->count++] = ref->plain_len;
}

Test(capture, replay_gives_the_chunks_to_the_sealer_in_order)
{
    struct fixture f;
    struct seen seen = { 0 };
    struct err err = { 0 };
    fixture_begin(&f);
    struct checkpoint_source source = fixture_source(&f);
    struct pack_id id = { 1, { 0 } };
    struct quick_seed seed = quick_seed_new();
    struct pack_out *pack = pack_out_new(&source, id, fixture_soon());
    struct sealer *sealer = sealer_new(
        &(struct sealer_spec){ .source = &source, .pack = pack, .id = id, .seed = &seed });
    CLEANUP(capture_fini) struct capture c = { 0 };
    capture_init(&c, 100, fixture_soon());
    cr_assert(capture_put(&c, view_str("first"), 7, &err));
    cr_assert(capture_put(&c, view_str("second"), 5, &err));
    sealer_aim(sealer, PACK_DATA, place, &seen);
    cr_assert(capture_replay(&c, sealer, &err) && sealer_flush(sealer, &err));
    cr_assert(seen.count == 2 && seen.at[0] == 7 && seen.len[0] == 5 && seen.at[1] == 5 &&
              seen.len[1] == 6);
    sealer_free(sealer);
    pack_out_free(pack);
    fixture_end(&f);
}
