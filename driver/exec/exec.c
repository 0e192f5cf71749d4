#include "driver/exec/exec.h"

#include "common/base/own.h"
#include "common/log/log.h"
#include "common/loop/loop.h"
#include "common/shimlink/shimlink.h"
#include "common/shimwire/msg.h"
#include "driver/exec/input.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define EXEC_MAGIC 0x65786563U /* "exec" */
#define HANGUP_MS  5000        /* from the hang-up to the helper's own death */
#define DRAIN_MS   200         /* from the end of everything to the end of output */

struct stream { /* of output */
    struct exec *exec;
    struct fd fd;
    struct loop_watch *watch;
    bool is_told; /* CLOSED was given */
};

struct exec {
    unsigned magic;
    struct execs *execs;
    struct exec *next, **link;
    struct exec_owner owner; /* on_change NULL: dropped */
    char *key, *shim, *cgroup;
    struct fd spec;
    enum exec_mode mode;
    uint32_t uid;
    struct pty_size size;

    bool is_working; /* a worker has `born`, `ok` and `err` */
    bool ok;
    struct exec_launch_out born;
    struct err err; /* why it failed; kind NONE: it did not */

    struct shimlink *channel;
    int control; /* the channel's descriptor, borrowed; -1 */
    struct loop_watch *death;
    struct loop_timer *timer;
    bool is_killed, has_ended, is_drained, is_last_told;
    struct shim_msg end;
    struct stream streams[2];
    unsigned turn; /* the stream that is asked first */
    struct exec_input input;
    uint8_t chunk[EXEC_CHUNK_BYTES];
};

struct execs {
    struct loop *loop;
    struct exec *first;
    bool is_closing;
    void (*on_done)(void *arg);
    void *arg;
};

static void change(struct exec *exec)
{
    if (exec->owner.on_change != NULL)
        exec->owner.on_change(exec->owner.arg);
}

/* Life's end. */

static void stream_close(struct stream *stream)
{
    loop_watch_freep(&stream->watch);
    fd_closep(&stream->fd);
}

static void let_go(struct exec *exec)
{
    stream_close(&exec->streams[0]);
    stream_close(&exec->streams[1]);
    exec_input_close(&exec->input);
    shimlink_freep(&exec->channel);
    loop_watch_freep(&exec->death);
    loop_timer_freep(&exec->timer);
}

static void exec_free(struct exec *exec)
{
    assert(exec->magic == EXEC_MAGIC && !exec->is_working);
    let_go(exec);
    fd_closep(&exec->spec); /* not earlier: a worker may be about to hand it over */
    proc_fini(&exec->born.helper);
    *exec->link = exec->next;
    if (exec->next != NULL)
        exec->next->link = exec->link;
    free(exec->key);
    free(exec->shim);
    free(exec->cgroup);
    exec->magic = 0;
    free(exec);
}

static void check_closed(struct execs *execs)
{
    if (execs->is_closing && execs->first == NULL)
        execs->on_done(execs->arg);
}

/* Frees what nobody owns, nobody works on, and has nothing left to be done about. True when it is
 * gone. */
static bool free_if_over(struct exec *exec)
{
    struct execs *execs = exec->execs;
    bool is_over = exec->has_ended && exec->born.helper.pid == 0;
    if (exec->owner.on_change != NULL || exec->is_working || !(is_over || execs->is_closing))
        return false;
    exec_free(exec);
    check_closed(execs);
    return true;
}

static void hang_up(struct exec *exec)
{
    exec->is_killed = true;
    if (exec->channel == NULL || exec->has_ended)
        return;
    (void)shutdown(exec->control, SHUT_WR);
    loop_timer_arm(exec->timer, boot_add_ms(boot_now(), HANGUP_MS));
}

static void kill_helper(struct exec *exec)
{
    struct err err = { 0 };
    if (exec->born.helper.pid == 0)
        return;
    LOG(LOG_WARN, "an exec's helper does not end and is killed", F(task, exec->key));
    if (!proc_signal(&exec->born.helper, SIGKILL, &err))
        LOG(LOG_WARN, "helper cannot be killed", F(task, exec->key), F(error, &err));
}

static void on_timer(void *arg)
{
    struct exec *exec = arg;
    if (!exec->has_ended) {
        kill_helper(exec); /* its socket closes, and that is the end */
        return;
    }
    exec->is_drained = true;
    change(exec);
}

/* The session may be gone afterwards. */
static void set_ended(struct exec *exec)
{
    exec->has_ended = true;
    exec_input_close(&exec->input);
    loop_timer_arm(exec->timer, boot_add_ms(boot_now(), DRAIN_MS));
    if (!free_if_over(exec))
        change(exec);
}

/* A helper that died: its command is dead by the kernel, what it left is killed here. */

static void clear_job(void *arg)
{
    struct exec *exec = arg;
    exec->ok = exec_clear(exec->cgroup, &exec->err);
}

static void set_lost(struct exec *exec)
{
    (void)err_set(&exec->err, ERR_SYSTEM, "the helper of the exec died");
    set_ended(exec);
}

