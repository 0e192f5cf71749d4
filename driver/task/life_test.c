#include "driver/task/life.h"

#include <sys/wait.h>

#include "common/cgroup/cgroup.h"
#include "driver/nomad/driver_state.h"
#include "driver/task/rig_test.h"

#define ID  rig_id(&rig, 1)
#define ID2 rig_id(&rig, 2)

/* What is promised is for an idle machine; the tests may share theirs with a build. */
#define SLACK_MS 4000

/* Crashes, twins and strangers, with the real shim. */
static struct rig rig;

static void setup(void) { rig_init(&rig, rig_real_shim()); }

static void teardown(void)
{
    if (rig.loop)
        rig_fini(&rig);
}

TestSuite(life, .init = setup, .fini = teardown, .timeout = 60);

static struct task *entry(const char *id)
{
    struct task *task = entry_find(rig.tasks, id);
    cr_assert_not_null(task);
    return task;
}

static bool is_alive(pid_t pid)
{
    uint64_t ticks;
    struct err err = { 0 };
    char path[64], text[256] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    const bool is_there = file && fgets(text, sizeof(text), file);
    if (file)
        (void)fclose(file);
    return is_there && proc_start_ticks(pid, &ticks, &err) && !strstr(text, ") Z ");
}

/* Kills a shim whose driver is gone; as its parent we also see that it is dead. */
static void kill_orphan(pid_t shim)
{
    cr_assert_eq(kill(shim, SIGKILL), 0);
    cr_assert_eq(waitpid(shim, NULL, 0), shim);
}

static void start_sleeper(const char *id)
{
    rig_start_ok(&rig, id, "echo up; while :; do sleep 0.05; done");
    rig_read_until(&rig, "up");
}

Test(life, the_same_start_again_adopts_the_live_copy)
{
    start_sleeper(ID);
    const pid_t agent = entry(ID)->agent_pid;
    cr_assert_gt(agent, 0);
    rig_restart(&rig);
    rig_start_ok(&rig, ID, "echo second; exit 1");
    cr_assert_eq(entry(ID)->agent_pid, agent);
    cr_assert(is_alive(agent));
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
    cr_assert_not(is_alive(agent));
}

Test(life, another_start_of_the_task_ends_the_older_copy_first)
{
    start_sleeper(ID);
    const pid_t agent = entry(ID)->agent_pid;
    rig_restart(&rig);
    rig_start_ok(&rig, ID2, "echo second; sleep 60");
    rig_read_until(&rig, "second");
    cr_assert_not(is_alive(agent));
    cr_assert_neq(entry(ID2)->agent_pid, agent);
}

/* Nomad's agent died before it had stored the handle, and the plugin did not: it comes back with a
 * new id and knows nothing of the copy that runs. */
Test(life, a_copy_that_nomad_forgot_ends_before_the_next_one_starts)
{
    start_sleeper(ID);
    const pid_t agent = entry(ID)->agent_pid;
    rig_start_ok(&rig, ID2, "echo second; sleep 60");
    rig_read_until(&rig, "second");
    cr_assert_not(is_alive(agent));
    cr_assert_null(entry_find(rig.tasks, ID));
    cr_assert_eq(rig_wait(&rig, ID).err.kind, ERR_NOT_FOUND);
    cr_assert(is_alive(entry(ID2)->agent_pid));
}

Test(life, a_result_that_nomad_forgot_is_no_obstacle)
{
    rig_start_ok(&rig, ID, "exit 5");
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 5);
    rig_start_ok(&rig, ID2, "exit 6");
    cr_assert_eq(rig_wait(&rig, ID2).result.exit_code, 6);
    cr_assert_null(entry_find(rig.tasks, ID));
}

