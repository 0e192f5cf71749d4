#include "sidecar/api/client.h"

#include "common/base/own.h"
#include "sidecar/api/error.h"
#include "sidecar/api/http.h"
#include "sidecar/api/listener.h"

#include <poll.h>
#include <sys/socket.h>

#define READ_BYTES 16384

static bool wait_for(int socket, short what, struct deadline until, struct err *err)
{
    for (;;) {
        int64_t left_ms = deadline_left_ms(until, boot_now());
        struct pollfd p = { .fd = socket, .events = what };
        if (left_ms == 0)
            return err_set(err, ERR_UNAVAILABLE, "call the API: no answer in time");
        int ready = poll(&p, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return err_sys(err, errno, "wait for the API");
    }
}

static bool put(int socket, struct view bytes, struct deadline until, struct err *err)
{
    while (bytes.len > 0) {
        ssize_t sent = send(socket, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes = view_of(bytes.data + sent, bytes.len - (size_t)sent);
        } else if (errno != EAGAIN && errno != EINTR) {
            return err_set(err, ERR_UNAVAILABLE, "call the API: it closed the connection");
        } else if (!wait_for(socket, POLLOUT, until, err)) {
            return false;
        }
    }
    return true;
}

static bool get(int socket, struct http_reader *reader, struct deadline until, struct err *err)
{
    enum http_state state = HTTP_MORE;
    uint8_t bytes[READ_BYTES];
    while (state == HTTP_MORE) {
        if (!wait_for(socket, POLLIN, until, err))
            return false;
        ssize_t got = recv(socket, bytes, sizeof bytes, 0);
        size_t used;
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0) {
            state = http_feed_end(reader);
            if (state != HTTP_READY)
                return err_set(err, ERR_UNAVAILABLE, "call the API: it closed the connection");
        } else {
            state = http_feed(reader, view_of(bytes, (size_t)got), &used);
        }
    }
    return state == HTTP_READY || err_set(err, ERR_CORRUPT, "call the API: it does not speak HTTP");
}

bool api_call(const char *socket_path, const char *method, const char *path, struct deadline until,
              struct buf *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd socket = FD_NONE;
    CLEANUP(buf_fini) struct buf request = { 0 };
    CLEANUP(http_reader_freep) struct http_reader *reader = http_reader_new(HTTP_SIDE_CLIENT);
    if (!listener_connect(socket_path, &socket, err))
        return false;
    buf_put_fmt(&request,
                "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n"
                "Connection: close\r\n\r\n",
                method, path);
    if (!put(socket.raw, buf_view(&request), until, err) || !get(socket.raw, reader, until, err))
        return false;
    const struct http_message *answer = http_borrow_message(reader);
    if (answer->status != 200)
        return error_take(buf_view(&answer->body), answer->status, err);
    buf_put(out, buf_view(&answer->body));
    return true;
}
