/* house_test.h - for this room's tests: an agent in surroundings of its own.
 *
 * What is not under test fails the test at once. */
#pragma once
#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/own.h"
#include "common/cgroup/cgroup.h"
#include "common/cgroup/place_test.h"
#include "common/proc/identity.h"

#define HOUSE_NAME "the-agents-house"
#define WAIT_MS    15000

struct house { /* an agent */
    pid_t pid;
    struct proc_identity who;
    struct cgroup cgroup; /* CGROUP_NONE without */
};

/* `namespaces` CLONE_NEW*; with a mount namespace it has a /proc and /tmp/inside of its own. */
static inline _Noreturn void house_live(int ready, uint64_t namespaces)
{
    bool ok = prctl(PR_SET_PDEATHSIG, SIGKILL) == 0;
    if (namespaces & CLONE_NEWNS)
        ok = ok && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
             mount("none", "/tmp", "tmpfs", 0, "mode=1777") == 0 &&
             mkdir("/tmp/inside", 0755) == 0 && chmod("/tmp/inside", 0777) == 0;
    if ((namespaces & CLONE_NEWNS) && (namespaces & CLONE_NEWPID))
        ok = ok && mount("proc", "/proc", "proc", 0, NULL) == 0;
    if (namespaces & CLONE_NEWUTS)
        ok = ok && sethostname(HOUSE_NAME, strlen(HOUSE_NAME)) == 0;
    (void)signal(SIGCHLD, SIG_IGN);
    ok = ok && write(ready, "", 1) == 1;
    while (ok)
        (void)pause();
    _exit(1);
}

static inline void house_init(struct house *house, uint64_t namespaces, bool has_cgroup)
{
    struct err err = { 0 };
    char dir[CGROUP_PATH_MAX], path[CGROUP_PATH_MAX + 64];
    int ready[2];
    if (geteuid() != 0)
        cr_skip_test("needs root to make namespaces");
    *house = (struct house){ .cgroup = CGROUP_NONE };
    cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
    if (has_cgroup) {
        if (!cgroup_own(dir, &err))
            cr_skip_test("no cgroup v2 here: %s", err.msg);
        (void)snprintf(path, sizeof(path), "%s/enter-test-%d", dir, (int)getpid());
        if (!cgroup_open(path, true, &house->cgroup, &err))
            cr_skip_test("no cgroup of our own: %s", err.msg);
    }
    struct clone_args args = { .flags = namespaces, .exit_signal = SIGCHLD };
    house->pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    cr_assert_geq(house->pid, 0, "clone: %s", strerror(errno));
    if (house->pid == 0)
        house_live(ready[1], namespaces);
    char byte;
    (void)close(ready[1]);
    cr_assert_eq(read(ready[0], &byte, 1), 1, "the agent could not make its surroundings");
    (void)close(ready[0]);
    cr_assert(proc_identify(house->pid, &house->who, &err), "%s", err.msg);
    if (has_cgroup)
        cr_assert(place(&house->cgroup, house->pid));
}

/* What a shim does, and in its order: the tree is killed only after the agent's end. */
static inline void house_kill(struct house *house)
{
    struct err err = { 0 };
    if (house->pid == 0)
        return;
    (void)kill(house->pid, SIGKILL);
    cr_assert_eq(waitpid(house->pid, NULL, 0), house->pid);
    house->pid = 0;
    if (cgroup_is_open(&house->cgroup))
        cr_assert(cgroup_kill_wait(&house->cgroup, WAIT_MS, &err), "%s", err.msg);
}

static inline void house_fini(struct house *house)
{
    struct err err = { 0 };
    char path[CGROUP_PATH_MAX];
    house_kill(house);
    if (!cgroup_is_open(&house->cgroup))
        return;
    memcpy(path, house->cgroup.path, sizeof(path));
    cgroup_fini(&house->cgroup);
    cr_assert(cgroup_remove(path, &err), "%s", err.msg);
}