Test(life, the_same_start_again_of_a_finished_task_does_not_run_it_twice)
{
    char *mark = str_format("%s/web/local/mark", rig.alloc);
    rig_start_ok(&rig, ID, "echo once >> local/mark; exit 5");
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 5);
    rig_restart(&rig);
    rig_start_ok(&rig, ID, "echo once >> local/mark; exit 5");
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 5);
    struct buf text = { 0 };
    struct err err = { 0 };
    cr_assert(file_read(AT_FDCWD, mark, 100, &text, &err));
    cr_assert_eq(text.len, 5);
    buf_fini(&text);
    free(mark);
}

Test(life, a_stale_record_without_a_shim_is_started_afresh)
{
    start_sleeper(ID);
    struct task *task = entry(ID);
    const pid_t agent = task->agent_pid, shim = task->shim.pid;
    rig_end_tasks(&rig);
    kill_orphan(shim);
    rig_new_tasks(&rig);
    rig_start_ok(&rig, ID, "echo second; sleep 60");
    rig_read_until(&rig, "second");
    cr_assert_not(is_alive(agent));
}

Test(life, recovers_a_live_task_as_it_was)
{
    struct err err = { 0 };
    rig_start_ok(&rig, ID, "trap 'exit 9' HUP; echo up; while :; do sleep 0.05; done");
    rig_read_until(&rig, "up");
    const pid_t agent = entry(ID)->agent_pid;
    rig_restart(&rig);
    struct reply first = { .rig = &rig }, second = { .rig = &rig };
    tasks_recover(rig.tasks, ID, buf_view(&rig.state), NULL, on_done, &first);
    tasks_recover(rig.tasks, ID, buf_view(&rig.state), NULL, on_done, &second);
    rig_until(&rig, &first.is_done);
    rig_until(&rig, &second.is_done);
    cr_assert(first.is_ok && second.is_ok, "%s", first.err.msg);
    cr_assert(rig_recover(&rig, ID, view_str("whatever")).is_ok, "a known id");
    cr_assert_eq(entry(ID)->agent_pid, agent);
    struct reply usage = { .rig = &rig };
    tasks_usage(rig.tasks, ID, on_usage, &usage);
    rig_until(&rig, &usage.is_done);
    cr_assert(usage.is_ok && usage.usage.total.raw.rss_bytes > 0);
    cr_assert(tasks_signal(rig.tasks, ID, "SIGHUP", &err), "%s", err.msg);
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 9);
}

Test(life, recovers_the_result_of_a_task_that_ended_meanwhile)
{
    rig_start_ok(&rig, ID, "sleep 0.3; exit 7");
    const pid_t agent = entry(ID)->agent_pid;
    rig_end_tasks(&rig);
    while (is_alive(agent))
        rig_run_ms(&rig, 10);
    rig_run_ms(&rig, 50);
    rig_new_tasks(&rig);
    cr_assert(rig_recover(&rig, ID, buf_view(&rig.state)).is_ok);
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 7);
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
    cr_assert_eq(rig_count(&rig, "state/tasks"), 0);
}

Test(life, a_finished_task_is_recovered_after_a_reboot_and_a_running_one_is_not)
{
    rig_start_ok(&rig, ID, "exit 7");
    cr_assert(rig_wait(&rig, ID).is_ok);
    rig_restart(&rig);
    memset(rig.tasks->boot_id, '0', 36);
    cr_assert(rig_recover(&rig, ID, buf_view(&rig.state)).is_ok);
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, 7);
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
    rig_restart(&rig);
    start_sleeper(ID2);
    const pid_t agent = entry(ID2)->agent_pid;
    rig_restart(&rig);
    memset(rig.tasks->boot_id, '0', 36);
    const struct reply reply = rig_recover(&rig, ID2, buf_view(&rig.state));
    cr_assert_eq(reply.err.kind, ERR_NOT_FOUND, "%s", reply.err.msg);
    cr_assert(rig_destroy(&rig, ID2, true).is_ok);
    cr_assert(is_alive(agent), "an innocent process of the new boot");
    rig_restart(&rig);
    cr_assert(rig_recover(&rig, ID2, buf_view(&rig.state)).is_ok);
}

