#include "common/proc/spawn.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common/base/own.h"

static const char *const empty[] = { NULL };

/* What `script` writes to its standard output, run by /bin/sh with `fds`. */
static void output_of(const char *script, const struct proc_map *fds, size_t count, char *out,
                      size_t size)
{
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd file = { memfd_create("out", MFD_CLOEXEC) };
    struct proc_map map[PROC_FDS_MAX] = { { file.raw, 1 } };
    for (size_t i = 0; i < count; i++)
        map[i + 1] = fds[i];
    const char *const argv[] = { "/bin/sh", "-c", script, NULL };
    struct proc_spec spec = {
        .argv = argv, .envp = empty, .fds = map, .fd_count = count + 1, .cgroup_fd = -1
    };
    struct proc proc;
    cr_assert(proc_spawn(&spec, &proc, &err), "%s", err.msg);
    cr_assert(proc_wait_start(&proc, &err), "%s", err.msg);
    cr_assert_eq(waitpid(proc.pid, NULL, 0), proc.pid);
    proc_fini(&proc);
    cr_assert_eq(lseek(file.raw, 0, SEEK_SET), 0);
    size_t len = 0;
    cr_assert(fd_read_full(file.raw, out, size - 1, &len, &err));
    out[len] = '\0';
}

Test(spawn, only_the_mapped_descriptors_are_there)
{
    char out[256];
    int leaky = open("/dev/null", O_RDONLY); /* without close-on-exec */
    cr_assert_geq(leaky, 0);
    const struct proc_map map[] = { { leaky, 7 } };
    output_of("cd /proc/self/fd && echo *", map, 1, out, sizeof(out));
    cr_assert_str_eq(out, "0 1 7\n"); /* 0 is the directory that sh is reading */
}

Test(spawn, a_map_may_swap_descriptors)
{
    char out[64];
    CLEANUP(fd_closep) struct fd a = { memfd_create("a", MFD_CLOEXEC) };
    CLEANUP(fd_closep) struct fd b = { memfd_create("b", MFD_CLOEXEC) };
    cr_assert_eq(write(a.raw, "A\n", 2), 2);
    cr_assert_eq(write(b.raw, "B\n", 2), 2);
    cr_assert_eq(lseek(a.raw, 0, SEEK_SET) + lseek(b.raw, 0, SEEK_SET), 0);
    cr_assert_eq(dup2(a.raw, 8), 8);
    cr_assert_eq(dup2(b.raw, 9), 9);
    const struct proc_map map[] = { { 8, 9 }, { 9, 8 } };
    output_of("read x <&8; read y <&9; echo $x$y", map, 2, out, sizeof(out));
    cr_assert_str_eq(out, "BA\n");
}

Test(spawn, signals_are_default_and_unblocked_32_and_33_included)
{
    static const uint64_t ignore[4] = { 1 };
    char out[512];
    for (int signo = 32; signo <= 33; signo++)
        cr_assert_eq(syscall(SYS_rt_sigaction, signo, ignore, NULL, 8), 0);
    (void)signal(SIGPIPE, SIG_IGN);
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    output_of("while read k v; do case $k in Sig[IB]*) echo $k $v;; esac; done </proc/self/status",
              NULL, 0, out, sizeof(out));
    cr_assert_str_eq(out, "SigBlk: 0000000000000000\nSigIgn: 0000000000000000\n");
}

static bool fail_in_child(const void *arg, int keep_fd, struct proc_failure *why)
{
    (void)keep_fd;
    *why = *(const struct proc_failure *)arg;
    return false;
}

Test(spawn, a_failing_hook_comes_back_with_its_stage)
{
    struct err err = { 0 };
    const char *const argv[] = { "/bin/true", NULL };
    const struct proc_failure planned = { PROC_STAGE_HOOK + 3, EXDEV, -1 };
    struct proc_spec spec = { .argv = argv,
                              .envp = empty,
                              .cgroup_fd = -1,
                              .in_child = fail_in_child,
                              .in_child_arg = &planned };
    struct proc proc;
    cr_assert(proc_spawn(&spec, &proc, &err));
    cr_assert_not(proc_wait_start(&proc, &err));
    cr_expect_eq(err.kind, ERR_SYSTEM);
    cr_expect_eq(err.os_errno, EXDEV);
    cr_expect_eq(waitpid(-1, NULL, WNOHANG), -1); /* reaped */
}

