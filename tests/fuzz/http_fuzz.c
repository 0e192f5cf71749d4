// rooms: sidecar/api
/* Bytes of a client, cut at places that the input itself names, into the request reader. */
#include "sidecar/api/http.h"

#include "common/base/own.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_request(struct http_reader *reader)
{
    const struct http_message *m = http_borrow_message(reader);
    if (strnlen(m->path, sizeof m->path) == sizeof m->path || m->body.len > HTTP_BODY_MAX)
        abort();
    http_next(reader);
}

static void feed(enum http_side side, struct view rest, size_t step)
{
    CLEANUP(http_reader_freep) struct http_reader *reader = http_reader_new(side);
    while (rest.len > 0) {
        size_t used, len = rest.len < step ? rest.len : step;
        enum http_state state = http_feed(reader, view_of(rest.data, len), &used);
        if (used > len || (state == HTTP_MORE && used != len))
            abort();
        rest = view_of(rest.data + used, rest.len - used);
        if (state == HTTP_READY)
            check_request(reader);
        if (state == HTTP_BROKEN) {
            if (http_broken_status(reader) < 400)
                abort();
            return;
        }
    }
    if (http_feed_end(reader) == HTTP_READY)
        check_request(reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct view rest = view_of(data + 1, size - 1);
    feed(HTTP_SIDE_SERVER, rest, data[0] == 0 ? SIZE_MAX : data[0]);
    feed(HTTP_SIDE_CLIENT, rest, data[0] == 0 ? SIZE_MAX : data[0]);
    return 0;
}
