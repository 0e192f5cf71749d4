#include "driver/task/task.h"

#include <dirent.h>
#include <sys/wait.h>

#include "driver/task/rig_test.h"

#define ID  rig_id(&rig, 1)
#define ID2 rig_id(&rig, 2)

/* Everything here runs the real shim. */
static struct rig rig;

/* What is promised is for an idle machine; the tests may share theirs with a build. */
#define SLACK_MS 4000

/* A number of seconds that no other process of this machine sleeps. */
static const char *mark(void)
{
    static char text[32];
    (void)snprintf(text, sizeof(text), "61.%d", (int)getpid());
    return text;
}

static void start_marked(const char *id, const char *format)
{
    CLEANUP(str_freep) char *script = str_copy(format);
    char *at = strstr(script, "MARK");
    cr_assert_not_null(at);
    *at = '\0';
    CLEANUP(str_freep) char *whole = str_format("%s%s%s", script, mark(), at + 4);
    rig_start_ok(&rig, id, whole);
}

static void setup(void) { rig_init(&rig, rig_real_shim()); }

static void teardown(void)
{
    if (rig.loop)
        rig_fini(&rig);
}

TestSuite(task, .init = setup, .fini = teardown, .timeout = 60);

static void expect_nothing_left(void)
{
    cr_assert_eq(rig_count(&rig, "state/tasks"), 0);
    cr_assert_eq(rig_count(&rig, "run"), 0);
    cr_assert_eq(tasks_count(rig.tasks), 0);
}

/* Any process of the machine with the mark in its command line. */
static bool is_running(void)
{
    struct err err = { 0 };
    bool is_found = false;
    DIR *dir = opendir("/proc");
    for (struct dirent *at = readdir(dir); at && !is_found; at = readdir(dir)) {
        char path[300];
        struct buf text = { 0 };
        (void)snprintf(path, sizeof(path), "/proc/%s/cmdline", at->d_name);
        if (strspn(at->d_name, "0123456789") == strlen(at->d_name) &&
            file_read(AT_FDCWD, path, 1 << 20, &text, &err))
            is_found = memmem(text.data, text.len, mark(), strlen(mark())) != NULL;
        buf_fini(&text);
    }
    (void)closedir(dir);
    return is_found;
}

Test(task, runs_and_every_waiter_gets_the_same_result)
{
    struct reply early = { .rig = &rig }, second = { .rig = &rig };
    rig_start_ok(&rig, ID, "exit 7");
    (void)tasks_wait(rig.tasks, ID, on_result, &early);
    (void)tasks_wait(rig.tasks, ID, on_result, &second);
    rig_until(&rig, &early.is_done);
    rig_until(&rig, &second.is_done);
    const struct reply late = rig_wait(&rig, ID);
    const struct reply *const all[] = { &early, &second, &late };
    for (int i = 0; i < 3; i++) {
        cr_assert(all[i]->is_ok);
        cr_assert_eq(all[i]->result.exit_code, 7, "%d %s", all[i]->result.exit_code,
                     all[i]->result.err);
        cr_assert_eq(all[i]->result.signal, 0);
        cr_assert_not(all[i]->result.oom_killed);
        cr_assert_str_eq(all[i]->result.err, "");
    }
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
    expect_nothing_left();
}

Test(task, gives_the_agent_its_directory_and_environment_and_nobody_else)
{
    rig_start_ok(&rig, ID, "echo \"$MARK in $(pwd)\"; exec sleep 60");
    char *wanted = str_format("canary in %s/web\n", rig.alloc);
    rig_read_until(&rig, wanted);
    free(wanted);
    cr_assert_null(memmem(rig.state.data, rig.state.len, "canary", 6));
    char *command = str_format("grep -rc canary %s/state %s/run; grep -lsz canary "
                               "/proc/$(pidof agent-shim | cut -d' ' -f1)/environ",
                               rig.root, rig.root);
    FILE *pipe = popen(command, "re");
    char line[256];
    while (fgets(line, sizeof(line), pipe))
        cr_assert(strstr(line, ":0"), "%s", line);
    (void)pclose(pipe);
    free(command);
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
}

Test(task, a_killed_agent_is_137_and_9)
{
    rig_start_ok(&rig, ID, "kill -9 $$");
    const struct reply got = rig_wait(&rig, ID);
    cr_assert_eq(got.result.exit_code, 137);
    cr_assert_eq(got.result.signal, 9);
    cr_assert_str_eq(got.result.err, "");
}

