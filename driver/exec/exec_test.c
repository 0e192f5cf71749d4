#include "driver/exec/exec.h"

#include "driver/enter/house_test.h"

#include "common/base/time.h"
#include "common/log/log.h"
#include "common/loop/loop.h"
#include "common/shimwire/exec_spec.h"

#define SPELL_MS 15000

struct said {
    char text[4096];
    size_t len, bytes; /* kept; in all */
    int closes;
};

struct rig {
    struct house house;
    struct loop *loop;
    struct loop_timer *guard;
    struct execs *execs;
    struct exec *exec;
    char *shim, *cgroup;
    bool is_deaf; /* takes nothing */
    bool is_calling, is_over, is_closed;
    int changes;
    struct said out, err;
    enum exec_news last;
    int exit_code, signal;
    struct err why;
};

static void quit(void *loop) { loop_quit(loop); }

static void on_guard(void *arg)
{
    cr_assert_fail("nothing happened for %d ms (%p)", SPELL_MS, arg);
}

static void take(struct said *said, struct view bytes)
{
    size_t room = sizeof(said->text) - 1 - said->len;
    size_t more = bytes.len < room ? bytes.len : room;
    memcpy(said->text + said->len, bytes.data, more);
    said->len += more;
    said->bytes += bytes.len;
}

static void pull(struct rig *rig)
{
    struct exec_frame frame;
    while (!rig->is_over) {
        exec_next(rig->exec, &frame);
        struct said *said = frame.is_stderr ? &rig->err : &rig->out;
        switch (frame.what) {
        case EXEC_NOTHING:
            return;
        case EXEC_OUTPUT:
            cr_assert(said->closes == 0 && frame.bytes.len > 0 &&
                      frame.bytes.len <= EXEC_CHUNK_BYTES);
            take(said, frame.bytes);
            break;
        case EXEC_CLOSED:
            said->closes++;
            break;
        case EXEC_EXITED:
            cr_expect(rig->out.closes == 1 && rig->err.closes == 1, "the ends come first");
            rig->exit_code = frame.exit_code;
            rig->signal = frame.signal;
            rig->is_over = true;
            break;
        case EXEC_FAILED:
            rig->why = *frame.err;
            rig->is_over = true;
            break;
        }
        rig->last = frame.what;
    }
}

static void on_change(void *arg)
{
    struct rig *rig = arg;
    cr_assert_not(rig->is_calling, "a callback inside a call");
    rig->changes++;
    if (!rig->is_deaf)
        pull(rig);
    loop_quit(rig->loop);
}

static void rig_init(struct rig *rig, bool has_cgroup)
{
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    cr_assert_gt(len, 0);
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    *strrchr(self, '/') = '\0';
    *rig = (struct rig){ .shim = str_format("%s/bin/agent-shim", self) };
    if (access(rig->shim, X_OK) != 0)
        cr_skip_test("%s is not built", rig->shim);
    log_init("test", LOG_ERROR);
    (void)signal(SIGPIPE, SIG_IGN);
    house_init(&rig->house, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS, has_cgroup);
    rig->cgroup = has_cgroup ? str_format("%s/exec-unit", rig->house.cgroup.path) : str_copy("");
    rig->loop = loop_new();
    rig->guard = loop_timer_new(rig->loop, on_guard, rig);
    loop_timer_arm(rig->guard, boot_add_ms(boot_now(), SPELL_MS));
    rig->execs = execs_new(rig->loop);
}

static void rig_start(struct rig *rig, enum exec_mode mode, const char *script)
{
    struct err err = { 0 };
    const char *const programs[] = { "/bin/sh", NULL }, *const arguments[] = { "-c", script, NULL };
    const char *const envp[] = { "PATH=/usr/bin:/bin", NULL };
    const struct exec_spec spec = { .flags = mode == EXEC_TTY ? EXEC_TERMINAL : 0,
                                    .agent_pid = (uint32_t)rig->house.who.pid,
                                    .agent_start_ticks = rig->house.who.start_ticks,
                                    .boot_id = rig->house.who.boot_id,
                                    .cwd = "/",
                                    .cgroup_dir = rig->cgroup[0] ? rig->house.cgroup.path : "",
                                    .cgroup_name = "exec-unit",
                                    .programs = programs,
                                    .arguments = arguments,
                                    .envp = envp };
    struct exec_start start = {
        .shim = rig->shim, .cgroup = rig->cgroup, .key = "task", .mode = mode
    };
    cr_assert(exec_spec_seal(&spec, &start.spec, &err), "%s", err.msg);
    rig->out = rig->err = (struct said){ 0 };
    rig->is_over = false;
    rig->is_calling = true;
    rig->exec = exec_new(rig->execs, &start, &(struct exec_owner){ on_change, rig });
    rig->is_calling = false;
    cr_expect_not(fd_is_open(start.spec), "the session's now");
}

