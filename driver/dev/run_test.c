#include "driver/dev/run.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/cgroup/cgroup.h"
#include "common/json/doc.h"
#include "common/proc/spawn.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/* The programs as they were built; a room's own build may lack the others. */
static char *program(const char *name)
{
    CLEANUP(str_freep) char *path = str_format("bin/%s", name);
    char *full = realpath(path, NULL);
    if (!full)
        cr_skip_test("%s is not built", path);
    return full;
}

struct outcome {
    int code; /* 128 + signal when killed */
    struct buf out, err;
};

static void outcome_fini(struct outcome *o)
{
    buf_fini(&o->out);
    buf_fini(&o->err);
}

/* Both at once: who reads one to its end first leaves a child that fills the other waiting. */
static void read_both(const struct fd from[2], struct buf *const to[2])
{
    struct pollfd table[2] = { { from[0].raw, POLLIN, 0 }, { from[1].raw, POLLIN, 0 } };
    char bytes[4096];
    while (table[0].fd >= 0 || table[1].fd >= 0) {
        cr_assert_gt(poll(table, COUNT(table), -1), 0);
        for (size_t i = 0; i < COUNT(table); i++) {
            if (table[i].revents == 0)
                continue;
            const ssize_t got = read(table[i].fd, bytes, sizeof bytes);
            cr_assert_geq(got, 0);
            buf_put(to[i], view_of(bytes, (size_t)got));
            if (got == 0)
                table[i].fd = -1;
        }
    }
}

struct child {
    struct proc proc;
    struct fd out, err;
};

static struct child start(const char *const *words)
{
    CLEANUP(str_freep) char *path = program("agent-dev");
    const char *argv[16] = { path };
    const char *const envp[] = { "PATH=/usr/bin:/bin", "TMPDIR=/tmp", NULL };
    for (size_t i = 0; words[i]; i++)
        argv[i + 1] = words[i];
    int out[2], errors[2];
    struct err err = { 0 };
    struct child c = { .proc = PROC_NONE };
    cr_assert(pipe2(out, O_CLOEXEC) == 0 && pipe2(errors, O_CLOEXEC) == 0);
    const struct proc_map fds[] = { { out[1], 1 }, { errors[1], 2 } };
    const struct proc_spec spec = {
        .argv = argv, .envp = envp, .fds = fds, .fd_count = 2, .cgroup_fd = -1
    };
    cr_assert(proc_spawn(&spec, &c.proc, &err) && proc_wait_start(&c.proc, &err), "%s", err.msg);
    close(out[1]);
    close(errors[1]);
    c.out.raw = out[0];
    c.err.raw = errors[0];
    return c;
}

static struct outcome finish(struct child *c)
{
    struct outcome o = { 0 };
    siginfo_t info = { 0 };
    read_both((const struct fd[]){ c->out, c->err }, (struct buf *const[]){ &o.out, &o.err });
    cr_assert_eq(waitid(P_PIDFD, (id_t)c->proc.pidfd.raw, &info, WEXITED), 0);
    o.code = info.si_status + (info.si_code == CLD_EXITED ? 0 : 128);
    proc_fini(&c->proc);
    fd_closep(&c->out);
    fd_closep(&c->err);
    return o;
}

static char *job_file(const char *config)
{
    char path[] = "/tmp/run-job.XXXXXX";
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd file = { mkostemp(path, O_CLOEXEC) };
    CLEANUP(str_freep)
    char *text = str_format("job \"j\" {\n group \"g\" {\n  task \"t\" {\n   driver = \"agent\"\n"
                            "   config {\n%s\n   }\n  }\n }\n}\n",
                            config);
    cr_assert(fd_is_open(file) && fd_write_all(file.raw, text, strlen(text), &err));
    return str_copy(path);
}

static struct outcome ran(const char *config, const char *flag, const char *second)
{
    CLEANUP(str_freep) char *job = job_file(config);
    struct child c = start(
        (const char *const[]){ "run", "-json", "-timeout=60s", job, flag, second, NULL });
    struct outcome o = finish(&c);
    unlink(job);
    return o;
}

static bool has(struct buf *text, const char *what)
{
    return strstr(buf_borrow_str(text), what) != NULL;
}

static void need_driver(void)
{
    free(program("nomad-driver-agent"));
    free(program("agent-shim"));
}

