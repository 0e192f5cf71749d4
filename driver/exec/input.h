/* input.h - bytes on their way into a command: one piece at a time, and then the end.
 *
 * A value inside a session; loop thread. What the command does not take is kept, at most one piece.
 * A command that reads no more gets no more: the rest is thrown away. Nothing is called back inside
 * a call. */
#pragma once
#include "common/base/buf.h"
#include "common/base/fd.h"

struct loop;
struct loop_watch;

struct exec_input { /* zeroed but for FD_NONE: not open yet; pieces and the end are kept until then
                     */
    struct fd fd;
    struct loop_watch *watch;
    struct buf bytes;
    size_t at; /* of bytes: with the command */
    bool is_terminal, is_closed;
    bool is_end_wanted;  /* after the bytes */
    bool has_line_begun; /* the last byte was no newline */
    void (*on_room)(void *arg);
    void *arg;
};

/** The command is there: `fd` (ours now, not blocking; FD_NONE: it has no input) gets what was
 * kept. `on_room` is called when a piece that had to wait has gone. */
void exec_input_open(struct exec_input *input, struct loop *loop, struct fd fd, bool is_terminal,
                     void (*on_room)(void *arg), void *arg);
/** True when the last piece is with the command, or will never be. */
bool exec_input_has_room(const struct exec_input *input);
/** One piece; there must be room (asserted). Copied. */
void exec_input_put(struct exec_input *input, struct view bytes);
/** The command sees the end of its input after the rest; on a terminal its end character is typed.
 */
void exec_input_end(struct exec_input *input);
/** No more; what is kept is wiped. */
void exec_input_close(struct exec_input *input);