static void rig_turn(struct rig *rig)
{
    loop_post(rig->loop, quit, rig->loop);
    loop_run(rig->loop);
}

static void rig_until_over(struct rig *rig)
{
    while (!rig->is_over)
        loop_run(rig->loop);
}

static void rig_until_text(struct rig *rig, const char *text)
{
    while (strstr(rig->out.text, text) == NULL) {
        cr_assert_not(rig->is_over, "over before \"%s\": %s", text, rig->why.msg);
        loop_run(rig->loop);
    }
}

static void rig_drop(struct rig *rig)
{
    rig->is_calling = true;
    exec_drop(rig->exec);
    rig->exec = NULL;
    rig->is_calling = false;
}

/* Until no helper is left; the agent is our child too. */
static void rig_until_reaped(struct rig *rig)
{
    siginfo_t info;
    while (execs_count(rig->execs, "task") > 0)
        rig_turn(rig);
    do {
        info = (siginfo_t){ 0 };
        rig_turn(rig);
    } while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0);
}

static void on_execs_closed(void *arg)
{
    struct rig *rig = arg;
    rig->is_closed = true;
    loop_quit(rig->loop);
}

static void rig_fini(struct rig *rig)
{
    if (rig->exec != NULL)
        rig_drop(rig);
    execs_close(rig->execs, on_execs_closed, rig);
    cr_expect_not(rig->is_closed);
    while (!rig->is_closed)
        loop_run(rig->loop);
    execs_free(rig->execs);
    loop_timer_freep(&rig->guard);
    loop_free(rig->loop);
    house_fini(&rig->house);
    free(rig->shim);
    free(rig->cgroup);
}

Test(exec, both_streams_come_whole_then_their_ends_then_the_end)
{
    struct rig rig;
    rig_init(&rig, true);
    rig_start(&rig, EXEC_PIPES, "echo out; echo err >&2; exit 3");
    rig_until_over(&rig);
    cr_expect_eq(rig.last, EXEC_EXITED, "%s", rig.why.msg);
    cr_expect_eq(rig.exit_code, 3);
    cr_expect_str_eq(rig.out.text, "out\n");
    cr_expect_str_eq(rig.err.text, "err\n");
    rig_fini(&rig);
}

Test(exec, one_pipe_keeps_the_order)
{
    struct rig rig;
    rig_init(&rig, false);
    rig_start(&rig, EXEC_ONE_PIPE, "echo 1; echo 2 >&2; echo 3; cat; echo 4 >&2");
    rig_until_over(&rig);
    cr_expect_eq(rig.last, EXEC_EXITED, "%s", rig.why.msg);
    cr_expect_str_eq(rig.out.text, "1\n2\n3\n4\n");
    rig_fini(&rig);
}

Test(exec, a_terminal_has_the_size_that_was_given_before_it_began)
{
    struct rig rig;
    rig_init(&rig, true);
    rig_start(&rig, EXEC_TTY, "stty size; read line; stty size; echo \"$line\"");
    exec_resize(rig.exec, (struct pty_size){ 33, 101 });
    rig_until_text(&rig, "33 101\r\n");
    exec_resize(rig.exec, (struct pty_size){ 40, 120 });
    exec_write(rig.exec, view_str("typed\n"));
    rig_until_over(&rig);
    cr_expect_eq(rig.exit_code, 0);
    cr_expect_str_eq(rig.out.text, "33 101\r\ntyped\r\n40 120\r\ntyped\r\n");
    cr_expect_eq(rig.err.bytes, 0);
    rig_fini(&rig);
}

