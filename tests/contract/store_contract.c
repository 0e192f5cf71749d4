#include "tests/contract/store_contract.h"

#include "common/base/own.h"
#include "tests/contract/place.h"

#include <pthread.h>
#include <stdio.h>

#define RACERS 8
#define ROUNDS 25

bool contract_absent_record_is_not_found(const struct contract_store *b)
{
    PLACE(b);
    expect_absent(p.store, "eu/planner/0");
    return true;
}

bool contract_created_record_is_read_back(const struct contract_store *b)
{
    PLACE(b);
    struct store_version made = create(p.store, "eu/planner/0", "one\n\xc3\xa9");
    struct store_version seen = expect(p.store, "eu/planner/0", "one\n\xc3\xa9");
    MUST(store_version_is_equal(&made, &seen));
    return true;
}

bool contract_second_create_conflicts(const struct contract_store *b)
{
    PLACE(b);
    struct store_version v;
    struct err err = { 0 };
    (void)create(p.store, "a", "one");
    expect_fail(store_create(p.store, "a", view_str("two"), soon(), &v, &err), &err, ERR_CONFLICT);
    (void)expect(p.store, "a", "one");
    return true;
}

bool contract_replace_needs_the_current_version(const struct contract_store *b)
{
    PLACE(b);
    struct store_version v;
    struct err err = { 0 };
    struct store_version first = create(p.store, "a", "one");
    struct store_version second = replace(p.store, "a", first, "two");
    expect_fail(store_replace(p.store, "a", &first, view_str("three"), soon(), &v, &err), &err,
                ERR_CONFLICT);
    (void)replace(p.store, "a", second, "three");
    (void)expect(p.store, "a", "three");
    return true;
}

bool contract_replace_of_absent_record_conflicts(const struct contract_store *b)
{
    PLACE(b);
    struct store_version v = create(p.store, "a", "one"), ignored;
    struct err err = { 0 };
    expect_fail(store_replace(p.store, "b", &v, view_str("two"), soon(), &ignored, &err), &err,
                ERR_CONFLICT);
    expect_absent(p.store, "b");
    return true;
}

bool contract_conflict_changes_nothing(const struct contract_store *b)
{
    PLACE(b);
    struct store_version ignored;
    struct err err = { 0 };
    struct store_version first = create(p.store, "a", "one");
    struct store_version second = replace(p.store, "a", first, "two");
    for (int i = 0; i < 3; i++)
        expect_fail(store_replace(p.store, "a", &first, view_str("x"), soon(), &ignored, &err),
                    &err, ERR_CONFLICT);
    struct store_version seen = expect(p.store, "a", "two");
    MUST(store_version_is_equal(&seen, &second));
    return true;
}

bool contract_version_is_never_reused(const struct contract_store *b)
{
    PLACE(b);
    struct store_version all[6];
    all[0] = create(p.store, "a", "A");
    for (size_t i = 1; i < COUNT(all); i++)
        all[i] = replace(p.store, "a", all[i - 1], i % 2 != 0 ? "B" : "A");
    for (size_t i = 0; i < COUNT(all); i++)
        for (size_t j = 0; j < i; j++)
            MUST_NOT(store_version_is_equal(&all[i], &all[j]));
    return true;
}

bool contract_names_do_not_mix(const struct contract_store *b)
{
    static const char *const names[] = { "a",   "a/b", "a/b/c", "a%2Fb", "A",     "a+",      "a b",
                                         "a.b", "rec", "lock",  "packs", "a/tmp", "\xc3\xa9" };
    PLACE(b);
    for (size_t i = 0; i < COUNT(names); i++)
        (void)create(p.store, names[i], names[i]);
    for (size_t i = 0; i < COUNT(names); i++)
        (void)expect(p.store, names[i], names[i]);
    return true;
}

bool contract_largest_record_fits_one_more_does_not(const struct contract_store *b)
{
    PLACE(b);
    CLEANUP(str_freep) char *text = mem_array(STORE_RECORD_MAX + 2, 1);
    memset(text, 'x', STORE_RECORD_MAX);
    struct store_version v = create(p.store, "a", text), ignored;
    (void)expect(p.store, "a", text);
    text[STORE_RECORD_MAX] = 'x';
    struct err err = { 0 };
    expect_fail(store_replace(p.store, "a", &v, view_str(text), soon(), &ignored, &err), &err,
                ERR_INVALID);
    expect_fail(store_create(p.store, "b", view_of("", 0), soon(), &ignored, &err), &err,
                ERR_INVALID);
    return true;
}

