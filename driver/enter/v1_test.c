#include "driver/enter/v1.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool place(const char *line, struct v1_place *out)
{
    return v1_place_parse(view_str(line), out);
}

Test(v1, a_place_is_of_version_1_only)
{
    struct v1_place p;
    cr_assert(place("4:cpu,cpuacct:/a/b c", &p));
    cr_expect_str_eq(p.controllers, "cpu,cpuacct");
    cr_expect_str_eq(p.path, "/a/b c");
    cr_assert(place("1:name=systemd:/", &p));
    static const char *const others[] = { "0::/a", "", "4", "4:cpu", "4:cpu:", "4:cpu:a" };
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        cr_expect_not(place(others[i], &p), "%s", others[i]);
}

#define LINE(options) \
    "36 35 0:30 /docker/x /sys/fs/cgroup/cpu rw,nosuid shared:11 - cgroup cgroup " options

static bool mount(const char *line, const char *controllers)
{
    struct v1_mount m;
    return v1_mount_parse(view_str(line), controllers, &m);
}

Test(v1, a_mount_is_found_by_all_of_its_controllers)
{
    struct v1_mount m;
    cr_assert(v1_mount_parse(view_str(LINE("rw,cpu,cpuacct")), "cpu,cpuacct", &m));
    cr_expect_str_eq(m.point, "/sys/fs/cgroup/cpu");
    cr_expect_str_eq(m.root, "/docker/x");
    cr_expect(mount(LINE("rw,cpuacct,cpu"), "cpu,cpuacct"));
    cr_expect(mount(LINE("rw,xattr,name=systemd"), "name=systemd"));
    cr_expect_not(mount(LINE("rw,cpu"), "cpu,cpuacct"));
    cr_expect_not(mount(LINE("rw,cpuset"), "cpu"));
    cr_expect_not(mount("36 35 0:30 / /c rw - cgroup2 cgroup rw,cpu", "cpu"));
    cr_expect_not(mount("36 35 0:30 / /c rw shared:1", "cpu"));
    cr_expect_not(mount("", "cpu"));
}

/* On a host with the pids hierarchy of version 1: a process there has it joined by its child. */
Test(v1, a_child_joins_what_is_not_ours)
{
    struct err err = { 0 };
    char dir[96], file[128], text[512] = "";
    (void)snprintf(dir, sizeof(dir), "/sys/fs/cgroup/pids/v1-test-%d", (int)getpid());
    if (mkdir(dir, 0755) != 0)
        cr_skip_test("no pids hierarchy of version 1 here");
    pid_t agent = fork();
    if (agent == 0)
        for (;;)
            (void)pause();
    (void)snprintf(file, sizeof(file), "%s/cgroup.procs", dir);
    FILE *procs = fopen(file, "we");
    cr_assert_not_null(procs);
    (void)fprintf(procs, "%d", (int)agent);
    cr_assert_eq(fclose(procs), 0);
    struct v1_cgroups found = { 0 };
    cr_assert(v1_open(agent, &found, &err), "%s", err.msg);
    cr_expect_eq(found.count, 1, "%zu", found.count);
    pid_t child = fork();
    if (child == 0) {
        int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
        if (v1_join(&found) != 0 || read(fd, text, sizeof(text) - 1) <= 0)
            _exit(1);
        _exit(strstr(text, dir + strlen("/sys/fs/cgroup/pids")) == NULL ? 2 : 0);
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0, "%x", (unsigned)status);
    v1_fini(&found);
    cr_assert(v1_open(getpid(), &found, &err), "%s", err.msg);
    cr_expect_eq(found.count, 0);
    (void)kill(agent, SIGKILL);
    (void)waitpid(agent, NULL, 0);
    cr_assert_not(v1_open(agent, &found, &err));
    cr_expect_eq(err.kind, ERR_NOT_FOUND);
    cr_expect_eq(rmdir(dir), 0);
}