Test(exec, input_may_come_before_the_command_and_ends)
{
    struct rig rig;
    rig_init(&rig, true);
    rig_start(&rig, EXEC_PIPES, "cat; echo end");
    cr_expect(exec_wants_input(rig.exec));
    exec_write(rig.exec, view_str("early\n"));
    cr_expect_not(exec_wants_input(rig.exec));
    rig_until_text(&rig, "early\n");
    cr_expect(exec_wants_input(rig.exec));
    exec_write(rig.exec, view_str("late\n"));
    exec_end_input(rig.exec);
    rig_until_over(&rig);
    cr_expect_str_eq(rig.out.text, "early\nlate\nend\n");
    rig_fini(&rig);
}

Test(exec, a_killed_one_says_so)
{
    struct rig rig;
    rig_init(&rig, true);
    rig_start(&rig, EXEC_PIPES, "trap '' TERM; setsid sleep 1000 & echo ready; sleep 1000");
    rig_until_text(&rig, "ready\n");
    exec_kill(rig.exec);
    exec_kill(rig.exec);
    rig_until_over(&rig);
    cr_expect_eq(rig.last, EXEC_EXITED);
    cr_expect_eq(rig.exit_code, 137);
    cr_expect_eq(rig.signal, 9);
    cr_expect_neq(access(rig.cgroup, F_OK), 0);
    rig_fini(&rig);
}

Test(exec, a_dropped_exec_ends_and_nobody_is_called)
{
    struct rig rig;
    rig_init(&rig, true);
    for (int i = 0; i < 6; i++) {
        rig_start(&rig, i % 2 ? EXEC_TTY : EXEC_PIPES,
                  "setsid sleep 1000 & echo ready; sleep 1000");
        if (i < 2)
            rig_until_text(&rig, "ready");
        for (int turns = 2; turns < i; turns++)
            rig_turn(&rig); /* in the beginning */
        cr_expect_eq(execs_count(rig.execs, "task"), 1);
        cr_expect_eq(execs_count(rig.execs, "other"), 0);
        int changes = rig.changes;
        rig_drop(&rig);
        rig_until_reaped(&rig);
        cr_expect_eq(rig.changes, changes);
        cr_expect_neq(access(rig.cgroup, F_OK), 0, "round %d", i);
    }
    rig_fini(&rig);
}

/* The child of ours that is not the agent. */
static pid_t helper_of(const struct rig *rig)
{
    char text[256] = "";
    for (;;) {
        FILE *pipe = popen("ps -o pid=,args= --ppid $PPID", "re");
        pid_t found = 0;
        while (fgets(text, sizeof(text), pipe) != NULL)
            if (strstr(text, "agent-shim") != NULL)
                found = (pid_t)strtol(text, NULL, 10);
        (void)pclose(pipe);
        if (found > 0 && found != rig->house.pid)
            return found;
    }
}

Test(exec, a_killed_helper_leaves_nothing_and_is_told)
{
    struct rig rig;
    rig_init(&rig, true);
    rig_start(&rig, EXEC_PIPES, "setsid sleep 1000 & echo ready; sleep 1000");
    rig_until_text(&rig, "ready\n");
    cr_assert_eq(kill(helper_of(&rig), SIGKILL), 0);
    rig_until_over(&rig);
    cr_expect_eq(rig.last, EXEC_FAILED);
    cr_expect_eq(rig.why.kind, ERR_SYSTEM);
    cr_expect_neq(access(rig.cgroup, F_OK), 0, "its cgroup is cleared before the end is told");
    rig_fini(&rig);
}

Test(exec, a_stopped_helper_is_killed_after_a_while)
{
    struct rig rig;
    rig_init(&rig, true);
    rig_start(&rig, EXEC_PIPES, "echo ready; sleep 1000");
    rig_until_text(&rig, "ready\n");
    cr_assert_eq(kill(helper_of(&rig), SIGSTOP), 0);
    struct boot begun = boot_now();
    exec_kill(rig.exec);
    rig_until_over(&rig);
    cr_expect_eq(rig.last, EXEC_FAILED);
    cr_expect_geq(boot_diff_ms(boot_now(), begun), 4900);
    cr_expect_neq(access(rig.cgroup, F_OK), 0);
    rig_fini(&rig);
}

