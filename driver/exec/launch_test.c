#include "driver/exec/launch.h"

#include "driver/enter/house_test.h"

Test(launch, a_helper_that_cannot_be_started_leaves_no_descriptor)
{
    struct err err = { 0 };
    struct exec_launch_out out;
    static const enum exec_mode modes[] = { EXEC_PIPES, EXEC_TTY, EXEC_ONE_PIPE };
    int before = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < COUNT(modes); i++) {
        const struct exec_launch_in in = { before, "/no/such/agent-shim", modes[i], geteuid() };
        cr_assert_not(exec_launch(&in, &out, &err));
        cr_expect_eq(err.kind, ERR_NOT_FOUND, "%s", err.msg);
        cr_expect_not_null(strstr(err.msg, "/no/such/agent-shim"));
    }
    int after = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_expect_eq(after, before + 1);
    (void)close(before);
    (void)close(after);
}

Test(launch, the_helper_has_its_eight_descriptors_and_no_environment)
{
    struct err err = { 0 };
    struct exec_launch_out out;
    char dir[] = "/tmp/exec-launch-XXXXXX", script[64], text[256] = "";
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(script, sizeof(script), "%s/helper", dir);
    FILE *file = fopen(script, "we");
    cr_assert_not_null(file);
    /* 255 is the shell's own; 9 is ls's directory */
    (void)fputs("#!/bin/bash\n/bin/ls /proc/self/fd | /usr/bin/tr '\\n' ' ' >&6; "
                "/usr/bin/tr '\\0' ' ' </proc/$$/environ >&7; /bin/cat <&5 >&7\n",
                file);
    cr_assert_eq(fclose(file), 0);
    cr_assert_eq(chmod(script, 0755), 0);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    const struct exec_launch_in in = { null, script, EXEC_PIPES, geteuid() };
    cr_assert(exec_launch(&in, &out, &err), "%s", err.msg);
    (void)close(null);
    cr_assert_eq(write(out.in.raw, "input", 5), 5);
    fd_closep(&out.in);
    cr_assert_eq(waitpid(out.helper.pid, NULL, 0), out.helper.pid);
    ssize_t len = read(out.out.raw, text, sizeof(text) - 1);
    cr_expect_str_eq(text, "0 1 2 3 4 5 6 7 8 ", "got %zd bytes: %s", len, text);
    memset(text, 0, sizeof(text));
    len = read(out.err.raw, text, sizeof(text) - 1);
    cr_expect_str_eq(text, "input", "got %zd bytes: %s", len, text);
    proc_fini(&out.helper);
    fd_closep(&out.control);
    fd_closep(&out.out);
    fd_closep(&out.err);
    (void)unlink(script);
    (void)rmdir(dir);
}

Test(launch, what_dead_helpers_left_is_swept)
{
    struct err err = { 0 };
    struct house house;
    struct cgroup exec = CGROUP_NONE, kept = CGROUP_NONE;
    char path[CGROUP_PATH_MAX + 32], other[CGROUP_PATH_MAX + 32];
    house_init(&house, CLONE_NEWUTS, true);
    (void)snprintf(path, sizeof(path), "%s/exec-0011223344556677", house.cgroup.path);
    (void)snprintf(other, sizeof(other), "%s/the-agents-own", house.cgroup.path);
    cr_assert(cgroup_open(path, true, &exec, &err) && cgroup_open(other, true, &kept, &err));
    pid_t stray = fork();
    if (stray == 0)
        for (;;)
            (void)pause();
    cr_assert(place(&exec, stray));
    cgroup_fini(&exec);
    cr_expect_eq(exec_sweep(house.cgroup.path), 0);
    int status = 0;
    cr_assert_eq(waitpid(stray, &status, 0), stray);
    cr_expect_eq(WTERMSIG(status), SIGKILL);
    cr_expect_neq(access(path, F_OK), 0);
    cr_expect_eq(access(other, F_OK), 0, "what is not an exec's stays");
    cr_expect_eq(kill(house.pid, 0), 0);
    cgroup_fini(&kept);
    cr_expect_eq(exec_sweep(""), 0);
    cr_expect_eq(exec_sweep("/no/such/cgroup"), 0);
    cr_expect(exec_clear(path, &err), "absent is fine");
    house_fini(&house);
}
