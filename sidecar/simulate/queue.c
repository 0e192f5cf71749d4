#include "sidecar/simulate/queue.h"

#include <assert.h>

static bool is_before(const struct event *a, const struct event *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void swap(struct event *a, struct event *b)
{
    struct event kept = *a;
    *a = *b;
    *b = kept;
}

void queue_post(struct queue *q, struct event event)
{
    assert(q->count < QUEUE_EVENTS_MAX);
    size_t at = q->count++;
    event.order = q->orders++;
    q->events[at] = event;
    while (at > 0 && is_before(&q->events[at], &q->events[(at - 1) / 2])) {
        swap(&q->events[at], &q->events[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
}

struct event queue_pop(struct queue *q)
{
    assert(q->count > 0);
    struct event first = q->events[0];
    q->events[0] = q->events[--q->count];
    for (size_t at = 0;;) {
        size_t least = at, left = 2 * at + 1;
        for (size_t child = left; child < left + 2 && child < q->count; child++)
            if (is_before(&q->events[child], &q->events[least]))
                least = child;
        if (least == at)
            return first;
        swap(&q->events[at], &q->events[least]);
        at = least;
    }
}

void queue_fini(struct queue *q)
{
    while (q->count > 0)
        buf_fini(&q->events[--q->count].bytes);
}