Test(exec, what_cannot_begin_is_told)
{
    struct rig rig;
    rig_init(&rig, true);
    char *good = rig.shim;
    rig.shim = str_copy("/no/such/agent-shim");
    rig_start(&rig, EXEC_TTY, "true");
    rig_until_over(&rig);
    cr_expect_eq(rig.last, EXEC_FAILED);
    cr_expect_eq(rig.why.kind, ERR_NOT_FOUND, "%s", rig.why.msg);
    rig_drop(&rig);
    free(rig.shim);
    rig.shim = str_copy("/bin/true"); /* as an older helper would: it goes without a word */
    rig_start(&rig, EXEC_PIPES, "true");
    rig_until_over(&rig);
    cr_expect_eq(rig.last, EXEC_FAILED);
    cr_expect_eq(rig.why.kind, ERR_SYSTEM, "%s", rig.why.msg);
    rig_drop(&rig);
    free(rig.shim);
    rig.shim = good;
    house_kill(&rig.house);
    rig_start(&rig, EXEC_PIPES, "true");
    rig_until_over(&rig);
    cr_expect_eq(rig.why.kind, ERR_NOT_FOUND, "%s", rig.why.msg);
    rig_fini(&rig);
}

Test(exec, a_reader_that_stalls_stops_the_command)
{
    struct rig rig;
    rig_init(&rig, true);
    rig.is_deaf = true;
    rig_start(&rig, EXEC_PIPES, "head -c 4000000 /dev/zero; echo >&2");
    for (int i = 0; i < 200; i++)
        rig_turn(&rig);
    struct exec_frame frame = { .what = EXEC_NOTHING };
    while (frame.what == EXEC_NOTHING) {
        exec_next(rig.exec, &frame);
        if (frame.what == EXEC_NOTHING)
            loop_run(rig.loop);
    }
    cr_expect_eq(frame.what, EXEC_OUTPUT);
    cr_expect_not(frame.is_stderr, "it cannot have come so far");
    take(&rig.out, frame.bytes);
    for (int i = 0; i < 200; i++)
        rig_turn(&rig);
    cr_expect_eq(execs_count(rig.execs, "task"), 1, "it waits");
    rig.is_deaf = false;
    pull(&rig);
    rig_until_over(&rig);
    cr_expect_eq(rig.out.bytes, 4000000);
    cr_expect_eq(rig.err.bytes, 1);
    rig_fini(&rig);
}

/* The agent holds the other end of the pipe: whoever waits for its end waits for ever. */
Test(exec, a_pipe_that_somebody_else_keeps_is_closed_soon_after_the_end)
{
    struct rig rig;
    rig_init(&rig, true);
    rig_start(&rig, EXEC_PIPES, "echo ready; read line");
    rig_until_text(&rig, "ready\n");
    char path[64];
    CLEANUP(fd_closep) struct fd kept = FD_NONE;
    FILE *pipe = popen("ps -eo pid=,args= | grep '[r]ead line' | head -1", "re");
    long command = 0;
    cr_assert_eq(fscanf(pipe, "%ld", &command), 1);
    (void)pclose(pipe);
    (void)snprintf(path, sizeof(path), "/proc/%ld/fd/1", command);
    kept.raw = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert(fd_is_open(kept));
    exec_end_input(rig.exec);
    rig_until_over(&rig);
    cr_expect_eq(rig.last, EXEC_EXITED);
    cr_expect_str_eq(rig.out.text, "ready\n");
    rig_fini(&rig);
}

Test(exec, closing_ends_all_that_run_and_begin)
{
    struct rig rig;
    rig_init(&rig, true);
    rig_start(&rig, EXEC_PIPES, "echo ready; sleep 1000");
    rig_until_text(&rig, "ready\n");
    rig_drop(&rig);
    free(rig.cgroup);
    rig.cgroup = str_format("%s/exec-other", rig.house.cgroup.path);
    rig_start(&rig, EXEC_PIPES, "sleep 1000");
    rig_fini(&rig); /* house_fini proves that the cgroup can be removed */
}
