/* exec.h - sessions: one command in a task, and whoever speaks with it.
 *
 * Loop thread. The owner pulls what the command says with exec_next, one piece at a time, and is
 * called back when there may be more; so nothing is kept that nobody takes. Nothing is called back
 * inside a call, nor after exec_drop. See DESIGN.md. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/fd.h"
#include "driver/exec/launch.h"
#include "driver/exec/pty.h"

#define EXEC_CHUNK_BYTES 32768 /* at most in one frame */

struct exec;
struct execs;
struct loop;

/** All sessions of a driver. */
struct execs *execs_new(struct loop *loop);
/** Hangs up on all of them, waits for workers, then calls on_done. Every session was dropped
 *  (asserted). */
void execs_close(struct execs *execs, void (*on_done)(void *arg), void *arg);
/** After execs_close has completed. NULL is fine. */
void execs_free(struct execs *execs);
/** Sessions with this key that have not ended; dropped ones too, while they take their time. */
size_t execs_count(const struct execs *execs, const char *key);

struct exec_start {     /* borrows, but for the spec */
    struct fd spec;     /* sealed; the session's afterwards */
    const char *shim;   /* the helper's program */
    const char *cgroup; /* what the helper makes for it; "" none */
    const char *key;    /* for execs_count: the task's id */
    enum exec_mode mode;
    uint32_t uid; /* owner of the terminal */
};

struct exec_owner {
    void (*on_change)(void *arg); /* exec_next may have something, or input is wanted again */
    void *arg;
};

/** Begins. Its failure, too, is told by exec_next. */
struct exec *exec_new(struct execs *execs, struct exec_start *start,
                      const struct exec_owner *owner);
/** The owner goes: a command that still runs is killed. */
void exec_drop(struct exec *exec);
/** Kills the command with all it started; its end is told as any other. */
void exec_kill(struct exec *exec);

enum exec_news {
    EXEC_NOTHING, /* now; on_change follows */
    EXEC_OUTPUT,
    EXEC_CLOSED, /* the stream has ended; once each */
    EXEC_EXITED, /* the last; nothing of the exec is left */
    EXEC_FAILED  /* the last, in place of EXITED: it did not run, or how it ended is not known */
};

struct exec_frame { /* lent until the next call */
    enum exec_news what;
    bool is_stderr;
    struct view bytes; /* OUTPUT: 1 ... EXEC_CHUNK_BYTES */
    int exit_code;     /* EXITED; 128 + signal when killed */
    int signal;
    bool oom_killed;
    const struct err *err; /* FAILED */
};

/** The next piece. Not called again after EXITED or FAILED. */
void exec_next(struct exec *exec, struct exec_frame *out);

/** True when all input so far is with the command, or will never be wanted. */
bool exec_wants_input(const struct exec *exec);
/** Gives input; it must be wanted (asserted). Copied. */
void exec_write(struct exec *exec, struct view bytes);
/** No more input follows: the command sees the end of it after the rest. */
void exec_end_input(struct exec *exec);
/** The size of the terminal; nothing without one. */
void exec_resize(struct exec *exec, struct pty_size size);