static void clear_done(void *arg)
{
    struct exec *exec = arg;
    exec->is_working = false;
    if (!exec->ok)
        LOG(LOG_WARN, "what an exec left is not all removed", F(task, exec->key),
            F(error, &exec->err));
    if (!exec->execs->is_closing || !free_if_over(exec))
        set_lost(exec);
}

static void begin_clear(struct exec *exec)
{
    if (exec->cgroup[0] == '\0') {
        set_lost(exec);
        return;
    }
    exec->is_working = true;
    loop_work(exec->execs->loop, clear_job, clear_done, exec);
}

/* What the helper says. */

static void on_message(void *arg, const struct shim_msg *msg)
{
    struct exec *exec = arg;
    if (exec->has_ended)
        return;
    exec->end = *msg;
    if (msg->exec.kind != ERR_NONE)
        (void)err_set(&exec->err, (enum err_kind)msg->exec.kind, "%s", msg->exec.text);
    set_ended(exec);
}

static void on_closed(void *arg, const struct err *why)
{
    struct exec *exec = arg;
    (void)why;
    shimlink_freep(&exec->channel);
    exec->control = -1;
    if (!exec->has_ended)
        begin_clear(exec);
}

static void on_death(void *arg, unsigned events)
{
    struct exec *exec = arg;
    siginfo_t info = { 0 };
    (void)events;
    if (waitid(P_PIDFD, (id_t)exec->born.helper.pidfd.raw, &info, WEXITED | WNOHANG) == 0 &&
        info.si_pid == 0)
        return;
    loop_watch_freep(&exec->death);
    proc_fini(&exec->born.helper);
    (void)free_if_over(exec);
}

/* Input. */

bool exec_wants_input(const struct exec *exec) { return exec_input_has_room(&exec->input); }

void exec_write(struct exec *exec, struct view bytes) { exec_input_put(&exec->input, bytes); }

void exec_end_input(struct exec *exec) { exec_input_end(&exec->input); }

void exec_resize(struct exec *exec, struct pty_size size)
{
    exec->size = size;
    if (exec->mode == EXEC_TTY && fd_is_open(exec->streams[0].fd))
        pty_resize(exec->streams[0].fd.raw, size);
}

static void on_room(void *arg) { change(arg); }

/* Beginning. */

static void on_readable(void *arg, unsigned events)
{
    struct stream *stream = arg;
    (void)events;
    loop_watch_change(stream->watch, 0);
    change(stream->exec);
}

static void stream_open(struct exec *exec, unsigned which, struct fd *fd)
{
    struct stream *stream = &exec->streams[which];
    stream->fd = fd_take(fd);
    if (fd_is_open(stream->fd))
        stream->watch = loop_watch_new(exec->execs->loop, stream->fd.raw, 0, on_readable, stream);
}

static void forget_ends(struct exec *exec)
{
    fd_closep(&exec->born.in);
    fd_closep(&exec->born.out);
    fd_closep(&exec->born.err);
}

static void take_born(struct exec *exec)
{
    struct loop *loop = exec->execs->loop;
    const struct shimlink_events events = { on_message, on_closed, exec };
    exec->control = exec->born.control.raw;
    exec->channel = shimlink_new(loop, fd_take(&exec->born.control), SHIM_EXEC_TELLS, &events);
    exec->death = loop_watch_new(loop, exec->born.helper.pidfd.raw, LOOP_READ, on_death, exec);
    if (exec->is_killed)
        hang_up(exec);
    if (exec->owner.on_change == NULL) {
        forget_ends(exec);
        return;
    }
    stream_open(exec, 0, &exec->born.out);
    stream_open(exec, 1, &exec->born.err);
    if (exec->size.rows > 0 || exec->size.columns > 0)
        exec_resize(exec, exec->size); /* before the first word of input */
    exec_input_open(&exec->input, loop, fd_take(&exec->born.in), exec->mode == EXEC_TTY, on_room,
                    exec);
}

static void launch_job(void *arg)
{
    struct exec *exec = arg;
    const struct exec_launch_in in = { exec->spec.raw, exec->shim, exec->mode, exec->uid };
    exec->ok = exec_launch(&in, &exec->born, &exec->err);
}

static void launch_done(void *arg)
{
    struct exec *exec = arg;
    exec->is_working = false;
    fd_closep(&exec->spec);
    if (exec->execs->is_closing) {
        fd_closep(&exec->born.control); /* which kills */
        forget_ends(exec);
        (void)free_if_over(exec);
        return;
    }
    if (exec->ok)
        take_born(exec);
    else
        exec->has_ended = exec->is_drained = true;
    if (!free_if_over(exec))
        change(exec);
}

