/* store_contract.h - what every store promises, as one suite that each backend stamps.
 *
 * A backend describes itself in a `struct contract_store` and writes STORE_CONTRACT(name) once.
 * What it does not offer is shown as skipped. Rule numbers: sidecar/store/DESIGN.md. */
#pragma once
#include "sidecar/store/store.h"

struct contract_store {
    const char *name;
    unsigned features;                     /* as declared; checked against store_has */
    void *(*place_new)(void);              /* a fresh, empty place */
    struct store *(*connect)(void *place); /* one more handle */
    void (*place_free)(void *place);       /* after every handle is closed */
    void (*lose_next_reply)(void *place);  /* NULL: the backend cannot be made to */
    void (*vanish)(void *place);           /* makes the place unreachable; NULL: cannot */
};

/* False: skipped, the backend does not offer it. What does not hold aborts, saying where. */
typedef bool contract_fn(const struct contract_store *b);

#define STORE_CONTRACT_CASES(X)               \
    X(absent_record_is_not_found)             \
    X(created_record_is_read_back)            \
    X(second_create_conflicts)                \
    X(replace_needs_the_current_version)      \
    X(replace_of_absent_record_conflicts)     \
    X(conflict_changes_nothing)               \
    X(version_is_never_reused)                \
    X(names_do_not_mix)                       \
    X(largest_record_fits_one_more_does_not)  \
    X(bad_names_are_refused)                  \
    X(past_deadline_changes_nothing)          \
    X(one_of_many_creators_wins)              \
    X(one_of_many_replacers_wins)             \
    X(readers_see_whole_records)              \
    X(lost_reply_is_unavailable_and_applied)  \
    X(vanished_place_is_unavailable)          \
    X(watch_ends_at_its_deadline)             \
    X(watch_wakes_on_a_change)                \
    X(watch_of_a_stale_version_returns)       \
    X(age_grows_and_restarts)                 \
    X(committed_pack_is_read_back)            \
    X(pack_is_invisible_before_commit)        \
    X(abandoned_pack_never_appears)           \
    X(second_commit_of_a_pack_conflicts)      \
    X(absent_pack_is_not_found)               \
    X(range_past_the_end_is_corrupt)          \
    X(empty_pack_is_a_pack)                   \
    X(list_shows_all_packs_in_order)          \
    X(list_stops_with_the_callers_error)      \
    X(removed_pack_is_gone_and_may_come_back) \
    X(two_writers_do_not_mix)                 \
    X(names_are_listed_in_order)              \
    X(handles_share_the_place)                \
    X(record_and_packs_at_the_same_instant)   \
    X(no_descriptor_stays_open)

#define STORE_CONTRACT_DECLARE(what) contract_fn contract_##what;
STORE_CONTRACT_CASES(STORE_CONTRACT_DECLARE)

/* Expands in a file that defines `<b>_backend` and includes criterion. */
#define STORE_CONTRACT_TEST(b, what)        \
    Test(b, what, .timeout = 60)            \
    {                                       \
        if (!contract_##what(&b##_backend)) \
            cr_skip_test("not offered");    \
    }
