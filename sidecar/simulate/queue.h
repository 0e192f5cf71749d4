/* queue.h - what will happen, in the order of true time; equal times in the order of posting.
 *
 * An event owns its bytes. Bounded: a history that fills the queue is a bug (asserted). */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "sidecar/lease/machine.h"

#define QUEUE_EVENTS_MAX 2048

enum event_kind {
    EVENT_REQUEST,   /* arrives at the store */
    EVENT_WATCH_END, /* the store has watched long enough for this request */
    EVENT_REPLY,     /* arrives at the process, or its call has run out of time */
    EVENT_TIMER,     /* of the process */
    EVENT_ARM,       /* arrives at the shim */
    EVENT_ACK,       /* the shim's answer arrives at the process */
    EVENT_GATE,      /* arrives at the shim: start the agent */
    EVENT_WISH,      /* the owner wants something */
    EVENT_START,     /* a process starts */
    EVENT_RESUME     /* what stood still goes on */
};

struct event {
    int64_t at_ns; /* true time */
    uint64_t order;
    enum event_kind kind;
    int node;
    uint64_t life; /* of the process that it is for */
    struct machine_action action;
    struct buf bytes;             /* REQUEST: to be written; REPLY: that was read */
    enum err_kind outcome;        /* REPLY: NONE is success */
    struct store_version version; /* REPLY */
    bool is_mute;                 /* REQUEST: nobody will be told */
    bool accepted;                /* ACK */
};

struct queue {
    struct event events[QUEUE_EVENTS_MAX]; /* a heap */
    size_t count;
    uint64_t orders;
};

/** Adds; takes the event's bytes. */
void queue_post(struct queue *q, struct event event);
/** Takes the next event; its bytes are the caller's. The queue is not empty (asserted). */
struct event queue_pop(struct queue *q);
/** Drops what is left. */
void queue_fini(struct queue *q);
