#include "sidecar/engine/saver.h"

#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdio.h>

/* A store and a lease by script, with a clock that the test owns. Each take asks the script; a
 * commit waits for the test when `holds_commit`. The loop runs until nothing is left to do. */
struct scene {
    struct loop *loop;
    struct saver *saver;
    struct observe observe;
    struct boot now;
    struct {
        enum err_kind take, commit; /* ERR_NONE: works */
        bool is_unchanged;
        void (*during)(struct scene *s); /* on the loop, while the worker takes */
    } script[8];
    unsigned takes, commits, proofs, settled, dropped, committed, troubles, recoveries, idles;
    unsigned quit_after; /* on_once, on_idle, wishes: the loop ends after that many */
    unsigned told;
    bool is_alone[8], is_interval[8];
    char reasons[8][16];
    enum err_kind once_kind;
    unsigned onces, wish_ok, wish_failed;
    int64_t wish_sequence;
    struct wish wishes[4];
    sem_t seen;
};

static void told(struct scene *s)
{
    if (++s->told == s->quit_after)
        loop_quit(s->loop);
}

static void run_during(void *arg)
{
    struct scene *s = arg;
    s->script[s->takes - 1].during(s);
    sem_post(&s->seen);
}

static bool take(void *arg, const struct saver_take *what, struct checkpoint_result *out,
                 struct err *err)
{
    struct scene *s = arg;
    unsigned n = s->takes++;
    s->is_alone[n] = what->is_alone;
    s->is_interval[n] = what->is_interval;
    (void)snprintf(s->reasons[n], sizeof s->reasons[n], "%s", what->reason);
    if (s->script[n].during != NULL) {
        loop_post(s->loop, run_during, s);
        sem_wait(&s->seen);
    }
    if (s->script[n].take != ERR_NONE)
        return err_set(err, s->script[n].take, "take fails");
    out->is_changed = !s->script[n].is_unchanged;
    out->sequence = n + 1;
    (void)snprintf(out->id, sizeof out->id, "id-%u", n + 1);
    return true;
}

struct held {
    struct scene *s;
    saver_done_fn *done;
    void *arg;
    enum err_kind kind;
};
static void answer(void *arg)
{
    struct held *h = arg;
    struct err err;
    if (h->kind != ERR_NONE)
        err_set(&err, h->kind, "commit fails");
    h->done(h->arg, h->kind == ERR_NONE ? NULL : &err);
    free(h);
}
static void commit(void *arg, const struct checkpoint_result *result, saver_done_fn *done,
                   void *done_arg)
{
    struct scene *s = arg;
    struct held *h = malloc(sizeof *h);
    *h = (struct held){ s, done, done_arg, s->script[s->takes - 1].commit };
    if (result != NULL)
        s->commits++;
    else
        s->proofs++;
    loop_post(s->loop, answer, h);
}
static void settle(void *arg, bool is_committed)
{
    struct scene *s = arg;
    if (is_committed)
        s->settled++;
    else
        s->dropped++;
}
static void on_committed(void *arg, const struct checkpoint_result *result, bool is_once)
{
    (void)result, (void)is_once;
    ((struct scene *)arg)->committed++;
}
static void on_trouble(void *arg, const struct err *err)
{
    struct scene *s = arg;
    if (err != NULL)
        s->troubles++;
    else
        s->recoveries++;
    s->now = boot_add_ms(s->now, SAVER_BACKOFF_MAX); /* time flies: the next try is due */
}
static void on_once(void *arg, const struct checkpoint_result *result, const struct err *err)
{
    struct scene *s = arg;
    cr_assert_neq(result == NULL, err == NULL);
    s->once_kind = err != NULL ? err->kind : ERR_NONE;
    s->onces++;
    told(s);
}
static void on_idle(void *arg)
{
    struct scene *s = arg;
    s->idles++;
    told(s);
}
static void on_wish(void *arg, const struct wish_result *result, const struct err *err)
{
    struct scene *s = arg;
    if (err != NULL)
        s->wish_failed++;
    else
        s->wish_ok++;
    if (result != NULL)
        s->wish_sequence = result->sequence;
    told(s);
}
static struct boot now(void *arg) { return ((struct scene *)arg)->now; }

static void wish(struct scene *s, unsigned n)
{
    s->wishes[n] = (struct wish){ .done = on_wish, .arg = s };
    saver_wish(s->saver, &s->wishes[n]);
}