Test(run, the_exit_code_is_the_tasks_and_every_line_is_json)
{
    need_driver();
    CLEANUP(outcome_fini)
    struct outcome o = ran("    command = \"/bin/sh\"\n    args = [\"-c\", \"echo hi; exit 5\"]",
                           NULL, NULL);
    cr_assert_eq(o.code, 5, "%s%s", buf_borrow_str(&o.out), buf_borrow_str(&o.err));
    cr_assert(has(&o.out, "\"event\":\"stdout\",\"text\":\"hi\""));
    cr_assert(has(&o.out, "\"event\":\"end\",\"text\":\"exit code 5\""));
    struct view rest = buf_view(&o.out);
    for (const uint8_t *end; rest.len && (end = memchr(rest.data, '\n', rest.len));) {
        const struct view line = view_of(rest.data, (size_t)(end - rest.data));
        rest = view_of(end + 1, rest.len - line.len - 1);
        struct json *doc = NULL;
        struct err err = { 0 };
        int64_t ms;
        cr_assert(json_parse(line, "line", 4096, &doc, &err), "%s", err.msg);
        cr_assert(json_int_at(doc, "t_ms", &ms, &err), "%s", err.msg);
        json_free(doc);
    }
}

Test(run, a_second_node_survives_the_kill_of_the_first)
{
    need_driver();
    char own[CGROUP_PATH_MAX];
    struct err err = { 0 };
    if (!cgroup_own(own, &err))
        cr_skip_test("%s", err.msg);
    CLEANUP(str_freep) char *job = job_file("    command = \"/bin/sleep\"\n    args = [\"100\"]");
    struct child c = start((const char *const[]){ "run", "-nodes=2", "-kill-node=1:after:3s",
                                                  "-stop=after:4s", "-timeout=60s", job, NULL });
    CLEANUP(outcome_fini) struct outcome o = finish(&c);
    unlink(job);
    cr_assert_eq(o.code, 143, "%s%s", buf_borrow_str(&o.out), buf_borrow_str(&o.err));
    cr_assert(has(&o.out, "node-1 killed: every process at once"));
    cr_assert(has(&o.out, "node-1 no process is left"));
    cr_assert(has(&o.out, "node-2 task ended: exit code 143"));
}

Test(run, nothing_outlives_an_agent_dev_that_is_killed)
{
    need_driver();
    char own[CGROUP_PATH_MAX];
    struct err err = { 0 };
    CLEANUP(str_freep) char *job = job_file("    command = \"/bin/sleep\"\n    args = [\"100\"]");
    struct child c = start((const char *const[]){ "run", "-timeout=60s", job, NULL });
    char bytes[4096];
    size_t len = 0;
    do { /* until the task runs */
        const ssize_t n = read(c.out.raw, bytes + len, sizeof bytes - 1 - len);
        cr_assert_gt(n, 0);
        len += (size_t)n;
        bytes[len] = '\0';
    } while (!strstr(bytes, "task started"));
    const pid_t pid = c.proc.pid;
    cr_assert(proc_signal(&c.proc, SIGKILL, &err));
    CLEANUP(outcome_fini) struct outcome o = finish(&c);
    cr_assert_eq(o.code, 128 + SIGKILL);
    unlink(job);
    CLEANUP(str_freep) char *run = str_format("/run/agent-dev-%d", pid);
    CLEANUP(str_freep)
    char *tree = cgroup_own(own, &err) ? str_format("%s/agent-dev-%d", own, pid) : str_copy(run);
    /* The guard needs an instant: poll for its last act, the removal of the run directory. */
    for (int i = 0; i < 500 && (access(tree, F_OK) == 0 || access(run, F_OK) == 0); i++)
        cr_assert_eq(poll(NULL, 0, 20), 0);
    cr_assert_neq(access(tree, F_OK), 0);
    cr_assert_neq(access(run, F_OK), 0);
}

Test(run, a_stop_by_signal_is_orderly)
{
    need_driver();
    CLEANUP(str_freep)
    char *job = job_file("    command = \"/bin/sh\"\n"
                         "    args = [\"-c\", \"trap 'exit 9' TERM; echo up; sleep 100 & wait\"]");
    struct child c = start((const char *const[]){ "run", "-timeout=60s", job, NULL });
    struct err err = { 0 };
    char bytes[4096];
    size_t len = 0;
    do {
        const ssize_t n = read(c.out.raw, bytes + len, sizeof bytes - 1 - len);
        cr_assert_gt(n, 0);
        len += (size_t)n;
        bytes[len] = '\0';
    } while (!strstr(bytes, "up") || !strstr(bytes, "task started"));
    cr_assert(proc_signal(&c.proc, SIGTERM, &err));
    CLEANUP(outcome_fini) struct outcome o = finish(&c);
    unlink(job);
    cr_assert_eq(o.code, 9, "%s", buf_borrow_str(&o.out));
    cr_assert(has(&o.out, "stopping the job"));
}