Test(life, a_handle_that_is_not_ours_is_refused_and_nobody_is_signalled)
{
    start_sleeper(ID);
    const pid_t agent = entry(ID)->agent_pid;
    rig_restart(&rig);
    struct err err = { 0 };
    struct driver_state state;
    cr_assert(driver_state_decode(buf_view(&rig.state), &state, &err));
    state.nonce[0] ^= 1;
    struct buf other = { 0 };
    driver_state_encode(&state, &other);
    struct reply reply = rig_recover(&rig, ID, buf_view(&other));
    cr_assert_eq(reply.err.kind, ERR_NOT_FOUND, "%s", reply.err.msg);
    other.data[20] ^= 1;
    reply = rig_recover(&rig, ID, buf_view(&other));
    cr_assert_eq(reply.err.kind, ERR_CORRUPT);
    reply = rig_recover(&rig, ID, view_str("{\"pid\":1}"));
    cr_assert_eq(reply.err.kind, ERR_INVALID);
    reply = rig_recover(&rig, ID, view_of("", 0));
    cr_assert_not(reply.is_ok);
    cr_assert_eq(tasks_count(rig.tasks), 0);
    cr_assert(is_alive(agent));
    buf_fini(&other);
    cr_assert(rig_recover(&rig, ID, buf_view(&rig.state)).is_ok);
}

Test(life, the_death_of_the_shim_is_the_death_of_the_task)
{
    for (int i = 0; i < 10; i++) {
        struct reply waiter = { .rig = &rig };
        rig_start_ok(&rig, ID,
                     "(setsid sh -c 'echo deep; while :; do sleep 0.01; done' &); echo up; "
                     "while :; do sleep 0.05; done");
        rig_read_until(&rig, "deep");
        const pid_t agent = entry(ID)->agent_pid;
        char *cgroup = str_copy(entry(ID)->cgroup_dir);
        (void)tasks_wait(rig.tasks, ID, on_result, &waiter);
        const struct mono start = mono_now();
        cr_assert_eq(kill(entry(ID)->shim.pid, SIGKILL), 0);
        rig_until(&rig, &waiter.is_done);
        cr_assert_lt(mono_diff_us(mono_now(), start), SLACK_MS * 1000);
        cr_assert(waiter.is_ok);
        cr_assert_eq(waiter.result.exit_code, -1);
        cr_assert_eq(strncmp(waiter.result.err, "supervisor lost", 15), 0, "%s", waiter.result.err);
        cr_assert_not(is_alive(agent));
        struct cgroup cg = CGROUP_NONE;
        struct cgroup_events now = { 0 };
        struct err err = { 0 };
        if (cgroup[0] && cgroup_open(cgroup, false, &cg, &err)) {
            cr_assert(cgroup_events(&cg, &now, &err));
            cr_assert_not(now.populated);
            cgroup_fini(&cg);
        }
        free(cgroup);
        cr_assert(rig_destroy(&rig, ID, true).is_ok);
    }
    cr_assert(strstr(rig.events, "supervisor lost"));
}

Test(life, a_shim_that_died_unseen_is_found_lost)
{
    start_sleeper(ID);
    const pid_t agent = entry(ID)->agent_pid, shim = entry(ID)->shim.pid;
    rig_end_tasks(&rig);
    kill_orphan(shim);
    rig_new_tasks(&rig);
    cr_assert(rig_recover(&rig, ID, buf_view(&rig.state)).is_ok);
    cr_assert_not(is_alive(agent));
    const struct reply got = rig_wait(&rig, ID);
    cr_assert_eq(got.result.exit_code, -1);
    cr_assert(strstr(got.result.err, "supervisor lost"));
}

