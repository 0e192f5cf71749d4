#include "common/loop/crew.h"

#include <criterion/criterion.h>
#include <pthread.h>

struct square {
    long in, out;
    pthread_t ran_on;
};

static void do_square(void *arg)
{
    struct square *s = arg;
    s->out = s->in * s->in;
    s->ran_on = pthread_self();
}

static void squares(unsigned threads)
{
    struct crew *crew = crew_new("squares", threads, 4);
    struct square all[100];
    size_t collected = 0;
    for (size_t i = 0; i < 100; i++) {
        if (crew_outstanding(crew) == 4)
            cr_assert_eq(crew_collect(crew), &all[collected++]);
        all[i] = (struct square){ .in = (long)i };
        crew_submit(crew, do_square, &all[i]);
    }
    while (crew_outstanding(crew) > 0)
        cr_assert_eq(crew_collect(crew), &all[collected++]);
    cr_assert_eq(collected, 100);
    for (size_t i = 0; i < 100; i++) {
        cr_assert_eq(all[i].out, (long)(i * i));
        cr_assert_eq(pthread_equal(all[i].ran_on, pthread_self()), threads == 0);
    }
    cr_assert_null(crew_collect(crew));
    crew_free(crew);
}

Test(crew, jobs_come_back_in_order_of_submission) { squares(3); }

Test(crew, without_threads_the_caller_does_the_work) { squares(0); }