bool contract_bad_names_are_refused(const struct contract_store *b)
{
    static const char *const bad[] = {
        "", "/a", "a/", "a//b", ".", "a/../b", "a/.", "a\nb", "\xff"
    };
    PLACE(b);
    struct store_version v;
    struct err err = { 0 };
    for (size_t i = 0; i < COUNT(bad); i++)
        expect_fail(store_create(p.store, bad[i], view_str("x"), soon(), &v, &err), &err,
                    ERR_INVALID);
    char longest[STORE_NAME_MAX + 2] = "";
    memset(longest, '/', sizeof(longest) - 1);
    for (size_t i = 0; i < sizeof(longest) - 1; i += 2)
        longest[i] = '%';
    expect_fail(store_create(p.store, longest, view_str("x"), soon(), &v, &err), &err, ERR_INVALID);
    memset(longest, ' ', STORE_NAME_MAX);
    longest[STORE_NAME_MAX] = '\0';
    (void)create(p.store, longest, "long");
    (void)expect(p.store, longest, "long");
    return true;
}

bool contract_past_deadline_changes_nothing(const struct contract_store *b)
{
    PLACE(b);
    struct store_version v = create(p.store, "a", "one"), ignored;
    CLEANUP(buf_fini) struct buf got = { 0 };
    struct err err = { 0 };
    expect_fail(store_replace(p.store, "a", &v, view_str("two"), past(), &ignored, &err), &err,
                ERR_UNAVAILABLE);
    expect_fail(store_create(p.store, "b", view_str("two"), past(), &ignored, &err), &err,
                ERR_UNAVAILABLE);
    expect_fail(store_read(p.store, "a", past(), &got, &ignored, &err), &err, ERR_UNAVAILABLE);
    (void)expect(p.store, "a", "one");
    expect_absent(p.store, "b");
    return true;
}

/* One of several threads that want the same thing at the same instant. */
struct racer {
    const struct place *p;
    pthread_barrier_t *start;
    struct store_version seen; /* of the round, empty: create */
    char name[32], text[32];
    int number;
    bool has_won;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    CLEANUP(store_closep) struct store *mine = r->p->b->connect(r->p->raw);
    struct store_version v;
    struct err err = { 0 };
    pthread_barrier_wait(r->start);
    bool good = r->seen.text[0] == '\0'
                    ? store_create(mine, r->name, view_str(r->text), soon(), &v, &err)
                    : store_replace(mine, r->name, &r->seen, view_str(r->text), soon(), &v, &err);
    MUST(good || err.kind == ERR_CONFLICT, "%s", err.msg);
    r->has_won = good;
    return NULL;
}

/* Returns the winner's number after checking that there is one and that its text is there. */
static struct store_version run_race(const struct place *p, const char *name,
                                     struct store_version seen)
{
    pthread_barrier_t start;
    pthread_t threads[RACERS];
    struct racer racers[RACERS] = { 0 };
    int winners = 0, last = 0;
    pthread_barrier_init(&start, NULL, RACERS);
    for (int i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){ .p = p, .start = &start, .seen = seen, .number = i };
        (void)snprintf(racers[i].name, sizeof(racers[i].name), "%s", name);
        (void)snprintf(racers[i].text, sizeof(racers[i].text), "racer %d", i);
        MUST(pthread_create(&threads[i], NULL, race, &racers[i]) == 0);
    }
    for (int i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        winners += racers[i].has_won;
        last = racers[i].has_won ? i : last;
    }
    pthread_barrier_destroy(&start);
    MUST(winners == 1, "%d winners", winners);
    return expect(p->store, name, racers[last].text);
}

bool contract_one_of_many_creators_wins(const struct contract_store *b)
{
    PLACE(b);
    for (int round = 0; round < ROUNDS; round++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "race/%d", round);
        (void)run_race(&p, name, (struct store_version){ 0 });
    }
    return true;
}

bool contract_one_of_many_replacers_wins(const struct contract_store *b)
{
    PLACE(b);
    struct store_version seen = create(p.store, "race", "start");
    for (int round = 0; round < ROUNDS; round++)
        seen = run_race(&p, "race", seen);
    return true;
}

static void *write_in_turn(void *arg)
{
    struct racer *r = arg;
    CLEANUP(store_closep) struct store *mine = r->p->b->connect(r->p->raw);
    struct store_version v = r->seen;
    char text[4001] = "";
    for (int i = 0; i < 100; i++) {
        memset(text, 'a' + i % 26, i % 2 != 0 ? 4000 : 40);
        text[i % 2 != 0 ? 4000 : 40] = '\0';
        v = replace(mine, r->name, v, text);
    }
    return NULL;
}

bool contract_readers_see_whole_records(const struct contract_store *b)
{
    PLACE(b);
    struct racer r = { .p = &p, .name = "a", .seen = create(p.store, "a", "zz") };
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, write_in_turn, &r) == 0);
    for (int i = 0; i < 300; i++) {
        CLEANUP(buf_fini) struct buf got = { 0 };
        struct store_version v;
        struct err err = { 0 };
        MUST(store_read(p.store, "a", soon(), &got, &v, &err), "%s", err.msg);
        MUST(got.len == 2 || got.len == 40 || got.len == 4000, "%zu bytes", got.len);
        for (size_t at = 1; at < got.len; at++)
            MUST(got.data[at] == got.data[0]);
    }
    pthread_join(thread, NULL);
    return true;
}