Test(life, a_shim_that_hangs_is_killed_after_the_stop_budget)
{
    start_sleeper(ID);
    const pid_t agent = entry(ID)->agent_pid;
    cr_assert_eq(kill(entry(ID)->shim.pid, SIGSTOP), 0);
    const struct mono start = mono_now();
    cr_assert(rig_stop(&rig, ID, "", 500).is_ok);
    cr_assert_lt(mono_diff_us(mono_now(), start), (2500 + SLACK_MS) * 1000);
    cr_assert_not(is_alive(agent));
    cr_assert_eq(rig_wait(&rig, ID).result.exit_code, -1);
}

Test(life, a_driver_that_was_superseded_kills_nobody)
{
    start_sleeper(ID);
    const pid_t agent = entry(ID)->agent_pid;
    struct tasks *older = rig.tasks;
    rig_new_tasks(&rig);
    cr_assert(rig_recover(&rig, ID, buf_view(&rig.state)).is_ok);
    rig_run_ms(&rig, 1500);
    cr_assert(is_alive(agent));
    struct reply closed = { .rig = &rig };
    tasks_close(older, on_done, &closed);
    rig_until(&rig, &closed.is_done);
    tasks_free(older);
    rig_run_ms(&rig, 700);
    cr_assert(rig_stop(&rig, ID, "", 1000).is_ok);
    cr_assert_not(is_alive(agent));
}

Test(life, the_collector_never_sees_the_end_of_the_logs_while_an_older_copy_ends)
{
    start_sleeper(ID);
    rig_restart(&rig);
    struct reply started = { .rig = &rig };
    tasks_start(rig.tasks, rig_spec(&rig, ID2, "echo second; sleep 60"), on_started, &started);
    char text[64];
    while (!started.is_done) {
        cr_assert_neq(read(rig.out.raw, text, sizeof(text)), 0, "end of file");
        rig_run_ms(&rig, 1);
    }
    cr_assert(started.is_ok, "%s", started.err.msg);
    cr_assert(rig_destroy(&rig, ID2, true).is_ok);
}

/* Nomad knows both: the one whose start failed, and the one that was started in its place. */
Test(life, two_unknown_ids_of_one_task_are_destroyed_at_once)
{
    struct reply older = { .rig = &rig }, newer = { .rig = &rig };
    start_sleeper(ID2);
    const pid_t agent = entry(ID2)->agent_pid;
    rig_restart(&rig);
    tasks_destroy(rig.tasks, ID, true, on_done, &older);
    tasks_destroy(rig.tasks, ID2, true, on_done, &newer);
    rig_until(&rig, &older.is_done);
    rig_until(&rig, &newer.is_done);
    cr_assert(older.is_ok && newer.is_ok);
    cr_assert_not(is_alive(agent));
    cr_assert_eq(rig_count(&rig, "state/tasks"), 0);
    cr_assert_eq(tasks_count(rig.tasks), 0);
}

Test(life, an_unknown_id_with_a_launch_on_disk_is_destroyed)
{
    start_sleeper(ID);
    const pid_t agent = entry(ID)->agent_pid;
    rig_restart(&rig);
    cr_assert(rig_destroy(&rig, ID2, true).is_ok);
    cr_assert(rig_destroy(&rig, ID, false).is_ok);
    cr_assert(is_alive(agent), "another id, or no force");
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
    cr_assert_not(is_alive(agent));
    cr_assert_eq(rig_count(&rig, "state/tasks"), 0);
    cr_assert_eq(tasks_count(rig.tasks), 0);
}

Test(life, a_handle_of_another_task_is_refused)
{
    start_sleeper(ID);
    rig_restart(&rig);
    const struct reply reply = rig_recover(&rig, "other/web/11111111", buf_view(&rig.state));
    cr_assert_eq(reply.err.kind, ERR_INVALID, "%s", reply.err.msg);
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
}

/* A program in place of the shim, for what the real one never does. */
static void use_shim_script(const char *text)
{
    struct err err = { 0 };
    free(rig.tasks->rules->config.shim);
    rig.tasks->rules->config.shim = str_format("%s/shim.sh", rig.root);
    cr_assert(file_publish(AT_FDCWD, rig.tasks->rules->config.shim, view_str(text), 0755,
                           FILE_REPLACE, &err));
}

