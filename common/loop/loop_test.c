#include "common/loop/loop.h"

#include "common/base/own.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct trace {
    struct loop *loop;
    char text[64];
    int left;
};

static void note(struct trace *t, const char *what)
{
    size_t len = strlen(t->text);
    snprintf(t->text + len, sizeof(t->text) - len, "%s", what);
    if (--t->left == 0)
        loop_quit(t->loop);
}

static void on_a(void *arg) { note(arg, "a"); }
static void on_b(void *arg) { note(arg, "b"); }
static void on_c(void *arg) { note(arg, "c"); }

Test(loop, posts_run_in_order_and_never_inside_the_call)
{
    struct trace t = { .loop = loop_new(), .left = 3 };
    loop_post(t.loop, on_a, &t);
    loop_post(t.loop, on_b, &t);
    loop_post(t.loop, on_c, &t);
    cr_assert_str_eq(t.text, "");
    loop_run(t.loop);
    cr_assert_str_eq(t.text, "abc");
    loop_free(t.loop);
}

static void *poster(void *arg)
{
    struct trace *t = arg;
    for (int i = 0; i < 1000; i++)
        loop_post(t->loop, on_a, t);
    return NULL;
}

Test(loop, every_post_from_other_threads_arrives)
{
    struct trace t = { .loop = loop_new(), .left = 4000 };
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, poster, &t), 0);
    loop_run(t.loop);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(t.left, 0);
    loop_free(t.loop);
}

Test(loop, timers_fire_by_time_not_by_order_of_arming)
{
    struct trace t = { .loop = loop_new(), .left = 3 };
    struct loop_timer *a = loop_timer_new(t.loop, on_a, &t);
    struct loop_timer *b = loop_timer_new(t.loop, on_b, &t);
    struct loop_timer *c = loop_timer_new(t.loop, on_c, &t);
    struct boot now = boot_now();
    loop_timer_arm(a, boot_add_ms(now, 20));
    loop_timer_arm(b, boot_add_ms(now, 10));
    loop_timer_arm(c, (struct boot){ 0 });
    loop_run(t.loop);
    cr_assert_geq(boot_diff_ms(boot_now(), now), 20);
    cr_assert_str_eq(t.text, "cba");
    loop_timer_free(a);
    loop_timer_free(b);
    loop_timer_free(c);
    loop_free(t.loop);
}

Test(loop, a_cancelled_timer_is_silent)
{
    struct trace t = { .loop = loop_new(), .left = 1 };
    struct loop_timer *a = loop_timer_new(t.loop, on_a, &t);
    struct loop_timer *b = loop_timer_new(t.loop, on_b, &t);
    loop_timer_arm(a, boot_now());
    loop_timer_arm(b, boot_add_ms(boot_now(), 5));
    loop_timer_cancel(a);
    loop_run(t.loop);
    cr_assert_str_eq(t.text, "b");
    loop_timer_freep(&a);
    loop_timer_freep(&b);
    loop_free(t.loop);
}

struct self_arming {
    struct trace trace;
    struct loop_timer *timer;
};

static void on_again(void *arg)
{
    struct self_arming *s = arg;
    loop_timer_arm(s->timer, (struct boot){ 0 });
}

Test(loop, a_timer_re_armed_for_the_past_does_not_starve_the_mailbox)
{
    struct self_arming s = { .trace = { .loop = loop_new(), .left = 1 } };
    s.timer = loop_timer_new(s.trace.loop, on_again, &s);
    loop_timer_arm(s.timer, (struct boot){ 0 });
    loop_post(s.trace.loop, on_a, &s.trace);
    loop_run(s.trace.loop);
    cr_assert_str_eq(s.trace.text, "a");
    loop_timer_free(s.timer);
    loop_free(s.trace.loop);
}

struct reader {
    struct trace trace;
    struct loop_watch *watch;
    int fd;
};

static void on_readable(void *arg, unsigned events)
{
    struct reader *r = arg;
    char byte;
    cr_assert(events & LOOP_READ);
    if (read(r->fd, &byte, 1) == 1)
        return note(&r->trace, "r");
    loop_watch_freep(&r->watch);
    note(&r->trace, "e");
}

Test(loop, a_watch_sees_bytes_and_then_the_end)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    struct reader r = { .trace = { .loop = loop_new(), .left = 3 }, .fd = ends[0] };
    r.watch = loop_watch_new(r.trace.loop, ends[0], LOOP_READ, on_readable, &r);
    cr_assert_eq(write(ends[1], "xy", 2), 2);
    close(ends[1]);
    loop_run(r.trace.loop);
    cr_assert_str_eq(r.trace.text, "rre");
    loop_free(r.trace.loop);
    close(ends[0]);
}

struct job {
    struct trace *trace;
    pthread_t ran_on;
};

static void do_job(void *arg) { ((struct job *)arg)->ran_on = pthread_self(); }

static void on_job(void *arg)
{
    struct job *job = arg;
    cr_assert_neq(job->ran_on, pthread_self());
    note(job->trace, "j");
}

Test(loop, work_runs_elsewhere_and_completes_here)
{
    struct trace t = { .loop = loop_new(), .left = 8 };
    struct job jobs[8];
    for (int i = 0; i < 8; i++) {
        jobs[i].trace = &t;
        loop_work(t.loop, do_job, on_job, &jobs[i]);
    }
    loop_run(t.loop);
    cr_assert_str_eq(t.text, "jjjjjjjj");
    loop_free(t.loop);
}