bool contract_lost_reply_is_unavailable_and_applied(const struct contract_store *b)
{
    if (b->lose_next_reply == NULL)
        return false;
    PLACE(b);
    struct store_version v = create(p.store, "a", "one"), ignored;
    struct err err = { 0 };
    b->lose_next_reply(p.raw);
    expect_fail(store_replace(p.store, "a", &v, view_str("two"), soon(), &ignored, &err), &err,
                ERR_UNAVAILABLE);
    (void)expect(p.store, "a", "two");
    return true;
}

bool contract_vanished_place_is_unavailable(const struct contract_store *b)
{
    if (b->vanish == NULL)
        return false;
    PLACE(b);
    struct store_version v = create(p.store, "a", "one"), ignored;
    CLEANUP(buf_fini) struct buf got = { 0 };
    uint64_t size;
    struct err err = { 0 };
    b->vanish(p.raw);
    expect_fail(store_probe(p.store, soon(), &err), &err, ERR_UNAVAILABLE);
    expect_fail(store_read(p.store, "a", soon(), &got, &ignored, &err), &err, ERR_UNAVAILABLE);
    expect_fail(store_read(p.store, "b", soon(), &got, &ignored, &err), &err, ERR_UNAVAILABLE);
    expect_fail(store_create(p.store, "b", view_str("x"), soon(), &ignored, &err), &err,
                ERR_UNAVAILABLE);
    expect_fail(store_replace(p.store, "a", &v, view_str("x"), soon(), &ignored, &err), &err,
                ERR_UNAVAILABLE);
    if ((b->features & STORE_PACKS) != 0)
        expect_fail(store_pack_size(p.store, "a", "p", soon(), &size, &err), &err, ERR_UNAVAILABLE);
    return true;
}

bool contract_watch_ends_at_its_deadline(const struct contract_store *b)
{
    NEEDS(b, STORE_WATCH);
    PLACE(b);
    struct store_version v = create(p.store, "a", "one");
    struct err err = { 0 };
    struct boot before = boot_now();
    MUST(store_watch(p.store, "a", &v, deadline_after(before, 60, 0), &err), "%s", err.msg);
    int64_t spent_ms = boot_diff_ms(boot_now(), before);
    MUST(spent_ms >= 59 && spent_ms < 5000, "%d ms", (int)spent_ms);
    return true;
}

static void *replace_later(void *arg)
{
    struct racer *r = arg;
    CLEANUP(store_closep) struct store *mine = r->p->b->connect(r->p->raw);
    pthread_barrier_wait(r->start);
    (void)replace(mine, r->name, r->seen, "two");
    return NULL;
}

bool contract_watch_wakes_on_a_change(const struct contract_store *b)
{
    NEEDS(b, STORE_WATCH);
    PLACE(b);
    pthread_barrier_t start;
    pthread_t thread;
    struct racer r = { .p = &p, .start = &start, .name = "a" };
    struct err err = { 0 };
    struct boot before = boot_now();
    r.seen = create(p.store, "a", "one");
    pthread_barrier_init(&start, NULL, 2);
    MUST(pthread_create(&thread, NULL, replace_later, &r) == 0);
    pthread_barrier_wait(&start);
    MUST(store_watch(p.store, "a", &r.seen, soon(), &err), "%s", err.msg);
    MUST(boot_diff_ms(boot_now(), before) < 10000);
    (void)expect(p.store, "a", "two");
    pthread_join(thread, NULL);
    pthread_barrier_destroy(&start);
    return true;
}

bool contract_watch_of_a_stale_version_returns(const struct contract_store *b)
{
    NEEDS(b, STORE_WATCH);
    PLACE(b);
    struct store_version v = create(p.store, "a", "one");
    struct err err = { 0 };
    (void)replace(p.store, "a", v, "two");
    struct boot before = boot_now();
    MUST(store_watch(p.store, "a", &v, soon(), &err), "%s", err.msg);
    MUST(boot_diff_ms(boot_now(), before) < 10000);
    return true;
}

bool contract_age_grows_and_restarts(const struct contract_store *b)
{
    NEEDS(b, STORE_AGE);
    PLACE(b);
    int64_t first_ms = 0, later_ms = 0;
    struct err err = { 0 };
    struct store_version v = create(p.store, "a", "one");
    MUST(store_age(p.store, "a", soon(), &first_ms, &err), "%s", err.msg);
    while (later_ms <= first_ms)
        MUST(store_age(p.store, "a", soon(), &later_ms, &err), "%s", err.msg);
    (void)replace(p.store, "a", v, "two");
    MUST(store_age(p.store, "a", soon(), &first_ms, &err), "%s", err.msg);
    MUST(first_ms >= 0 && first_ms < 10000);
    expect_fail(store_age(p.store, "b", soon(), &first_ms, &err), &err, ERR_NOT_FOUND);
    return true;
}
