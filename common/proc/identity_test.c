#include "common/proc/identity.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/base/own.h"

static pid_t sleeper(void)
{
    pid_t pid = fork();
    if (pid == 0)
        for (;;)
            (void)pause();
    return pid;
}

static void end(pid_t pid)
{
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, NULL, 0);
}

Test(identity, fields_are_counted_behind_the_name)
{
    static const char line[] = "7 (a) 9 (b) S 1 2 -3 4";
    int64_t got = 0;
    cr_expect(proc_stat_field(line, 4, &got) && got == 1);
    cr_expect(proc_stat_field(line, 6, &got) && got == -3);
    cr_expect(proc_stat_field(line, 7, &got) && got == 4);
    cr_expect_not(proc_stat_field(line, 8, &got));
    cr_expect_not(proc_stat_field(line, 3, &got), "the state is no number");
    cr_expect_not(proc_stat_field("7 (torn", 4, &got));
}

Test(identity, opens_the_process_it_names)
{
    struct err err = { 0 };
    pid_t pid = sleeper();
    struct proc_identity who;
    CLEANUP(fd_closep) struct fd pidfd = FD_NONE;
    cr_assert(proc_identify(pid, &who, &err), "%s", err.msg);
    cr_assert_gt(who.start_ticks, 0);
    cr_assert(proc_open(&who, &pidfd, &err), "%s", err.msg);
    end(pid);
    struct pollfd wait = { .fd = pidfd.raw, .events = POLLIN };
    cr_assert_eq(poll(&wait, 1, 5000), 1);
}

Test(identity, any_mismatch_is_not_found_and_nobody_is_touched)
{
    pid_t pid = sleeper();
    struct err err = { 0 };
    struct proc_identity right;
    cr_assert(proc_identify(pid, &right, &err));
    for (int row = 0; row < 3; row++) {
        struct proc_identity who = right;
        who.start_ticks += row == 0;
        who.boot_id[0] = row == 1 ? 'x' : who.boot_id[0];
        who.pid = row == 2 ? 0 : who.pid;
        struct fd pidfd = FD_NONE;
        err = (struct err){ 0 };
        cr_expect_not(proc_open(&who, &pidfd, &err), "row %d", row);
        cr_expect_eq(err.kind, ERR_NOT_FOUND, "row %d", row);
        cr_expect_not(fd_is_open(pidfd));
    }
    cr_assert_eq(kill(pid, 0), 0);
    end(pid);
}

Test(identity, of_a_process_that_is_gone_is_not_found)
{
    pid_t pid = sleeper();
    struct err err = { 0 };
    struct proc_identity who;
    cr_assert(proc_identify(pid, &who, &err));
    end(pid);
    struct fd pidfd = FD_NONE;
    cr_assert_not(proc_open(&who, &pidfd, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    err = (struct err){ 0 };
    cr_assert_not(proc_identify(pid, &who, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
}

Test(identity, a_zombie_is_still_that_process)
{
    struct err err = { 0 };
    pid_t pid = sleeper();
    struct proc_identity who, again;
    cr_assert(proc_identify(pid, &who, &err));
    (void)kill(pid, SIGKILL);
    siginfo_t info;
    cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    cr_assert(proc_identify(pid, &again, &err), "%s", err.msg);
    cr_assert_eq(who.start_ticks, again.start_ticks);
    end(pid);
}

Test(identity, a_name_full_of_parentheses_does_not_confuse)
{
    struct err err = { 0 };
    uint64_t before = 0, after = 0;
    cr_assert(proc_start_ticks(getpid(), &before, &err));
    cr_assert_eq(prctl(PR_SET_NAME, ") R 1 2 (x"), 0);
    cr_assert(proc_start_ticks(getpid(), &after, &err));
    cr_assert_eq(before, after);
}