Test(spawn, a_missing_or_forbidden_program_says_so)
{
    static const struct {
        const char *path;
        enum err_kind kind;
    } rows[] = { { "/does/not/exist", ERR_NOT_FOUND },
                 { "/etc/passwd/x", ERR_NOT_FOUND },
                 { "/etc/passwd", ERR_DENIED } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = { 0 };
        const char *const argv[] = { rows[i].path, NULL };
        struct proc_spec spec = { .argv = argv, .envp = empty, .cgroup_fd = -1 };
        struct proc proc;
        cr_assert(proc_spawn(&spec, &proc, &err));
        cr_expect_not(proc_wait_start(&proc, &err));
        cr_expect_eq(err.kind, rows[i].kind, "row %zu: %s", i, err.msg);
    }
}

Test(spawn, a_descriptor_that_is_not_open_fails_at_its_stage)
{
    struct err err = { 0 };
    const char *const argv[] = { "/bin/true", NULL };
    const struct proc_map map[] = { { 900, 1 } };
    struct proc_spec spec = {
        .argv = argv, .envp = empty, .fds = map, .fd_count = 1, .cgroup_fd = -1
    };
    struct proc proc;
    cr_assert(proc_spawn(&spec, &proc, &err));
    struct pollfd wait = { .fd = proc.report.raw, .events = POLLIN };
    struct proc_failure why;
    enum proc_progress progress;
    do
        cr_assert_eq(poll(&wait, 1, 5000), 1);
    while ((progress = proc_progress(&proc, &why)) == PROC_PENDING);
    cr_assert_eq(progress, PROC_FAILED);
    cr_expect_eq(why.stage, PROC_STAGE_DESCRIPTORS);
    cr_expect_eq(why.os_errno, EBADF);
    cr_assert_eq(waitpid(proc.pid, NULL, 0), proc.pid);
    proc_fini(&proc);
}

Test(spawn, more_descriptors_than_fit_are_invalid)
{
    struct err err = { 0 };
    const char *const argv[] = { "/bin/true", NULL };
    struct proc_spec spec = {
        .argv = argv, .envp = empty, .fd_count = PROC_FDS_MAX + 1, .cgroup_fd = -1
    };
    struct proc proc;
    cr_assert_not(proc_spawn(&spec, &proc, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(spawn, a_bad_cgroup_is_an_error_of_the_parent)
{
    struct err err = { 0 };
    const char *const argv[] = { "/bin/true", NULL };
    CLEANUP(fd_closep) struct fd dir = { open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    struct proc_spec spec = { .argv = argv, .envp = empty, .cgroup_fd = dir.raw };
    struct proc proc;
    cr_assert_not(proc_spawn(&spec, &proc, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
}

Test(spawn, the_death_signal_follows_the_parent)
{
    CLEANUP(fd_closep) struct fd read_end = FD_NONE;
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    read_end.raw = ends[0];
    pid_t parent = fork();
    if (parent == 0) {
        struct err err = { 0 };
        const char *const argv[] = { "/bin/sleep", "60", NULL };
        const struct proc_map map[] = { { ends[1], 5 } };
        struct proc_spec spec = { .argv = argv,
                                  .envp = empty,
                                  .fds = map,
                                  .fd_count = 1,
                                  .cgroup_fd = -1,
                                  .death_signal = SIGKILL };
        struct proc proc;
        _exit(proc_spawn(&spec, &proc, &err) && proc_wait_start(&proc, &err) ? 0 : 1);
    }
    (void)close(ends[1]);
    int status = -1;
    cr_assert_eq(waitpid(parent, &status, 0), parent);
    cr_assert_eq(status, 0);
    struct pollfd wait = { .fd = read_end.raw, .events = POLLIN };
    cr_assert_eq(poll(&wait, 1, 5000), 1); /* the sleeper's end closed: it is dead */
    cr_assert(wait.revents & POLLHUP);
}

Test(spawn, signals_reach_the_very_process)
{
    struct err err = { 0 };
    const char *const argv[] = { "/bin/sleep", "60", NULL };
    struct proc_spec spec = { .argv = argv, .envp = empty, .cgroup_fd = -1, .new_session = true };
    struct proc proc;
    cr_assert(proc_spawn(&spec, &proc, &err) && proc_wait_start(&proc, &err), "%s", err.msg);
    cr_assert_eq(getsid(proc.pid), proc.pid);
    cr_assert(proc_signal(&proc, SIGTERM, &err));
    int status = 0;
    cr_assert_eq(waitpid(proc.pid, &status, 0), proc.pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    cr_assert_not(proc_signal(&proc, SIGTERM, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    proc_fini(&proc);
}

Test(spawn, stages_have_texts)
{
    cr_expect_str_eq(proc_stage_text(PROC_STAGE_EXEC), "execute");
    cr_expect_str_eq(proc_stage_text(PROC_STAGE_HOOK + 1), "prepare");
    cr_expect_str_eq(proc_stage_text(-1), "prepare");
}
