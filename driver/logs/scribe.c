#include "driver/logs/scribe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/base/own.h"

#define BATCH_MAX  ((size_t)256 << 10) /* of one stream in one turn: the other one waits */
#define COPY_TRIES 8

/* What became of one attempt to move data. */
enum moved { MOVED, EMPTY, OVER, REFUSED };

static enum moved result_of(ssize_t got)
{
    if (got > 0)
        return MOVED;
    if (got == 0)
        return OVER;
    return errno == EAGAIN || errno == EINTR ? EMPTY : REFUSED;
}

/* All or an error: what is written is counted, what is not is missing. */
static enum moved copy(struct scribe *scribe, struct scribe_stream *stream, size_t most)
{
    const size_t want = most < sizeof(scribe->scrap) ? most : sizeof(scribe->scrap);
    const ssize_t got = read(stream->pipe_fd, scribe->scrap, want);
    if (got <= 0)
        return result_of(got);
    size_t done = 0;
    for (int i = 0; i < COPY_TRIES && done < (size_t)got; i++) {
        const ssize_t put = write(stream->rotation.file.raw, scribe->scrap + done,
                                  (size_t)got - done);
        if (put < 0)
            break;
        done += (size_t)put;
    }
    rotation_wrote(&stream->rotation, done);
    if (done < (size_t)got) {
        stream->why = stream->missing ? stream->why : errno;
        stream->missing += (size_t)got - done;
    }
    return MOVED;
}

/* Takes out of the pipe what it has put into the file, and nothing else, also when killed. */
static enum moved move(struct scribe *scribe, struct scribe_stream *stream, size_t most)
{
    if (stream->cannot_splice)
        return copy(scribe, stream, most);
    const ssize_t got = splice(stream->pipe_fd, NULL, stream->rotation.file.raw, NULL, most,
                               SPLICE_F_NONBLOCK);
    if (got < 0 && errno == EINVAL) {
        stream->cannot_splice = true;
        return copy(scribe, stream, most);
    }
    if (got > 0)
        rotation_wrote(&stream->rotation, (uint64_t)got);
    return result_of(got);
}

static enum moved drop(struct scribe *scribe, struct scribe_stream *stream, int why)
{
    const ssize_t got = read(stream->pipe_fd, scribe->scrap, sizeof(scribe->scrap));
    if (got > 0) {
        stream->why = stream->missing ? stream->why : why;
        stream->missing += (uint64_t)got;
    }
    return result_of(got);
}

/* False when the disk still takes nothing. */
static bool tell_missing(struct scribe_stream *stream)
{
    char line[160];
    if (stream->missing == 0)
        return true;
    const int len = snprintf(line, sizeof(line),
                             "agent-shim: %llu bytes of the log are missing here: %s\n",
                             (unsigned long long)stream->missing, strerror(stream->why));
    const ssize_t put = write(stream->rotation.file.raw, line, (size_t)len);
    if (put <= 0)
        return false;
    rotation_wrote(&stream->rotation, (uint64_t)put);
    stream->missing = 0;
    return true;
}

static enum moved pump_once(struct scribe *scribe, struct scribe_stream *stream, size_t *left)
{
    struct err err = { 0 };
    const struct rotation *rotation = &stream->rotation;
    if (!rotation_ready(&stream->rotation, &err))
        return drop(scribe, stream, err.os_errno);
    if (!tell_missing(stream))
        return drop(scribe, stream, errno);
    const uint64_t before = rotation->size;
    const uint64_t room = rotation->max_bytes > before ? rotation->max_bytes - before : BATCH_MAX;
    const enum moved how = move(scribe, stream, room < *left ? (size_t)room : *left);
    if (how == REFUSED)
        return drop(scribe, stream, errno);
    *left -= rotation->size - before < *left ? (size_t)(rotation->size - before) : *left;
    return how;
}

static void pump(struct scribe *scribe, struct scribe_stream *stream)
{
    size_t left = BATCH_MAX;
    enum moved how = MOVED;
    for (int i = 0; how == MOVED && left > 0 && i < 64; i++)
        how = pump_once(scribe, stream, &left);
    stream->is_over = how == OVER || how == REFUSED; /* a pipe that cannot be read is over, too */
    if (!stream->is_over)
        return;
    struct err err = { 0 };
    if (stream->missing > 0 && rotation_ready(&stream->rotation, &err))
        (void)tell_missing(stream); /* or nobody is left to be told */
    rotation_fini(&stream->rotation);
}

bool scribe_turn(struct scribe *scribe, int timeout_ms)
{
    struct pollfd table[COUNT(scribe->streams)];
    for (size_t i = 0; i < COUNT(table); i++)
        table[i] = (struct pollfd){ .fd = scribe->streams[i].is_over ? -1
                                                                     : scribe->streams[i].pipe_fd,
                                    .events = POLLIN };
    (void)poll(table, COUNT(table), timeout_ms);
    bool any = false;
    for (size_t i = 0; i < COUNT(table); i++) {
        if (table[i].fd >= 0 && table[i].revents != 0)
            pump(scribe, &scribe->streams[i]);
        any = any || !scribe->streams[i].is_over;
    }
    return any;
}

void scribe_run(struct scribe *scribe)
{
    while (scribe_turn(scribe, -1))
        continue;
}
