#include "driver/dev/guard.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/cgroup/cgroup.h"
#include "common/cgroup/layout.h"
#include "common/proc/spawn.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* A sleeper, in a cgroup and with a file open, as asked. */
static struct proc sleeper(int cgroup_fd, int held_fd)
{
    const char *const argv[] = { "/bin/sleep", "1000", NULL }, *const envp[] = { NULL };
    const struct proc_map fds[] = { { held_fd, 9 } };
    const struct proc_spec spec = { .argv = argv,
                                    .envp = envp,
                                    .fds = fds,
                                    .fd_count = held_fd >= 0,
                                    .cgroup_fd = cgroup_fd,
                                    .death_signal = SIGKILL };
    struct proc proc = PROC_NONE;
    struct err err = { 0 };
    cr_assert(proc_spawn(&spec, &proc, &err), "%s", err.msg);
    cr_assert(proc_wait_start(&proc, &err), "%s", err.msg);
    return proc;
}

static void was_killed(struct proc *proc)
{
    siginfo_t info = { 0 };
    cr_assert_eq(waitid(P_PIDFD, (id_t)proc->pidfd.raw, &info, WEXITED), 0);
    cr_assert_eq(info.si_status, SIGKILL);
    proc_fini(proc);
}

static struct cgroup tree(const char *name, char **out_path)
{
    char own[CGROUP_PATH_MAX];
    struct cgroup cg = CGROUP_NONE;
    struct err err = { 0 };
    if (!cgroup_own(own, &err))
        cr_skip_test("%s", err.msg);
    *out_path = str_format("%s/%s", strcmp(own, "/") == 0 ? "" : own, name);
    CLEANUP(str_freep) char *node = str_format("%s/node-1", *out_path);
    if (!cgroup_open(node, true, &cg, &err))
        cr_skip_test("%s", err.msg);
    return cg;
}

Test(guard, the_tree_is_killed_and_removed)
{
    CLEANUP(str_freep) char *path = NULL;
    struct cgroup cg = tree("agent-dev-test-clean", &path);
    struct proc proc = sleeper(cg.dir.raw, -1);
    struct err err = { 0 };
    cgroup_fini(&cg);
    cr_assert(guard_clean(&(struct guard_plan){ path, "", "", "" }, NULL, &err), "%s", err.msg);
    was_killed(&proc);
    cr_assert_neq(access(path, F_OK), 0);
    cr_assert(guard_clean(&(struct guard_plan){ path, "", "", "" }, NULL, &err), "a second time");
}

Test(guard, without_a_tree_processes_are_found_by_their_files)
{
    char dir[] = "/tmp/guard.XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    CLEANUP(str_freep) char *path = str_format("%s/lock", dir);
    CLEANUP(fd_closep) struct fd held = { open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) };
    struct proc mine = sleeper(-1, held.raw), other = sleeper(-1, -1);
    struct err err = { 0 };
    size_t killed = 0;
    cr_assert(guard_clean(&(struct guard_plan){ "", dir, "", "" }, &killed, &err), "%s", err.msg);
    cr_assert_geq(killed, 1);
    was_killed(&mine);
    cr_assert(proc_signal(&other, SIGKILL, &err), "an innocent process was killed");
    was_killed(&other);
    cr_assert(dir_remove_tree(dir, &err));
}

Test(guard, a_dead_agent_devs_tree_and_run_directory_are_swept)
{
    CLEANUP(str_freep) char *path = NULL;
    struct cgroup cg = tree("agent-dev-4194303", &path);
    struct proc proc = sleeper(cg.dir.raw, -1);
    struct err err = { 0 };
    cgroup_fini(&cg);
    char base[] = "/tmp/guard-run.XXXXXX";
    cr_assert_not_null(mkdtemp(base));
    CLEANUP(str_freep) char *dead = str_format("%s/agent-dev-4194303", base);
    CLEANUP(str_freep) char *mine = str_format("%s/agent-dev-%d", base, getpid());
    cr_assert(dir_make(dead, 0700, &err) && dir_make(mine, 0700, &err));
    CLEANUP(str_freep) char *parent = str_copy_n(path, (size_t)(strrchr(path, '/') - path));
    cr_assert_geq(guard_sweep(parent, mine), 1);
    was_killed(&proc);
    cr_assert_neq(access(path, F_OK), 0);
    cr_assert_neq(access(dead, F_OK), 0);
    cr_assert_eq(access(mine, F_OK), 0);
    cr_assert(dir_remove_tree(base, &err));
}

/* The guard's program, told by `byte` or by the end of the pipe. */
static int guard_with(const char *byte, const char *run_dir)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    cr_assert_eq(write(ends[1], byte, strlen(byte)), (ssize_t)strlen(byte));
    close(ends[0]);
    close(ends[1]);
    return guard_main((const char *const[]){ "", "", run_dir, "", NULL });
}

Test(guard, it_removes_the_run_directory_when_the_line_breaks_and_nothing_when_told)
{
    char dir[] = "/tmp/guard-end.XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(guard_with("q", dir), 0);
    cr_assert_eq(access(dir, F_OK), 0);
    cr_assert_eq(guard_with("", dir), 0);
    cr_assert_neq(access(dir, F_OK), 0);
}

Test(guard, limits_of_a_killed_node_are_removed)
{
    char data[] = "/tmp/guard-limits.XXXXXX";
    struct cgroup_layout layout;
    struct err err = { 0 };
    cgroup_layout_read("", &layout);
    cr_assert_not_null(mkdtemp(data));
    CLEANUP(str_freep) char *key = str_format("%016x", (unsigned)getpid());
    CLEANUP(str_freep) char *task = str_format("%s/1/state/tasks/%s", data, key);
    CLEANUP(str_freep)
    char *group = str_format("%s/nomad-driver-agent/agent-%s", layout.v1[CGROUP_MEMORY], key);
    cr_assert(dir_make(task, 0700, &err), "%s", err.msg);
    CLEANUP(str_freep)
    char *parent = str_format("%s/nomad-driver-agent", layout.v1[CGROUP_MEMORY]);
    (void)mkdir(parent, 0755);
    if (layout.v1[CGROUP_MEMORY][0] == '\0' || mkdir(group, 0755) < 0)
        cr_skip_test("no v1 memory controller that we may use");
    cr_assert(guard_clean(&(struct guard_plan){ "", data, "", "" }, NULL, &err), "%s", err.msg);
    cr_expect_neq(access(group, F_OK), 0);
    cr_assert(dir_remove_tree(data, &err), "%s", err.msg);
}
