#include "sidecar/simulate/queue.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

Test(queue, gives_events_by_time_and_equal_times_in_order_of_posting)
{
    struct queue *q = mem_new(struct queue);
    for (int i = 0; i < 1000; i++)
        queue_post(q, (struct event){ .at_ns = i * 7919 % 100, .node = i });
    int64_t last_ns = -1;
    int last = -1;
    for (int i = 0; i < 1000; i++) {
        struct event e = queue_pop(q);
        cr_assert(e.at_ns > last_ns || (e.at_ns == last_ns && e.node > last));
        last_ns = e.at_ns;
        last = e.node;
    }
    cr_assert_eq(q->count, 0);
    free(q);
}

Test(queue, what_is_left_is_dropped_with_its_bytes)
{
    struct queue *q = mem_new(struct queue);
    struct event e = { .at_ns = 1 };
    buf_put_str(&e.bytes, "owned"); /* the leak checker watches */
    queue_post(q, e);
    queue_fini(q);
    cr_assert_eq(q->count, 0);
    free(q);
}