static struct clock test_clock;
static struct scene *begin(struct scene *s)
{
    sem_init(&s->seen, 0, 0);
    s->loop = loop_new();
    test_clock = (struct clock){ .boot = now, .arg = s };
    struct saver_ops ops = { take, commit, settle, s };
    struct saver_events events = { on_committed, on_trouble, on_once, on_idle, s };
    s->saver = saver_new(s->loop, &test_clock, &s->observe, &ops, &events);
    return s;
}
static void run_until(struct scene *s, unsigned told_count)
{
    s->quit_after = s->told + told_count;
    loop_run(s->loop);
}
static void end(struct scene *s)
{
    struct err why;
    err_set(&why, ERR_CONFLICT, "over");
    saver_stop(s->saver, &why);
    if (s->idles == 0)
        run_until(s, 1);
    saver_free(s->saver);
    loop_free(s->loop);
}

Test(saver, wish_is_granted_after_the_commit, .timeout = 10)
{
    struct scene s = { 0 };
    wish(begin(&s), 0);
    cr_assert_eq(s.wish_ok, 0, "never inside the call");
    run_until(&s, 1);
    cr_assert(s.wish_ok == 1 && s.wish_sequence == 1);
    cr_assert(s.commits == 1 && s.settled == 1 && s.committed == 1);
    cr_assert_str_eq(s.reasons[0], "request");
    int64_t sequence;
    cr_assert_str_eq(saver_borrow_head(s.saver, &sequence), "id-1");
    end(&s);
}

static void wish_more(struct scene *s)
{
    wish(s, 1);
    wish(s, 2);
}
Test(saver, wishes_during_a_scan_share_the_next_checkpoint, .timeout = 10)
{
    struct scene s = { .script[0].during = wish_more };
    wish(begin(&s), 0);
    run_until(&s, 3);
    cr_assert(s.takes == 2 && s.wish_ok == 3 && s.wish_sequence == 2);
    end(&s);
}

/* Wishes 1 and 2 share a checkpoint; 1 asks again as soon as it is answered, before 2 is. */
static void on_wish_again(void *arg, const struct wish_result *result, const struct err *err)
{
    struct scene *s = arg;
    wish(s, 3);
    on_wish(arg, result, err);
}
static void wish_again(struct scene *s)
{
    s->wishes[1] = (struct wish){ .done = on_wish_again, .arg = s };
    saver_wish(s->saver, &s->wishes[1]);
    wish(s, 2);
}
Test(saver, wish_made_inside_an_answer_waits_for_the_next_checkpoint, .timeout = 10)
{
    struct scene s = { .script[0].during = wish_again };
    wish(begin(&s), 0);
    run_until(&s, 4);
    cr_assert(s.takes == 3 && s.wish_ok == 4 && s.wish_sequence == 3);
    end(&s);
}

Test(saver, unchanged_state_is_granted_only_with_a_proof, .timeout = 10)
{
    struct scene s = { .script[0].is_unchanged = true };
    begin(&s);
    saver_adopt(s.saver, "id-0", 41);
    wish(&s, 0);
    run_until(&s, 1);
    cr_assert(s.proofs == 1 && s.commits == 0 && s.settled == 0);
    cr_assert(s.wish_ok == 1 && s.wish_sequence == 41);
    end(&s);
}

static void ask_once(struct scene *s)
{
    saver_once(s->saver, "stop", deadline_after(s->now, 1 << 30, 0));
}

Test(saver, final_checkpoint_comes_behind_the_one_at_work, .timeout = 10)
{
    struct scene s = { .script[0].during = ask_once };
    wish(begin(&s), 0);
    run_until(&s, 2);
    cr_assert(s.takes == 2 && s.onces == 1 && s.once_kind == ERR_NONE);
    cr_assert(!s.is_alone[0] && s.is_alone[1]);
    cr_assert(!s.is_interval[0] && !s.is_interval[1], "all of every file is read");
    cr_assert_str_eq(s.reasons[1], "stop");
    end(&s);
}

Test(saver, failed_take_is_repeated_and_told_once, .timeout = 10)
{
    struct scene s = { .script = { { .take = ERR_SYSTEM }, { .take = ERR_UNAVAILABLE } } };
    wish(begin(&s), 0);
    run_until(&s, 1);
    /* 2 x 5 s passed: the second failure came within the patience of 10 s, the third try worked. */
    cr_assert(s.takes == 3 && s.wish_ok == 1 && s.wish_failed == 0);
    cr_assert(s.troubles == 2 && s.recoveries == 1);
    cr_assert_eq(s.observe.checkpoints_failed, 2);
    end(&s);
}