Test(run, a_run_whose_only_node_was_killed_is_no_success)
{
    need_driver();
    char own[CGROUP_PATH_MAX];
    struct err err = { 0 };
    if (!cgroup_own(own, &err))
        cr_skip_test("%s", err.msg);
    CLEANUP(outcome_fini)
    struct outcome o = ran("    command = \"/bin/sleep\"\n    args = [\"100\"]",
                           "-kill-node=after:2s", NULL);
    cr_assert_eq(o.code, 128 + SIGKILL, "%s", buf_borrow_str(&o.out));
}

Test(run, the_agent_that_runs_at_the_stop_has_the_last_word)
{
    need_driver();
    CLEANUP(str_freep)
    char *job = job_file("    command = \"/bin/sh\"\n    args = [\"-c\", "
                         "\"[ ${node.unique.name} = node-1 ] && exit 5; exec sleep 100\"]");
    struct child c = start(
        (const char *const[]){ "run", "-nodes=2", "-stop=after:3s", "-timeout=60s", job, NULL });
    CLEANUP(outcome_fini) struct outcome o = finish(&c);
    unlink(job);
    cr_assert(has(&o.out, "node-1 task ended: exit code 5"), "%s", buf_borrow_str(&o.out));
    cr_assert_eq(o.code, 143, "%s", buf_borrow_str(&o.out));
}

Test(run, a_timeout_stops_the_job_and_has_its_own_code)
{
    need_driver();
    CLEANUP(outcome_fini)
    struct outcome o = ran("    command = \"/bin/sleep\"\n    args = [\"100\"]", "-timeout=2s",
                           NULL);
    cr_assert_eq(o.code, RUN_TIMEOUT_CODE, "%s", buf_borrow_str(&o.out));
}

Test(run, a_start_that_is_refused_says_by_its_code_why)
{
    static const struct {
        const char *config;
        int code;
    } rows[] = {
        { "    command = \"/nonexistent\"", 127 },
        { "    command = \"no-such-program\"", 127 },
        { "    command = \"/etc/passwd\"", 126 },
        { "    command = \"/etc\"", 126 },
        { "    command = \"/bin/true\"\n    read_paths = [\"/nonexistent\"]", 66 },
        { "    command = \"/bin/true\"\n    unconfined = [\"seccomp\"]", 77 },
        { "    command = \"/bin/true\"\n    umask = \"9\"", 64 },
    };
    need_driver();
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(outcome_fini) struct outcome o = ran(rows[i].config, NULL, NULL);
        cr_expect_eq(o.code, rows[i].code, "row %zu: %d %s", i, o.code, buf_borrow_str(&o.out));
    }
}

Test(run, a_plugin_that_is_not_one_fails_the_run)
{
    CLEANUP(outcome_fini)
    struct outcome o = ran("    command = \"/bin/true\"", "-plugin=/bin/true", NULL);
    cr_assert_eq(o.code, err_exit_code(ERR_UNAVAILABLE), "%s", buf_borrow_str(&o.out));
    cr_assert(has(&o.out, "wait for the plugin's handshake: exit code 0"));
}

Test(run, what_a_run_cannot_have_is_refused_before_anything_starts)
{
    static const struct {
        const char *config, *flag;
        enum err_kind kind;
        const char *message;
    } rows[] = {
        { "    command = \"/a\"\n    state {\n     path = \"s\"\n     store = \"file:///s\"\n    }",
          "-partition-node=after:1s", ERR_INVALID,
          "-partition-node cuts off the store that agent-dev makes, and this job names its own" },
        { "    command = \"/a\"", "-plugin=/nonexistent", ERR_NOT_FOUND, "name it with -plugin" },
        { "    comand = \"/a\"", "-json", ERR_INVALID, "did you mean \"command\"?" },
        { "    command = \"/a\"", "-nodes=0", ERR_INVALID, "-nodes" },
        { "    command = \"/a\"", "-data-dir=/proc/nothing", ERR_SYSTEM, "/proc/nothing" },
    };
    free(program("nomad-driver-agent"));
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(outcome_fini) struct outcome o = ran(rows[i].config, rows[i].flag, NULL);
        cr_assert_eq(o.code, err_exit_code(rows[i].kind), "row %zu: %d %s", i, o.code,
                     buf_borrow_str(&o.err));
        cr_assert(has(&o.err, rows[i].message), "%s", buf_borrow_str(&o.err));
        cr_assert_eq(o.out.len, 0);
    }
}
