#include "driver/task/task.h"

#include "common/shimwire/launch.h"
#include "driver/exec/exec.h"
#include "driver/exec/wish.h"
#include "driver/task/rig_test.h"

#define ID rig_id(&rig, 1)

static struct rig rig;

static void setup(void) { rig_init(&rig, rig_real_shim()); }

static void teardown(void)
{
    if (rig.loop)
        rig_fini(&rig);
}

TestSuite(task_exec, .init = setup, .fini = teardown, .timeout = 60);

struct session {
    struct exec *exec;
    bool is_over;
    char text[4096];
    size_t len;
    struct exec_frame end;
    struct err why;
};

static void on_change(void *arg)
{
    struct session *s = arg;
    struct exec_frame frame;
    while (!s->is_over) {
        exec_next(s->exec, &frame);
        if (frame.what == EXEC_NOTHING)
            break;
        if (frame.what == EXEC_OUTPUT && s->len + frame.bytes.len < sizeof(s->text)) {
            memcpy(s->text + s->len, frame.bytes.data, frame.bytes.len);
            s->len += frame.bytes.len;
        }
        s->is_over = frame.what == EXEC_EXITED || frame.what == EXEC_FAILED;
        if (frame.what == EXEC_FAILED)
            s->why = *frame.err;
        s->end = frame;
    }
    loop_quit(rig.loop);
}

static bool begin(struct session *s, const char *id, const char *script, struct err *err)
{
    const char *const argv[] = { "sh", "-c", script, NULL };
    const struct exec_wish wish = { argv, EXEC_ONE_PIPE };
    *s = (struct session){ 0 };
    return tasks_exec(rig.tasks, id, &wish, &(struct exec_owner){ on_change, s }, &s->exec, err);
}

static void run(struct session *s, const char *script)
{
    struct err err = { 0 };
    cr_assert(begin(s, ID, script, &err), "%s", err.msg);
    rig_until(&rig, &s->is_over);
    exec_drop(s->exec);
}

static void refused(enum err_kind kind, const char *part)
{
    struct session s;
    struct err err = { 0 };
    cr_assert_not(begin(&s, ID, "true", &err));
    cr_expect_eq(err.kind, kind, "%s", err.msg);
    cr_expect_not_null(strstr(err.msg, part), "%s", err.msg);
}

Test(task_exec, runs_where_and_as_the_agent_does)
{
    struct session s;
    rig_start_ok(&rig, ID, "exec sleep 600");
    run(&s, "pwd; echo $MARK; exit 3");
    char *wanted = str_format("%s/web\ncanary\n", rig.alloc);
    cr_expect_eq(s.end.what, EXEC_EXITED, "%s", s.why.msg);
    cr_expect_eq(s.end.exit_code, 3);
    cr_expect_str_eq(s.text, wanted);
    free(wanted);
}

Test(task_exec, is_possible_after_a_recovery)
{
    struct session s;
    rig_start_ok(&rig, ID, "exec sleep 600");
    rig_restart(&rig);
    const struct reply reply = rig_recover(&rig, ID, buf_view(&rig.state));
    cr_assert(reply.is_ok, "%s", reply.err.msg);
    run(&s, "echo $MARK");
    cr_expect_str_eq(s.text, "canary\n", "%s", s.why.msg);
}

Test(task_exec, is_refused_for_a_task_that_does_not_run)
{
    refused(ERR_NOT_FOUND, "no such task");
    rig_start_ok(&rig, ID, "exit 0");
    (void)rig_wait(&rig, ID);
    refused(ERR_CONFLICT, "has ended");
}

Test(task_exec, is_refused_without_the_environment)
{
    struct reply reply = { .rig = &rig };
    rig_start_ok(&rig, ID, "exec sleep 600");
    rig_restart(&rig);
    tasks_recover(rig.tasks, ID, buf_view(&rig.state), NULL, on_done, &reply);
    rig_until(&rig, &reply.is_done);
    cr_assert(reply.is_ok, "%s", reply.err.msg);
    refused(ERR_CONFLICT, "environment is not known");
}

/* The record as an older driver has written it. */
Test(task_exec, is_refused_in_a_task_of_an_older_driver)
{
    struct err err = { 0 };
    struct launch launch;
    char *path = NULL, command[256], text[256] = "";
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    rig_start_ok(&rig, ID, "exec sleep 600");
    rig_end_tasks(&rig);
    (void)snprintf(command, sizeof(command), "echo %s/state/tasks/*/launch", rig.root);
    FILE *pipe = popen(command, "re");
    cr_assert_not_null(fgets(text, sizeof(text), pipe));
    (void)pclose(pipe);
    text[strcspn(text, "\n")] = '\0';
    path = text;
    cr_assert(file_read(AT_FDCWD, path, LAUNCH_BYTES_MAX, &bytes, &err), "%s", err.msg);
    cr_assert(launch_decode(buf_view(&bytes), &launch, &err), "%s", err.msg);
    cr_expect(launch.inside.is_known);
    launch.inside.is_known = false;
    bytes.len = 0;
    cr_assert(launch_encode(&launch, &bytes, &err), "%s", err.msg);
    CLEANUP(fd_closep) struct fd file = { open(path, O_WRONLY | O_TRUNC | O_CLOEXEC) };
    cr_assert(fd_write_all(file.raw, bytes.data, bytes.len, &err), "%s", err.msg);
    rig_new_tasks(&rig);
    const struct reply reply = rig_recover(&rig, ID, buf_view(&rig.state));
    cr_assert(reply.is_ok, "the task itself is adopted: %s", reply.err.msg);
    refused(ERR_CONFLICT, "restart the task");
}

Test(task_exec, has_a_limit_for_each_task)
{
    static struct session all[TASK_EXECS_MAX];
    struct err err = { 0 };
    rig_start_ok(&rig, ID, "exec sleep 600");
    for (size_t i = 0; i < TASK_EXECS_MAX; i++)
        cr_assert(begin(&all[i], ID, "sleep 600", &err), "%s", err.msg);
    refused(ERR_CONFLICT, "32 execs");
    exec_kill(all[0].exec);
    rig_until(&rig, &all[0].is_over);
    struct session s;
    run(&s, "echo room");
    cr_expect_str_eq(s.text, "room\n");
    for (size_t i = 0; i < TASK_EXECS_MAX; i++)
        exec_drop(all[i].exec);
}

Test(task_exec, looks_for_the_command_as_the_task_does)
{
    struct session s;
    struct err err = { 0 };
    rig_start_ok(&rig, ID, "exec sleep 600");
    static const char *const absent[] = { "no-such-program", NULL };
    const struct exec_wish wish = { absent, EXEC_PIPES };
    s = (struct session){ 0 };
    cr_assert(
        tasks_exec(rig.tasks, ID, &wish, &(struct exec_owner){ on_change, &s }, &s.exec, &err));
    rig_until(&rig, &s.is_over);
    exec_drop(s.exec);
    cr_expect_eq(s.end.what, EXEC_FAILED);
    cr_expect_eq(s.why.kind, ERR_NOT_FOUND, "%s", s.why.msg);
    cr_expect_not_null(strstr(s.why.msg, "PATH"), "%s", s.why.msg);
}
