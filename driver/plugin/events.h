/* events.h - the TaskEvents streams: what happens to tasks, to whoever listens now.
 *
 * Nobody listening: an event is dropped, and a later listener gets no stale flood. A listener that
 * does not read loses the oldest events, and memory stays bounded. */
#pragma once
#include "driver/rpc/server.h"
#include "driver/task/task.h"

/* Kept for listeners that are busy; the agent itself keeps 10 a task. */
#define EVENTS_KEPT 256

struct events;

/** Nobody listens yet. */
struct events *events_new(void);
/** All calls must have ended (asserted). NULL is fine. */
void events_free(struct events *events);
/** Keeps `call` (inside its handler) and sends it every event from now on. */
void events_hold(struct events *events, struct rpc_call *call);
/** Tells all listeners. */
void events_put(struct events *events, const struct task_event *event);