static void expect_nothing_left(void)
{
    struct cgroup cg = CGROUP_NONE;
    struct err err = { 0 };
    char own[CGROUP_PATH_MAX], key[TASK_KEY_BYTES];
    cr_assert_eq(rig_count(&rig, "state/tasks"), 0);
    cr_assert_eq(rig_count(&rig, "run"), 0);
    cr_assert_eq(tasks_count(rig.tasks), 0);
    if (!cgroup_own(own, &err))
        return;
    task_key(view_str(rig.alloc_id), view_str("web"), key);
    CLEANUP(str_freep) char *dir = str_format("%s/agent-%s", own, key);
    cr_assert_not(cgroup_open(dir, false, &cg, &err), "%s is left", dir);
}

Test(life, a_shim_that_dies_at_once_fails_the_start)
{
    use_shim_script("#!/bin/sh\nexit 3\n");
    const struct reply started = rig_start(&rig, rig_spec(&rig, ID, "true"));
    cr_assert_eq(started.err.kind, ERR_UNAVAILABLE); /* for want of memory, as a rule */
    cr_assert(strstr(started.err.msg, "the shim died"), "%s", started.err.msg);
    expect_nothing_left();
}

Test(life, a_shim_that_says_nothing_is_killed_and_fails_the_start)
{
    use_shim_script("#!/bin/sh\necho $$ > $(dirname $0)/pid\nexec sleep 65.125\n");
    const struct reply started = rig_start(&rig, rig_spec(&rig, ID, "true"));
    cr_assert_eq(started.err.kind, ERR_UNAVAILABLE, "%s", started.err.msg);
    struct buf text = { 0 };
    struct err err = { 0 };
    CLEANUP(str_freep) char *pid = str_format("%s/pid", rig.root);
    cr_assert(file_read(AT_FDCWD, pid, 64, &text, &err), "%s", err.msg);
    cr_assert_not(is_alive((pid_t)strtol(buf_borrow_str(&text), NULL, 10)));
    buf_fini(&text);
    expect_nothing_left();
}

Test(life, a_shim_that_cannot_be_executed_fails_the_start)
{
    use_shim_script("#!/no/such/interpreter\n");
    const struct reply started = rig_start(&rig, rig_spec(&rig, ID, "true"));
    cr_assert_not(started.is_ok);
    expect_nothing_left();
}

Test(life, a_recovery_that_gets_no_answer_signals_nobody)
{
    start_sleeper(ID);
    const pid_t agent = entry(ID)->agent_pid, shim = entry(ID)->shim.pid;
    cr_assert_eq(kill(shim, SIGSTOP), 0);
    rig_restart(&rig);
    const struct reply reply = rig_recover(&rig, ID, buf_view(&rig.state));
    cr_assert_eq(reply.err.kind, ERR_UNAVAILABLE, "%s", reply.err.msg);
    cr_assert(is_alive(agent));
    cr_assert_eq(kill(shim, SIGCONT), 0);
    cr_assert(rig_recover(&rig, ID, buf_view(&rig.state)).is_ok);
}

Test(life, calls_during_a_start_are_kept)
{
    struct reply started = { .rig = &rig }, stopped = { .rig = &rig }, gone = { .rig = &rig };
    tasks_start(rig.tasks, rig_spec(&rig, ID, "sleep 60"), on_started, &started);
    tasks_stop(rig.tasks, ID, "", 1000, on_done, &stopped);
    tasks_destroy(rig.tasks, ID, true, on_done, &gone);
    rig_until(&rig, &gone.is_done);
    cr_assert(started.is_ok && stopped.is_ok && gone.is_ok);
    cr_assert_eq(tasks_count(rig.tasks), 0);
    cr_assert_eq(rig_count(&rig, "state/tasks"), 0);
}

