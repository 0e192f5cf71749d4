#include "driver/enter/child.h"

#include "driver/enter/guest_test.h"

static const char *const shell[] = { "/no/such/sh", "/bin/sh", NULL };
static const char *const none[] = { NULL };

Test(child, the_first_program_that_exists_is_executed_and_named)
{
    struct house house;
    static struct enter_child child;
    struct err err = { 0 };
    static const char *const script[] = { "-c", "test \"$0\" = /bin/sh && exit 7", NULL };
    house_init(&house, CLONE_NEWUTS, false);
    struct guest_spec want = { .script = "" };
    struct exec_spec spec = guest_fill(&house, &want, shell, script);
    pid_t helper = fork(); /* with descriptors of its own */
    if (helper == 0) {
        struct proc proc;
        int status = -1, null = -1;
        while (null < EXEC_FD_STDERR) /* what is opened later stands above those of an exec */
            null = open("/dev/null", O_RDWR | O_CLOEXEC);
        bool ok = enter_child_open(&child, &spec, &err);
        for (int fd = EXEC_FD_STDIN; fd <= EXEC_FD_STDERR; fd++)
            ok = ok && (fd == null || dup2(null, fd) == fd);
        ok = ok && enter_child_spawn(&child, -1, false, &proc, &err) &&
             proc_wait_start(&proc, &err) && waitpid(proc.pid, &status, 0) == proc.pid;
        _exit(ok ? WEXITSTATUS(status) : 99);
    }
    int status = -1;
    cr_assert_eq(waitpid(helper, &status, 0), helper);
    cr_expect_eq(WEXITSTATUS(status), 7);
    house_fini(&house);
}

Test(child, every_failure_has_its_kind_and_its_words)
{
    struct house house;
    static struct enter_child child;
    struct err err = { 0 };
    house_init(&house, CLONE_NEWUTS, false);
    struct guest_spec want = { .script = "" };
    struct exec_spec spec = guest_fill(&house, &want, shell, none);
    cr_assert(enter_child_open(&child, &spec, &err), "%s", err.msg);
    static const struct {
        struct proc_failure why;
        enum err_kind kind;
        const char *text;
    } rows[] = {
        { { ENTER_STAGE_PROGRAM, ENOENT, -1 }, ERR_NOT_FOUND, "neither in the task's directories" },
        { { PROC_STAGE_EXEC, EACCES, -1 }, ERR_DENIED, "permission denied" },
        { { PROC_STAGE_EXEC, ENOEXEC, -1 }, ERR_SYSTEM, "execute it: Exec format error" },
        { { ENTER_STAGE_AGENT, ESRCH, -1 }, ERR_NOT_FOUND, "it has ended" },
        { { ISOLATION_STAGE_ENTER, ESRCH, -1 }, ERR_NOT_FOUND, "it has ended" },
        { { ISOLATION_STAGE_ENTER, EPERM, -1 }, ERR_SYSTEM, "enter the task's namespaces" },
        { { ISOLATION_STAGE_USER, EPERM, -1 }, ERR_SYSTEM, "set user" },
        { { ENTER_STAGE_TERMINAL, EPERM, -1 }, ERR_SYSTEM, "get the terminal" },
        { { ENTER_STAGE_LIMITS, ENODEV, -1 }, ERR_SYSTEM, "join the task's limits" },
        { { PROC_STAGE_CGROUP, EBUSY, -1 }, ERR_SYSTEM, "enter the cgroup" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        cr_expect_not(enter_child_error(&child, &rows[i].why, &err));
        cr_expect_eq(err.kind, rows[i].kind, "row %zu: %s", i, err.msg);
        cr_expect_not_null(strstr(err.msg, rows[i].text), "row %zu: %s", i, err.msg);
    }
    house_kill(&house);
    cr_expect_not(enter_child_error(&child, &rows[6].why, &err));
    cr_expect_eq(err.kind, ERR_NOT_FOUND, "a dead agent explains everything");
    enter_child_fini(&child);
    house_fini(&house);
}

Test(child, a_plan_that_is_not_one_is_refused)
{
    struct house house;
    static struct enter_child child;
    struct err err = { 0 };
    house_init(&house, CLONE_NEWUTS, false);
    struct guest_spec want = { .script = "" };
    struct exec_spec spec = guest_fill(&house, &want, shell, none);
    spec.isolation = view_of("?", 1);
    cr_assert_not(enter_child_open(&child, &spec, &err));
    cr_expect_eq(err.kind, ERR_CORRUPT);
    enter_child_fini(&child);
    house_fini(&house);
}
