/* spawn.h - the one function that starts a process: by a spec, placed and named at birth.
 *
 * With a pidfd and, if asked, born straight into a cgroup. Without a hook and a cgroup the child
 * borrows our memory until it executes, as vfork's does. Nothing is allocated; in the child
 * only async-signal-safe calls run, in a fixed order: death signal, session, descriptors, the
 * caller's hook, signals, exec. What fails there comes back as {stage, errno}. Kernel doc:
 * clone3(2). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/base/err.h"
#include "common/base/fd.h"

#define PROC_FDS_MAX 16

#define PROC_STAGES(X) /* stage, number, what was being done */ \
    X(NONE, 0, "nothing")                                       \
    X(DEATH_SIGNAL, 1, "tie to the parent's life")              \
    X(SESSION, 2, "start a session")                            \
    X(DESCRIPTORS, 3, "arrange descriptors")                    \
    X(SIGNALS, 4, "reset signals")                              \
    X(EXEC, 5, "execute")                                       \
    X(BIRTH, 6, "be born")                                      \
    X(CGROUP, 7, "enter the cgroup")                            \
    X(CORES, 8, "keep to its cores")
#define PROC_STAGE_HOOK 16 /* the hook's own stages start here */

#define PROC_STAGE_ENUM(stage, number, text) PROC_STAGE_##stage = (number),
enum proc_stage { PROC_STAGES(PROC_STAGE_ENUM) };

struct proc_failure { /* what the child says on the report pipe */
    int32_t stage;    /* enum proc_stage, or from PROC_STAGE_HOOK on the hook's */
    int32_t os_errno;
    int32_t object; /* the hook's: which of several; -1 none */
};

/** Last before the signals are reset and exec; false with `why` filled gives up. Runs in the child:
 *  async-signal-safe calls only. The report pipe is descriptor `keep_fd`: leave it open. */
typedef bool proc_hook_fn(const void *arg, int keep_fd, struct proc_failure *why);

struct proc_map {
    int from, to; /* `from` is borrowed */
};

struct proc_spec {
    const char *const *argv, *const *envp; /* argv[0] absolute; nothing from our environment */
    const struct proc_map *fds;            /* all others are closed; may overlap in any way */
    size_t fd_count;                       /* at most PROC_FDS_MAX */
    int cgroup_fd;                         /* borrowed; the child is born there; -1: our own */
    bool enters_late;                      /* it enters cgroup_fd itself instead, before exec */
    int death_signal;                      /* when our thread dies; 0 none */
    bool new_session;
    proc_hook_fn *in_child; /* NULL none */
    const void *in_child_arg;
};

struct proc { /* owns */
    pid_t pid;
    struct fd pidfd;
    struct fd report; /* readable when the child has executed or failed; not blocking */
    bool is_born;     /* it has run an instruction of ours */
};
#define PROC_NONE ((struct proc){ .pidfd = FD_NONE, .report = FD_NONE })

enum proc_progress { PROC_PENDING, PROC_EXECUTED, PROC_FAILED };

/** Starts a child, which is ours and must be reaped. Returns at once when the spec has a hook or a
 *  cgroup; else when the child has executed or failed, which proc_progress then tells. Errors:
 * INVALID too many descriptors; SYSTEM. */
MUST_USE bool proc_spawn(const struct proc_spec *spec, struct proc *out, struct err *err);

/** How far the child is; never blocks. On PROC_FAILED `why` is filled, and the child has exited or
 *  is about to. Stage BIRTH: it was killed before its first instruction. Linux 6.18 does that to a
 *  child that is born into a cgroup of which cgroup.kill was used and ours not, or the other way
 *  round: try again with `enters_late`. */
enum proc_progress proc_progress(struct proc *proc, struct proc_failure *why);

/** Waits until the child has executed. On failure the child is reaped, `proc` is empty. Errors:
 *  NOT_FOUND, DENIED the program is absent or may not be executed; SYSTEM any other stage. */
MUST_USE bool proc_wait_start(struct proc *proc, struct err *err);

/** Sends `signo` to this very process, even if its pid is in use again. Errors: NOT_FOUND it is
 *  gone; SYSTEM. */
MUST_USE bool proc_signal(const struct proc *proc, int signo, struct err *err);

/** Closes the descriptors; the process is not touched. Zeroed-but-for-FD_NONE is fine. */
void proc_fini(struct proc *proc);

/** What was being done at `stage`; "prepare" for the hook's own. Static. */
const char *proc_stage_text(int stage);

/** In a child of any making: default dispositions for all signals, 32 and 33 included (libc hides
 *  them, and a parent may have left them ignored), and an empty mask. Async-signal-safe. Returns 0
 *  or an errno. */
int proc_reset_signals(void);

/** Every descriptor from `lowest` on is closed at exec. Async-signal-safe. Returns 0 or an errno.
 */
int proc_cloexec_from(int lowest);