Test(life, a_sidecar_that_refuses_fails_the_task_with_its_reason)
{
    struct task_spec *spec = rig_spec(&rig, ID, "echo never");
    spec->config.has_state = true;
    spec->config.state.path = str_copy("local/state");
    spec->config.state.store = str_copy("file:///nowhere");
    spec->config.lease.ttl_ms = 1000;
    rig.config.sidecar = NULL;
    free(rig.tasks->rules->config.sidecar);
    rig.tasks->rules->config.sidecar = str_copy("/bin/false");
    const struct reply started = rig_start(&rig, spec);
    if (started.is_ok) {
        const struct reply got = rig_wait(&rig, ID);
        cr_assert_neq(got.result.exit_code, 0);
        cr_assert(strlen(got.result.err) > 0);
    }
    char text[16];
    cr_assert_leq(read(rig.out.raw, text, sizeof(text)), 0, "the agent has run");
}

static struct task_spec *spec_with_state(const char *id, const char *script)
{
    struct task_spec *spec = rig_spec(&rig, id, script);
    spec->config.has_state = true;
    spec->config.state.path = str_copy("local/state");
    spec->config.state.store = str_format("file://%s/store?create=true", rig.root);
    spec->config.lease.ttl_ms = 2000;
    return spec;
}

Test(life, an_agent_with_state_goes_on_where_it_stopped, .timeout = 120)
{
    CLEANUP(str_freep) char *shim = rig_real_shim();
    CLEANUP(str_freep)
    char *sidecar = str_format("%.*s-sidecar", (int)(strrchr(shim, '-') - shim), shim);
    if (access(sidecar, X_OK) != 0)
        cr_skip_test("%s is not built", sidecar);
    free(rig.tasks->rules->config.sidecar);
    rig.tasks->rules->config.sidecar = str_copy(sidecar);
    free(rig.tasks->rules->config.key_file);
    rig.tasks->rules->config.key_file = str_format("%s/key", rig.root);
    struct reply reply = rig_start(
        &rig,
        spec_with_state(ID, "echo one > $AGENT_STATE_DIR/f; echo epoch $AGENT_EPOCH; exit 3"));
    cr_assert(reply.is_ok, "%s", reply.err.msg);
    reply = rig_wait(&rig, ID);
    cr_assert_eq(reply.result.exit_code, 3, "%d %s; %s", reply.result.exit_code, reply.result.err,
                 rig.events);
    rig_read_until(&rig, "epoch 1");
    cr_assert(rig_destroy(&rig, ID, true).is_ok);
    struct err err = { 0 };
    CLEANUP(str_freep) char *state = str_format("%s/web/local/state", rig.alloc);
    cr_assert(dir_remove_tree(state, &err));
    reply = rig_start(&rig,
                      spec_with_state(ID2, "cat $AGENT_STATE_DIR/f; echo epoch $AGENT_EPOCH"));
    cr_assert(reply.is_ok, "%s", reply.err.msg);
    rig_read_until(&rig, "one\nepoch 2");
    reply = rig_wait(&rig, ID2);
    cr_assert_eq(reply.result.exit_code, 0, "%s", reply.result.err);
    cr_assert_str_eq(reply.result.err, "");
}

Test(life, a_state_without_any_store_is_refused)
{
    struct task_spec *spec = rig_spec(&rig, ID, "true");
    spec->config.has_state = true;
    spec->config.state.path = str_copy("local/state");
    free(rig.tasks->rules->config.sidecar);
    rig.tasks->rules->config.sidecar = str_copy("/bin/false");
    const struct reply started = rig_start(&rig, spec);
    cr_assert_eq(started.err.kind, ERR_INVALID);
    cr_assert(strstr(started.err.msg, "state.store"), "%s", started.err.msg);
    cr_assert_eq(rig_count(&rig, "state/tasks"), 0);
}