Test(saver, wish_fails_when_its_patience_ends, .timeout = 10)
{
    struct scene s = { 0 };
    for (unsigned i = 0; i < 5; i++)
        s.script[i].take = ERR_SYSTEM;
    wish(begin(&s), 0);
    run_until(&s, 1);
    cr_assert(s.wish_failed == 1 && s.wish_ok == 0 && s.takes < 5);
    end(&s);
}

Test(saver, failed_commit_drops_the_candidate_and_tries_again, .timeout = 10)
{
    struct scene s = { .script[0].commit = ERR_UNAVAILABLE };
    wish(begin(&s), 0);
    run_until(&s, 1);
    cr_assert(s.dropped == 1 && s.settled == 1 && s.takes == 2);
    cr_assert(s.wish_ok == 1 && s.wish_sequence == 2);
    end(&s);
}

Test(saver, final_checkpoint_ends_with_an_error_that_cannot_be_mended, .timeout = 10)
{
    struct scene s = { .script[0].take = ERR_NOT_FOUND };
    ask_once(begin(&s));
    run_until(&s, 1);
    cr_assert(s.takes == 1 && s.once_kind == ERR_NOT_FOUND);
    end(&s);
}

Test(saver, final_checkpoint_is_repeated_until_its_time_is_over, .timeout = 10)
{
    struct scene s = { 0 };
    for (unsigned i = 0; i < 8; i++)
        s.script[i].take = ERR_SYSTEM;
    begin(&s);
    saver_once(s.saver, "stop", deadline_after(s.now, 12000, 0));
    run_until(&s, 1);
    cr_assert(s.once_kind == ERR_SYSTEM && s.takes == 4, "%u takes", s.takes);
    end(&s);
}

static void stop_now(struct scene *s)
{
    struct err why;
    err_set(&why, ERR_FENCED, "lost");
    saver_stop(s->saver, &why);
    cr_assert(saver_is_busy(s->saver));
}

Test(saver, stop_during_a_scan_fails_wishes_and_commits_nothing, .timeout = 10)
{
    struct scene s = { .script[0].during = stop_now };
    wish(begin(&s), 0);
    run_until(&s, 2);
    cr_assert(s.wish_failed == 1 && s.idles == 1);
    cr_assert(s.commits == 0 && s.dropped == 1, "the candidate is dropped");
    end(&s);
}

static void on_wish_stop(void *arg, const struct wish_result *result, const struct err *err)
{
    struct scene *s = arg;
    stop_now(s);
    on_wish(s, result, err);
}

Test(saver, stop_by_one_that_was_told_comes_to_rest_once, .timeout = 10)
{
    struct scene s = { 0 };
    begin(&s);
    s.wishes[0] = (struct wish){ .done = on_wish_stop, .arg = &s };
    saver_wish(s.saver, &s.wishes[0]);
    run_until(&s, 2);
    cr_assert(s.wish_ok == 1 && s.idles == 1 && s.settled == 1);
    end(&s);
}

static void leave_loop(struct scene *s) { loop_quit(s->loop); }

Test(saver, checkpoint_that_nobody_asked_for_may_sample_logs, .timeout = 10)
{
    struct scene s = { .script[0].during = leave_loop };
    begin(&s);
    s.now = boot_now();
    saver_start(s.saver, 1);
    loop_run(s.loop);
    cr_assert(s.is_interval[0] && !s.is_alone[0]);
    cr_assert_str_eq(s.reasons[0], "interval");
    end(&s);
}

Test(saver, interval_counts_from_the_beginning_of_the_last_one, .timeout = 10)
{
    struct scene s = { 0 };
    begin(&s);
    saver_start(s.saver, 5);
    s.now = boot_now(); /* timers are real, the past is due at once */
    wish(&s, 0);
    run_until(&s, 1);
    s.now = boot_add_ms(s.now, -10000);
    wish(&s, 1);
    run_until(&s, 1);
    struct boot cut;
    cr_assert(saver_last_cut(s.saver, &cut));
    end(&s);
    cr_assert_geq(s.takes, 2); /* no worker counts any more */
}

Test(saver, forgotten_wish_is_not_told_and_the_checkpoint_goes_on, .timeout = 10)
{
    struct scene s = { 0 };
    wish(begin(&s), 0);
    wish(&s, 1);
    cr_assert(saver_forget(s.saver, &s.wishes[0]));
    cr_assert_not(saver_forget(s.saver, &s.wishes[0]));
    run_until(&s, 1);
    cr_assert(s.wish_ok == 1 && s.commits >= 1);
    end(&s);
}
