#include "sidecar/engine/wishes.h"

#include <criterion/criterion.h>

#define AT(ms) ((struct boot){ (ms)*NS_PER_MS })

struct asked {
    struct wish wish;
    int done;
    int64_t sequence;
    enum err_kind kind;
    struct wishes *from; /* forget `other` there when done */
    struct asked *other;
};

static void on_done(void *arg, const struct wish_result *result, const struct err *err)
{
    struct asked *a = arg;
    cr_assert_neq(result == NULL, err == NULL, "exactly one of them");
    a->done++;
    a->sequence = result != NULL ? result->sequence : 0;
    a->kind = err != NULL ? err->kind : ERR_NONE;
    if (a->other != NULL)
        cr_assert(wishes_remove(a->from, &a->other->wish));
}

static void ask(struct wishes *w, struct asked *a, int64_t ms)
{
    a->wish.done = on_done;
    a->wish.arg = a;
    wishes_add(w, &a->wish, AT(ms));
}

static const struct wish_result one = { "one", 1 }, two = { "two", 2 };

Test(wishes, one_made_during_a_checkpoint_waits_for_the_next)
{
    struct wishes w = { 0 };
    struct asked early = { 0 }, late = { 0 };
    ask(&w, &early, 1);
    wishes_begin(&w);
    ask(&w, &late, 2);
    wishes_commit(&w, &one);
    cr_assert(early.done == 1 && early.sequence == 1);
    cr_assert_eq(late.done, 0);
    cr_assert(wishes_is_waiting(&w));
    wishes_begin(&w);
    cr_assert_not(wishes_is_waiting(&w));
    wishes_commit(&w, &two);
    cr_assert(late.done == 1 && late.sequence == 2 && early.done == 1);
}

Test(wishes, all_that_wait_share_one_checkpoint)
{
    struct wishes w = { 0 };
    struct asked a[5] = { 0 };
    for (int i = 0; i < 5; i++)
        ask(&w, &a[i], i);
    wishes_begin(&w);
    wishes_commit(&w, &one);
    for (int i = 0; i < 5; i++)
        cr_assert(a[i].done == 1 && a[i].kind == ERR_NONE);
}

Test(wishes, failure_keeps_the_young_in_front_and_fails_the_old)
{
    struct wishes w = { 0 };
    struct err err;
    struct asked old = { 0 }, young = { 0 }, late = { 0 };
    ask(&w, &old, 10);
    ask(&w, &young, 20);
    wishes_begin(&w);
    ask(&w, &late, 30);
    err_set(&err, ERR_UNAVAILABLE, "no space");
    wishes_retry(&w, AT(15), &err);
    cr_assert(old.done == 1 && old.kind == ERR_UNAVAILABLE);
    cr_assert(young.done == 0 && late.done == 0);
    wishes_begin(&w);
    wishes_commit(&w, &one);
    cr_assert(young.done == 1 && late.done == 1);
}

Test(wishes, end_fails_everyone_once)
{
    struct wishes w = { 0 };
    struct err err;
    struct asked served = { 0 }, waiting = { 0 };
    ask(&w, &served, 1);
    wishes_begin(&w);
    ask(&w, &waiting, 2);
    err_set(&err, ERR_FENCED, "lost");
    wishes_fail(&w, &err);
    cr_assert(served.done == 1 && served.kind == ERR_FENCED);
    cr_assert(waiting.done == 1 && waiting.kind == ERR_FENCED);
    wishes_fail(&w, &err);
    cr_assert_eq(served.done, 1);
}

Test(wishes, forgotten_one_is_never_told)
{
    struct wishes w = { 0 };
    struct asked a = { 0 }, b = { 0 }, c = { 0 };
    ask(&w, &a, 1);
    ask(&w, &b, 2);
    wishes_begin(&w);
    ask(&w, &c, 3);
    cr_assert(wishes_remove(&w, &b.wish));
    cr_assert(wishes_remove(&w, &c.wish));
    cr_assert_not(wishes_remove(&w, &c.wish));
    wishes_commit(&w, &one);
    cr_assert(a.done == 1 && b.done == 0 && c.done == 0);
}

Test(wishes, done_may_forget_the_next)
{
    struct wishes w = { 0 };
    struct asked b = { 0 }, a = { .from = &w, .other = &b };
    ask(&w, &a, 1);
    ask(&w, &b, 2);
    wishes_begin(&w);
    wishes_commit(&w, &one);
    cr_assert(a.done == 1 && b.done == 0);
}
