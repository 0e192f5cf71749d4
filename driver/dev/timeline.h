/* timeline.h - what happened when, as lines for people or for scripts.
 *
 * Times count from timeline_open on the boot clock. Text lines: `12.034s node-1 text`. With json
 * one object a line: t_ms, wall_ms, node, event, text, and epoch and checkpoint where they are
 * known. Control characters of tasks never reach the terminal. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/time.h"

#define TIMELINE_EVENTS(X) /* event, its name in JSON */ \
    X(NOTE, "note")                                      \
    X(NODE, "node")       /* a node came or went */      \
    X(TASK, "task")       /* the driver's TaskEvents */  \
    X(STARTED, "started") /* StartTask succeeded */      \
    X(EXITED, "exited")   /* WaitTask returned */        \
    X(STDOUT, "stdout")                                  \
    X(STDERR, "stderr")                                  \
    X(KILL, "kill-node")                                 \
    X(PARTITION, "partition-node")                       \
    X(STOP, "stop")                                      \
    X(ERROR, "error")                                    \
    X(END, "end")
#define TIMELINE_ENUM(event, name) TIMELINE_##event,
enum timeline_event { TIMELINE_EVENTS(TIMELINE_ENUM) TIMELINE_EVENT_COUNT };

struct timeline { /* a value */
    const struct clock *clock;
    struct boot started;
    int fd; /* borrowed */
    bool json;
    bool is_broken; /* the reader went away: nothing more is written */
};

/** Time zero is now. */
struct timeline timeline_open(const struct clock *clock, int fd, bool json);

/** One line; `node` from 1, 0 for none. Long text is cut. For TASK events the numbers behind the
 *  words "epoch" and "checkpoint" become fields. */
void timeline_put(struct timeline *t, unsigned node, enum timeline_event event, const char *fmt,
                  ...) PRINTF(4, 5);

/** Milliseconds since time zero. */
int64_t timeline_ms(const struct timeline *t);

/** The word after `name` in `text` ("checkpoint 41" gives "41"), at most `size` - 1 bytes of
 *  letters, digits, dots and dashes; false when there is none. */
bool timeline_field(const char *text, const char *name, char *out, size_t size);
