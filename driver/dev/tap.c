#include "driver/dev/tap.h"

#include "common/base/fd.h"
#include "common/base/own.h"
#include "common/loop/loop.h"

#include <fcntl.h>
#include <sys/stat.h>

#define READ_BYTES 4096

struct tap {
    struct fd fifo;
    struct loop_watch *watch; /* NULL once every writer is gone */
    tap_line_fn *on_line;
    void *arg;
    char line[TAP_LINE_MAX + 1];
    size_t len;
};

static void line_hand(struct tap *t)
{
    t->line[t->len] = '\0';
    t->len = 0;
    t->on_line(t->arg, t->line);
}

static void bytes_take(struct tap *t, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] == '\n') {
            line_hand(t);
            continue;
        }
        t->line[t->len++] = bytes[i] ? bytes[i] : ' ';
        if (t->len == TAP_LINE_MAX)
            line_hand(t);
    }
}

/* False when there is nothing more to read now; at the end of the file too. */
static bool some_read(struct tap *t, bool *at_end)
{
    char bytes[READ_BYTES];
    const ssize_t n = read(t->fifo.raw, bytes, sizeof bytes);
    *at_end = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
    if (n > 0)
        bytes_take(t, bytes, (size_t)n);
    return n > 0;
}

static void on_ready(void *arg, unsigned events)
{
    struct tap *t = arg;
    bool at_end;
    (void)events;
    (void)some_read(t, &at_end);
    if (at_end)
        loop_watch_freep(&t->watch);
}

bool tap_open(struct loop *loop, const char *path, tap_line_fn *on_line, void *arg,
              struct tap **out, struct err *err)
{
    if (mkfifo(path, 0600) != 0 && errno != EEXIST)
        return err_sys(err, errno, "make FIFO \"%s\"", path);
    CLEANUP(fd_closep)
    struct fd fifo = { open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC) };
    struct stat st;
    if (!fd_is_open(fifo) || fstat(fifo.raw, &st) != 0)
        return err_sys(err, errno, "open FIFO \"%s\"", path);
    if (!S_ISFIFO(st.st_mode))
        return err_set(err, ERR_INVALID, "open FIFO \"%s\": it is something else", path);
    struct tap *t = mem_new(struct tap);
    t->fifo = fd_take(&fifo);
    t->on_line = on_line;
    t->arg = arg;
    t->watch = loop_watch_new(loop, t->fifo.raw, LOOP_READ, on_ready, t);
    *out = t;
    return true;
}

void tap_close(struct tap *tap)
{
    if (!tap)
        return;
    bool at_end;
    while (some_read(tap, &at_end))
        continue;
    if (tap->len)
        line_hand(tap);
    loop_watch_freep(&tap->watch);
    fd_closep(&tap->fifo);
    free(tap);
}