Test(task, stops_with_the_signal_asked_for)
{
    rig_start_ok(&rig, ID,
                 "trap 'echo usr1; exit 3' USR1; trap 'exit 4' TERM; echo up; "
                 "while :; do sleep 0.05; done");
    rig_read_until(&rig, "up");
    cr_assert(rig_stop(&rig, ID, "SIGUSR1", 5000).is_ok);
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 3);
    cr_assert(rig_stop(&rig, ID, "", 5000).is_ok, "stop of an exited task");
}

Test(task, an_unknown_signal_name_is_sigterm)
{
    rig_start_ok(&rig, ID, "trap 'exit 4' TERM; echo up; while :; do sleep 0.05; done");
    rig_read_until(&rig, "up");
    cr_assert(rig_stop(&rig, ID, "SIGNONSENSE", 5000).is_ok);
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 4);
}

Test(task, a_tree_that_ignores_the_signal_is_killed_at_the_timeout)
{
    start_marked(ID, "trap '' TERM; (setsid sh -c \"trap '' TERM; sleep MARK; :\" &) ; echo up; "
                     "while :; do sleep 0.05; done");
    rig_read_until(&rig, "up");
    const struct mono start = mono_now();
    struct reply twice = { .rig = &rig };
    tasks_stop(rig.tasks, ID, "SIGTERM", 1000, on_done, &twice);
    cr_assert(rig_stop(&rig, ID, "SIGTERM", 1000).is_ok);
    const int64_t ms = mono_diff_us(mono_now(), start) / 1000;
    rig_until(&rig, &twice.is_done);
    cr_assert(twice.is_ok);
    cr_assert(ms >= 700 && ms < 1000 + SLACK_MS, "%ld ms", (long)ms);
    cr_assert_not(is_running());
    cr_assert_eq(rig_wait(&rig, ID).result.signal, 9);
}

Test(task, timeout_zero_kills_at_once)
{
    rig_start_ok(&rig, ID, "trap '' TERM; echo up; while :; do sleep 0.05; done");
    rig_read_until(&rig, "up");
    const struct mono start = mono_now();
    cr_assert(rig_stop(&rig, ID, "", 0).is_ok);
    cr_assert_lt(mono_diff_us(mono_now(), start), SLACK_MS * 1000);
}

Test(task, stop_and_destroy_of_an_unknown_id_are_fine)
{
    cr_assert(rig_stop(&rig, "nobody", "", 100).is_ok);
    cr_assert(rig_destroy(&rig, "nobody", true).is_ok);
    cr_assert(rig_destroy(&rig, "nobody", false).is_ok);
    const struct reply got = rig_wait(&rig, "nobody");
    cr_assert_not(got.is_ok);
    cr_assert_eq(got.err.kind, ERR_NOT_FOUND);
}

