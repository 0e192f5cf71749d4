#include "driver/exec/input.h"

#include "common/loop/loop.h"
#include "driver/exec/pty.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static bool is_sent(const struct exec_input *input) { return input->at == input->bytes.len; }

void exec_input_close(struct exec_input *input)
{
    loop_watch_freep(&input->watch);
    fd_closep(&input->fd);
    if (input->bytes.data != NULL)
        explicit_bzero(input->bytes.data, input->bytes.cap); /* a password may have been typed */
    buf_fini(&input->bytes);
    input->at = 0;
    input->is_closed = true;
}

/* What a person would type: once at the beginning of a line, twice within one. */
static void type_end(struct exec_input *input)
{
    uint8_t end = pty_end_character(input->fd.raw);
    buf_put_u8(&input->bytes, end);
    if (input->has_line_begun)
        buf_put_u8(&input->bytes, end);
    input->has_line_begun = false;
}

/* False when nobody reads any more. */
static bool write_some(struct exec_input *input)
{
    while (!is_sent(input)) {
        ssize_t got = write(input->fd.raw, input->bytes.data + input->at,
                            input->bytes.len - input->at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno == EAGAIN;
        input->at += (size_t)got;
    }
    return true;
}

static void flush(struct exec_input *input)
{
    if (!fd_is_open(input->fd))
        return;
    if (is_sent(input) && input->is_end_wanted && input->is_terminal) {
        input->is_end_wanted = false;
        type_end(input);
    }
    if (!write_some(input)) {
        exec_input_close(input);
        return;
    }
    loop_watch_change(input->watch, is_sent(input) ? 0 : LOOP_WRITE);
    if (!is_sent(input))
        return;
    input->bytes.len = input->at = 0;
    if (!input->is_end_wanted)
        return;
    if (input->is_terminal)
        flush(input);
    else
        exec_input_close(input);
}

static void on_writable(void *arg, unsigned events)
{
    struct exec_input *input = arg;
    (void)events;
    flush(input);
    if (exec_input_has_room(input))
        input->on_room(input->arg);
}

void exec_input_open(struct exec_input *input, struct loop *loop, struct fd fd, bool is_terminal,
                     void (*on_room)(void *arg), void *arg)
{
    assert(!fd_is_open(input->fd) && !input->is_closed);
    input->on_room = on_room;
    input->arg = arg;
    input->is_terminal = is_terminal;
    if (!fd_is_open(fd)) {
        exec_input_close(input);
        return;
    }
    input->fd = fd;
    input->watch = loop_watch_new(loop, fd.raw, 0, on_writable, input);
    flush(input);
}

bool exec_input_has_room(const struct exec_input *input) { return is_sent(input); }

void exec_input_put(struct exec_input *input, struct view bytes)
{
    assert(exec_input_has_room(input));
    if (bytes.len == 0 || input->is_closed || input->is_end_wanted)
        return;
    buf_put(&input->bytes, bytes);
    input->has_line_begun = bytes.data[bytes.len - 1] != '\n';
    flush(input);
}

void exec_input_end(struct exec_input *input)
{
    if (input->is_closed)
        return;
    input->is_end_wanted = true;
    flush(input);
}
