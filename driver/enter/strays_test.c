#include "driver/enter/strays.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static bool parse(const char *line, struct stray *out) { return stray_parse(view_str(line), out); }

Test(strays, a_line_is_read_whatever_the_name_is)
{
    struct stray who;
    cr_assert(parse("71 (sh) S 1 71 70 34816 99 4194304 1 2\n", &who));
    cr_expect_eq(who.state, 'S');
    cr_expect_eq(who.parent, 1);
    cr_expect_eq(who.session, 70);
    cr_assert(parse("71 (a) R 5 (b) Z 3 4 6 -1 0", &who));
    cr_expect_eq(who.state, 'Z');
    cr_expect_eq(who.parent, 3);
    cr_expect_eq(who.session, 6);
    cr_assert(parse("71 (kthread) S 2 0 0 0 -1", &who));
    cr_expect_eq(who.session, 0);
}

Test(strays, what_is_no_line_is_refused)
{
    struct stray who;
    static const char *const lines[] = {
        "",           "71",          "71 (sh",      "71 (sh)",       "71 (sh) S",
        "71 (sh) S ", "71 (sh) S x", "71 (sh) S 1", "71 (sh) S 1 2", "71 (sh) S 1 2 "
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        cr_expect_not(parse(lines[i], &who), "\"%s\"", lines[i]);
}

Test(strays, kills_our_children_and_the_session_and_nobody_else)
{
    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t leader = fork();
    if (leader == 0) { /* a session with a grandchild; then the leader dies, not reaped */
        (void)setsid();
        if (fork() == 0) {
            ssize_t got = write(ready[1], "", 1);
            while (got == 1)
                (void)pause();
        }
        _exit(0);
    }
    char byte;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    siginfo_t info = { 0 };
    cr_assert_eq(waitid(P_PID, (id_t)leader, &info, WEXITED | WNOWAIT), 0);
    cr_expect_eq(strays_kill(leader), 1);
    while (strays_kill(leader) > 0)
        (void)usleep(1000);
    int status;
    cr_assert_eq(waitpid(leader, &status, 0), leader);
    cr_assert_gt(waitpid(-1, &status, 0), 0); /* ours by inheritance */
    cr_expect_eq(WTERMSIG(status), SIGKILL);
}
