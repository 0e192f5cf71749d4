#include "sidecar/engine/watch.h"

#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

struct scene {
    struct loop *loop;
    struct watch *watch;
    enum err_kind script[4]; /* of the looks */
    unsigned looks, told, bad, idles, quit_after;
    char why[240];
    bool is_stuck;
    sem_t go;
};

static bool look(void *arg, struct err *err)
{
    struct scene *s = arg;
    enum err_kind kind = s->script[s->looks++ % 4];
    if (s->is_stuck)
        while (sem_wait(&s->go) != 0)
            continue;
    return kind == ERR_NONE || err_set(err, kind, "look %u", s->looks);
}

static void on_health(void *arg, enum health_source source, const struct err *err)
{
    struct scene *s = arg;
    cr_assert_eq(source, HEALTH_STATE);
    s->bad += err != NULL;
    (void)snprintf(s->why, sizeof s->why, "%s", err != NULL ? err->msg : "");
    if (++s->told == s->quit_after)
        loop_quit(s->loop);
}

static void on_idle(void *arg)
{
    struct scene *s = arg;
    s->idles++;
    loop_quit(s->loop);
}

static void begin(struct scene *s)
{
    s->loop = loop_new();
    cr_assert_eq(sem_init(&s->go, 0, 0), 0);
    const struct watch_spec spec = { HEALTH_STATE, 1, s->is_stuck ? 1 : 100000, look, on_health,
                                     on_idle,      s };
    s->watch = watch_new(s->loop, &clock_system, &spec);
}

static void end(struct scene *s)
{
    watch_stop(s->watch);
    watch_stop(s->watch);
    loop_run(s->loop);
    cr_assert_eq(s->idles, 1);
    watch_free(s->watch);
    loop_free(s->loop);
}

Test(watch, every_look_is_told_again_and_again, .timeout = 20)
{
    struct scene s = { .script = { ERR_NONE, ERR_UNAVAILABLE, ERR_UNAVAILABLE, ERR_NONE },
                       .quit_after = 4 };
    begin(&s);
    watch_start(s.watch);
    watch_start(s.watch);
    loop_run(s.loop);
    cr_assert(s.looks >= 4 && s.bad == 2);
    cr_assert_str_eq(s.why, "");
    end(&s);
}

Test(watch, look_that_does_not_come_back_is_trouble, .timeout = 20)
{
    struct scene s = { .is_stuck = true, .quit_after = 2 };
    begin(&s);
    watch_start(s.watch);
    loop_run(s.loop);
    cr_assert(s.bad == 2 && strstr(s.why, "no answer") != NULL, "%s", s.why);
    sem_post(&s.go); /* this one, and those that follow */
    while (s.why[0] != '\0') {
        s.quit_after = s.told + 1;
        loop_run(s.loop);
        sem_post(&s.go);
    }
    end(&s);
}

Test(watch, stop_during_a_look_waits_for_it_and_tells_nothing, .timeout = 20)
{
    struct scene s = { .is_stuck = true, .quit_after = 1 };
    begin(&s);
    watch_start(s.watch);
    loop_run(s.loop);
    unsigned told = s.told;
    watch_stop(s.watch);
    cr_assert_eq(s.idles, 0);
    sem_post(&s.go);
    end(&s);
    cr_assert_eq(s.told, told);
}

Test(watch, one_that_never_began_comes_to_rest_too, .timeout = 20)
{
    struct scene s = { 0 };
    begin(&s);
    end(&s);
    cr_assert(s.looks == 0 && s.told == 0);
}