Test(task, passes_signals_on)
{
    struct err err = { 0 };
    cr_assert_not(tasks_signal(rig.tasks, ID, "SIGHUP", &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    rig_start_ok(&rig, ID, "trap 'exit 5' HUP; echo up; while :; do sleep 0.05; done");
    rig_read_until(&rig, "up");
    cr_assert_not(tasks_signal(rig.tasks, ID, "SIGNONSENSE", &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert(tasks_signal(rig.tasks, ID, "SIGHUP", &err), "%s", err.msg);
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 5);
    cr_assert_not(tasks_signal(rig.tasks, ID, "SIGHUP", &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(task, destroys_a_running_task_only_by_force)
{
    struct reply waiter = { .rig = &rig };
    start_marked(ID, "sleep MARK; :");
    (void)tasks_wait(rig.tasks, ID, on_result, &waiter);
    const struct reply refused = rig_destroy(&rig, ID, false);
    cr_assert_not(refused.is_ok);
    cr_assert_eq(refused.err.kind, ERR_CONFLICT);
    cr_assert_not(waiter.is_done);
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
    rig_until(&rig, &waiter.is_done);
    cr_assert_not(is_running());
    cr_assert_eq(rig_wait(&rig, ID).err.kind, ERR_NOT_FOUND);
    expect_nothing_left();
}

Test(task, a_known_id_is_not_started_again)
{
    rig_start_ok(&rig, ID, "sleep 60");
    const struct reply again = rig_start(&rig, rig_spec(&rig, ID, "true"));
    cr_assert_eq(again.err.kind, ERR_CONFLICT);
    struct err err = { 0 };
    struct task_status status;
    cr_assert(tasks_inspect(rig.tasks, ID, &status, &err));
    cr_assert(status.running);
    cr_assert_str_eq(status.name, "web");
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
}

static void expect_refused(struct task_spec *spec, enum err_kind kind, const char *part)
{
    const struct reply reply = rig_start(&rig, spec);
    cr_assert_not(reply.is_ok);
    cr_assert_eq(reply.err.kind, kind, "%d: %s", reply.err.kind, reply.err.msg);
    cr_assert(strstr(reply.err.msg, part), "%s", reply.err.msg);
    expect_nothing_left();
}

static struct task_spec *spec_of_command(const char *command)
{
    struct task_spec *spec = rig_spec(&rig, ID, "true");
    free(spec->config.command);
    spec->config.command = str_copy(command);
    return spec;
}

Test(task, a_start_that_cannot_be_leaves_nothing)
{
    expect_refused(spec_of_command("/nowhere"), ERR_NOT_FOUND, "\"/nowhere\" does not exist");
    expect_refused(spec_of_command("nowhere"), ERR_NOT_FOUND, "command: \"nowhere\"");
    expect_refused(spec_of_command("/etc"), ERR_INVALID, "is a directory");
    expect_refused(spec_of_command("/etc/passwd"), ERR_DENIED, "not executable");
    struct task_spec *spec = rig_spec(&rig, ID, "true");
    free(spec->user);
    spec->user = str_copy("nobody-of-that-name");
    expect_refused(spec, ERR_INVALID, "user: \"nobody-of-that-name\"");
    spec = rig_spec(&rig, ID, "true");
    str_list_add(&spec->config.unconfined, view_str("seccomp"));
    expect_refused(spec, ERR_DENIED, "allow_unconfined");
    spec = rig_spec(&rig, ID, "true");
    free(spec->stderr_path);
    spec->stderr_path = str_copy("/nowhere/fifo");
    expect_refused(spec, ERR_NOT_FOUND, "/nowhere/fifo");
}

Test(task, a_program_that_cannot_be_executed_leaves_nothing)
{
    struct err err = { 0 };
    char *path = str_format("%s/web/local/broken", rig.alloc);
    cr_assert(file_publish(AT_FDCWD, path, view_str("#!/no/such/interpreter\n"), 0755, FILE_REPLACE,
                           &err));
    free(path);
    expect_refused(spec_of_command("broken"), ERR_NOT_FOUND, "start task");
}

Test(task, the_null_device_is_a_log_file)
{
    struct task_spec *spec = rig_spec(&rig, ID, "echo lost; exit 2");
    free(spec->stdout_path);
    free(spec->stderr_path);
    spec->stdout_path = str_copy("/dev/null");
    spec->stderr_path = str_copy("/dev/null");
    cr_assert(rig_start(&rig, spec).is_ok);
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 2);
}

Test(task, waits_for_a_reader_of_the_logs_and_blocks_nobody)
{
    struct reply reply = { .rig = &rig };
    fd_closep(&rig.out);
    tasks_start(rig.tasks, rig_spec(&rig, ID, "exit 6"), on_started, &reply);
    rig_run_ms(&rig, 200);
    cr_assert_not(reply.is_done);
    cr_assert(rig_stop(&rig, "other", "", 0).is_ok);
    rig.out = (struct fd){ open(rig.fifo_out, O_RDONLY | O_NONBLOCK | O_CLOEXEC) };
    rig_until(&rig, &reply.is_done);
    cr_assert(reply.is_ok, "%s", reply.err.msg);
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 6);
}

Test(task, a_log_nobody_reads_is_a_transient_error)
{
    fd_closep(&rig.out);
    const struct mono start = mono_now();
    expect_refused(rig_spec(&rig, ID, "true"), ERR_UNAVAILABLE, "nobody reads it");
    cr_assert_lt(mono_diff_us(mono_now(), start), (8000 + SLACK_MS) * 1000);
}

Test(task, nobody_writes_to_the_logs_once_the_wait_has_returned)
{
    start_marked(ID, "echo last; (setsid sleep MARK &); exit 0");
    cr_assert(rig_wait(&rig, ID).is_ok);
    char text[64];
    ssize_t got = read(rig.out.raw, text, sizeof(text));
    cr_assert_eq(got, 5);
    got = read(rig.out.raw, text, sizeof(text));
    cr_assert_eq(got, 0, "end of file: %zd", got);
    cr_assert_not(is_running());
}

Test(task, a_cancelled_wait_is_silent_and_harmless)
{
    struct reply reply = { .rig = &rig };
    rig_start_ok(&rig, ID, "sleep 0.2; exit 1");
    struct task_wait *wait = tasks_wait(rig.tasks, ID, on_result, &reply);
    task_wait_cancel(wait);
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 1);
    wait = tasks_wait(rig.tasks, ID, on_result, &reply);
    task_wait_cancel(wait); /* answered already, not yet delivered */
    rig_run_ms(&rig, 20);
    cr_assert_not(reply.is_done);
}

Test(task, measures_what_the_task_uses)
{
    struct reply first = { .rig = &rig }, second = { .rig = &rig }, gone = { .rig = &rig };
    rig_start_ok(&rig, ID, "while :; do :; done");
    tasks_usage(rig.tasks, ID, on_usage, &first);
    rig_until(&rig, &first.is_done);
    cr_assert(first.is_ok, "%s", first.err.msg);
    rig_run_ms(&rig, 1000);
    tasks_usage(rig.tasks, ID, on_usage, &second);
    rig_until(&rig, &second.is_done);
    cr_assert_gt(second.usage.total.percent, 1.0);
    cr_assert_gt(second.usage.total.raw.rss_bytes, 0);
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
    tasks_usage(rig.tasks, ID, on_usage, &gone);
    rig_until(&rig, &gone.is_done);
    cr_assert_eq(gone.err.kind, ERR_NOT_FOUND);
}

static size_t open_fds(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* Until the last shim has left and been reaped: only then its pidfd is closed. */
static void settle(void)
{
    siginfo_t info;
    for (int i = 0; i < 500 && waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0; i++)
        rig_run_ms(&rig, 20);
    cr_assert_eq(waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT), -1, "a child is left");
}

Test(task, forty_lives_leave_no_descriptor_and_no_zombie)
{
    rig_start_ok(&rig, ID, "exit 0");
    cr_assert(rig_wait(&rig, ID).is_ok);
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
    settle();
    const size_t before = open_fds();
    for (int i = 0; i < 40; i++) {
        const char *id = rig_id(&rig, (unsigned)i);
        rig_start_ok(&rig, id, "exit 0");
        cr_assert(rig_wait(&rig, id).is_ok);
        cr_assert(rig_destroy(&rig, id, true).is_ok);
    }
    settle();
    cr_assert_eq(open_fds(), before);
    expect_nothing_left();
}

Test(task, another_configuration_is_for_what_starts_later)
{
    start_marked(ID, "sleep MARK; :");
    str_list_add(&rig.config.denied_commands, view_str("/bin/sh"));
    tasks_reconfigure(rig.tasks, &rig.config);
    const char *second = rig_id(&rig, 2);
    cr_assert(is_running());
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
    const struct reply refused = rig_start(&rig, rig_spec(&rig, second, "exit 0"));
    cr_assert_eq(refused.err.kind, ERR_DENIED, "%s", refused.err.msg);
    str_list_fini(&rig.config.denied_commands);
    tasks_reconfigure(rig.tasks, &rig.config);
    rig_start_ok(&rig, second, "exit 0");
    cr_assert(rig_destroy(&rig, second, true).is_ok);
    expect_nothing_left();
}

Test(task, closing_the_table_answers_everyone_and_leaves_the_task_alone)
{
    struct reply waiter = { .rig = &rig };
    start_marked(ID, "sleep MARK; :");
    (void)tasks_wait(rig.tasks, ID, on_result, &waiter);
    rig_restart(&rig);
    cr_assert(waiter.is_done);
    cr_assert_eq(waiter.err.kind, ERR_UNAVAILABLE);
    cr_assert(is_running());
    cr_assert(rig_recover(&rig, ID, buf_view(&rig.state)).is_ok);
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
    cr_assert_not(is_running());
}