struct exec *exec_new(struct execs *execs, struct exec_start *start, const struct exec_owner *owner)
{
    assert(!execs->is_closing && owner->on_change != NULL);
    struct exec *exec = mem_new(struct exec);
    exec->magic = EXEC_MAGIC;
    exec->execs = execs;
    exec->owner = *owner;
    exec->key = str_copy(start->key);
    exec->shim = str_copy(start->shim);
    exec->cgroup = str_copy(start->cgroup);
    exec->spec = fd_take(&start->spec);
    exec->mode = start->mode;
    exec->uid = start->uid;
    exec->control = -1;
    exec->born = (struct exec_launch_out){ PROC_NONE, FD_NONE, FD_NONE, FD_NONE, FD_NONE };
    exec->input.fd = FD_NONE;
    for (unsigned i = 0; i < COUNT(exec->streams); i++)
        exec->streams[i] = (struct stream){ .exec = exec, .fd = FD_NONE };
    exec->timer = loop_timer_new(execs->loop, on_timer, exec);
    exec->next = execs->first;
    exec->link = &execs->first;
    if (exec->next != NULL)
        exec->next->link = &exec->next;
    execs->first = exec;
    exec->is_working = true;
    loop_work(execs->loop, launch_job, launch_done, exec);
    return exec;
}

void exec_kill(struct exec *exec)
{
    assert(exec->magic == EXEC_MAGIC);
    if (!exec->is_killed)
        hang_up(exec);
}

void exec_drop(struct exec *exec)
{
    assert(exec->magic == EXEC_MAGIC && exec->owner.on_change != NULL);
    exec->owner = (struct exec_owner){ NULL, NULL };
    exec_kill(exec);
    stream_close(&exec->streams[0]);
    stream_close(&exec->streams[1]);
    exec_input_close(&exec->input);
    (void)free_if_over(exec);
}

/* Output. */

/* False when there is nothing now. */
static bool read_stream(struct exec *exec, struct stream *stream, struct exec_frame *out)
{
    ssize_t got;
    do
        got = read(stream->fd.raw, exec->chunk, sizeof(exec->chunk));
    while (got < 0 && errno == EINTR);
    if (got > 0) {
        out->what = EXEC_OUTPUT;
        out->bytes = view_of(exec->chunk, (size_t)got);
        return true;
    }
    if (got < 0 && errno == EAGAIN && !exec->is_drained) {
        loop_watch_change(stream->watch, LOOP_READ);
        return false;
    }
    stream_close(stream); /* the end; of a terminal it is an error, EIO */
    stream->is_told = true;
    out->what = EXEC_CLOSED;
    return true;
}

/* The second stream of a terminal or a single pipe only has its end, which is the first one's. */
static bool next_of(struct exec *exec, unsigned which, struct exec_frame *out)
{
    struct stream *stream = &exec->streams[which];
    out->is_stderr = which == 1;
    if (stream->is_told)
        return false;
    if (fd_is_open(stream->fd))
        return read_stream(exec, stream, out);
    if (!exec->streams[0].is_told)
        return false;
    stream->is_told = true;
    out->what = EXEC_CLOSED;
    return true;
}

static void fill_end(struct exec *exec, struct exec_frame *out)
{
    exec->is_last_told = true;
    out->what = exec->err.kind != ERR_NONE ? EXEC_FAILED : EXEC_EXITED;
    out->err = &exec->err;
    out->exit_code = exec->end.exec.exit_code;
    out->signal = exec->end.exec.signal;
    out->oom_killed = exec->end.exec.oom_killed;
}

void exec_next(struct exec *exec, struct exec_frame *out)
{
    assert(exec->magic == EXEC_MAGIC && !exec->is_last_told);
    *out = (struct exec_frame){ .what = EXEC_NOTHING };
    if (exec->is_working)
        return;
    if (exec->has_ended && exec->err.kind != ERR_NONE) {
        fill_end(exec, out);
        return;
    }
    exec->turn ^= 1;
    if (next_of(exec, exec->turn, out) || next_of(exec, exec->turn ^ 1, out))
        return;
    out->is_stderr = false;
    if (exec->has_ended && exec->streams[0].is_told && exec->streams[1].is_told)
        fill_end(exec, out);
}

/* All of them. */

struct execs *execs_new(struct loop *loop)
{
    struct execs *execs = mem_new(struct execs);
    execs->loop = loop;
    return execs;
}

static void closed_at_once(void *arg) { check_closed(arg); }

void execs_close(struct execs *execs, void (*on_done)(void *arg), void *arg)
{
    assert(!execs->is_closing);
    execs->is_closing = true;
    execs->on_done = on_done;
    execs->arg = arg;
    for (struct exec *exec = execs->first, *next; exec != NULL; exec = next) {
        next = exec->next;
        assert(exec->owner.on_change == NULL);
        let_go(exec);
        if (!exec->is_working)
            exec_free(exec);
    }
    if (execs->first == NULL)
        loop_post(execs->loop, closed_at_once, execs);
}

void execs_free(struct execs *execs)
{
    if (execs == NULL)
        return;
    assert(execs->is_closing && execs->first == NULL);
    free(execs);
}

size_t execs_count(const struct execs *execs, const char *key)
{
    size_t count = 0;
    for (const struct exec *exec = execs->first; exec != NULL; exec = exec->next)
        count += !exec->has_ended && strcmp(exec->key, key) == 0;
    return count;
}
