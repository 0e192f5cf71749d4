#include "driver/plugin/events.h"

#include "common/base/own.h"
#include "driver/plugin/reply.h"

#include <assert.h>

struct listener {
    struct events *events;
    struct rpc_call *call;
    uint64_t next_event; /* number of the first event it has not got */
    struct listener *next, **link;
};

struct events {
    struct buf kept[EVENTS_KEPT]; /* event n stands at n % EVENTS_KEPT */
    uint64_t end;                 /* number of the next event */
    struct listener *listeners;
};

struct events *events_new(void) { return mem_new(struct events); }

void events_free(struct events *events)
{
    if (events == NULL)
        return;
    assert(events->listeners == NULL);
    for (size_t i = 0; i < EVENTS_KEPT; i++)
        buf_fini(&events->kept[i]);
    free(events);
}

static void send_next(void *arg)
{
    struct listener *listener = arg;
    struct events *events = listener->events;
    if (listener->next_event == events->end || !rpc_call_is_ready(listener->call))
        return;
    if (events->end - listener->next_event > EVENTS_KEPT)
        listener->next_event = events->end - EVENTS_KEPT;
    rpc_call_send(listener->call, buf_view(&events->kept[listener->next_event++ % EVENTS_KEPT]));
}

static void listener_gone(void *arg)
{
    struct listener *listener = arg;
    *listener->link = listener->next;
    if (listener->next != NULL)
        listener->next->link = listener->link;
    free(listener);
}

void events_hold(struct events *events, struct rpc_call *call)
{
    struct listener *listener = mem_new(struct listener);
    listener->events = events;
    listener->call = call;
    listener->next_event = events->end;
    listener->next = events->listeners;
    listener->link = &events->listeners;
    if (listener->next != NULL)
        listener->next->link = &listener->next;
    events->listeners = listener;
    rpc_call_hold(call, &(struct rpc_hold){ listener_gone, send_next, listener });
}

void events_put(struct events *events, const struct task_event *event)
{
    if (events->listeners == NULL)
        return;
    struct buf *slot = &events->kept[events->end++ % EVENTS_KEPT];
    buf_fini(slot);
    reply_put_event(slot, event);
    for (struct listener *listener = events->listeners; listener != NULL; listener = listener->next)
        send_next(listener);
}
