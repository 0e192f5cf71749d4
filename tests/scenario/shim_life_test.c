// rooms: common/base common/proc common/cgroup common/shimwire programs: agent-shim puppet
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/own.h"
#include "common/cgroup/cgroup.h"
#include "tests/scenario/shim_rig.h"

static void fclosep(FILE **file)
{
    if (*file != NULL)
        (void)fclose(*file);
}

TestSuite(shim_life, .timeout = 60);

Test(shim_life, a_plain_task_runs_ends_and_is_recorded)
{
    struct rig rig;
    rig_init(&rig, "echo hello; exit 7");
    rig_start(&rig);
    struct shim_msg state = rig_phase(&rig, SHIM_PHASE_RUNNING);
    cr_expect_gt(state.state.agent_pid, 0);
    cr_expect_gt(state.state.agent_start_ticks, 0);
    cr_expect_eq(state.state.shim_pid, (uint32_t)rig.shim.pid);
    cr_expect_str_eq(rig_line(&rig), "hello");
    struct exit_record rec = rig_exited(&rig, NULL), disk;
    cr_expect_eq(rec.cause, EXIT_EXITED);
    cr_expect_eq(rec.exit_code, 7);
    cr_expect_eq(rec.agent_pid, state.state.agent_pid);
    cr_expect_geq(rec.ended.ns, rec.started.ns);
    cr_expect(rig_record(&rig, &disk)); /* durable before it is told */
    cr_expect_eq(disk.exit_code, 7);
    cr_expect_eq(rig_shim_status(&rig), 0);
    rig_fini(&rig);
}

Test(shim_life, the_log_pipes_are_closed_when_exited_is_said)
{
    struct rig rig;
    rig_init(&rig, "sleep 60 & exit 0"); /* the leftover holds the pipe */
    rig_start(&rig);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect(rig_output_ends(&rig, 0), "somebody still holds the pipe");
    cr_expect_eq(rec.cause, EXIT_EXITED);
    rig_fini(&rig);
}

Test(shim_life, a_signal_of_its_own_is_told_as_such)
{
    struct rig rig;
    rig_init(&rig, "kill -SEGV $$");
    rig_start(&rig);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_SIGNALED);
    cr_expect_eq(rec.signal, SIGSEGV);
    cr_expect_eq(rec.exit_code, 128 + SIGSEGV);
    rig_fini(&rig);
}

Test(shim_life, the_agent_has_exactly_three_descriptors)
{
    struct rig rig;
    rig_init(&rig, "i=0; while [ $i -lt 300 ]; do [ -e /proc/$$/fd/$i ] && echo $i; i=$((i+1)); "
                   "done; echo end");
    rig_start(&rig);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(rig_line(&rig)[0], '0' + i);
    cr_expect_str_eq(rig_line(&rig), "end");
    (void)rig_exited(&rig, NULL);
    rig_fini(&rig);
}

Test(shim_life, the_agent_starts_with_clean_signals)
{
    struct rig rig;
    rig_init(&rig, "while read k v; do case $k in Sig[BI]*) echo $v;; esac; done </proc/$$/status");
    rig_start(&rig);
    for (int i = 0; i < 2; i++)
        cr_expect_str_eq(rig_line(&rig), "0000000000000000"); /* 32 and 33 included */
    (void)rig_exited(&rig, NULL);
    rig_fini(&rig);
}

Test(shim_life, the_environment_is_exactly_as_given)
{
    struct rig rig;
    rig_init(&rig, "tr '\\0' '\\n' </proc/$$/environ; echo end");
    rig.agent_envp[1] = "AGENT_EPOCH=mine";
    rig.agent_envp[2] = "EMPTY=";
    rig_start(&rig);
    cr_expect_str_eq(rig_line(&rig), "PATH=/bin:/usr/bin");
    cr_expect_str_eq(rig_line(&rig), "AGENT_EPOCH=mine"); /* no gate: none of ours */
    cr_expect_str_eq(rig_line(&rig), "EMPTY=");
    cr_expect_str_eq(rig_line(&rig), "end");
    (void)rig_exited(&rig, NULL);
    rig_fini(&rig);
}

Test(shim_life, behind_a_gate_epoch_and_checkpoint_are_added)
{
    struct rig rig;
    rig_init(&rig, "tr '\\0' '\\n' </proc/$$/environ; echo end; exec sleep 60");
    rig.agent_envp[1] = "AGENT_EPOCH=stale";
    rig_add_sidecar(&rig);
    rig_start(&rig);
    cr_assert(rig_open_gate(&rig, 60000));
    cr_expect_str_eq(rig_line(&rig), "PATH=/bin:/usr/bin");
    cr_expect_str_eq(rig_line(&rig), "AGENT_EPOCH=7");
    cr_expect_str_eq(rig_line(&rig), "AGENT_RESTORED=c-42");
    cr_expect_str_eq(rig_line(&rig), "end");
    rig_fini(&rig);
}

Test(shim_life, a_program_that_cannot_run_says_where_and_why)
{
    static const struct {
        const char *path, *cwd, *text;
        int code;
    } rows[] = {
        { "/does/not/exist", "/", "execute \"/does/not/exist\": No such file or directory", 127 },
        { "/etc/passwd", "/", "execute \"/etc/passwd\": Permission denied", 126 },
        { "/bin/sh", "/no", "enter the working directory \"/no\": No such file or directory", 127 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig rig;
        rig_init(&rig, "true");
        rig.agent_argv[0] = rows[i].path;
        rig.spec.cwd = rows[i].cwd;
        rig_start(&rig);
        struct exit_record rec = rig_exited(&rig, NULL);
        cr_expect_eq(rec.cause, EXIT_EXEC_FAILED);
        cr_expect_str_eq(rec.message, rows[i].text);
        cr_expect_gt(rec.stage, 0);
        cr_expect_eq(exit_record_status(&rec), rows[i].code);
        rig_fini(&rig);
    }
}

Test(shim_life, a_polite_agent_is_stopped)
{
    struct rig rig;
    rig_init(&rig, "trap 'echo bye; exit 3' INT; echo up; while :; do sleep 0.01; done");
    rig_start(&rig);
    cr_expect_str_eq(rig_line(&rig), "up");
    rig_tell(rig.driver.raw,
             (struct shim_msg){ .type = SHIM_STOP, .stop = { SIGINT, RIG_WAIT_MS } });
    cr_expect_str_eq(rig_line(&rig), "bye");
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_STOPPED);
    cr_expect_eq(rec.exit_code, 3);
    rig_fini(&rig);
}

Test(shim_life, an_agent_that_ignores_the_signal_is_killed_with_all_its_children)
{
    struct rig rig;
    rig_init(&rig, "trap '' TERM; (trap '' TERM; setsid sh -c 'sleep 60 & wait' &) ; echo up; "
                   "while :; do sleep 0.01; done");
    rig_start(&rig);
    cr_expect_str_eq(rig_line(&rig), "up");
    struct boot asked = boot_now();
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_STOP, .stop = { SIGTERM, 500 } });
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_STOP, .stop = { SIGTERM, 5000 } });
    (void)rig_phase(&rig, SHIM_PHASE_KILLING);
    cr_expect_geq(boot_diff_ms(boot_now(), asked), 499); /* its time is its own */
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_KILLED);
    cr_expect_eq(rec.signal, SIGKILL);
    cr_expect(rig_output_ends(&rig, 0));
    rig_fini(&rig);
}

Test(shim_life, a_stop_with_no_time_kills_at_once)
{
    struct rig rig;
    rig_init(&rig, "trap '' TERM; echo up; while :; do sleep 0.01; done");
    rig_start(&rig);
    cr_expect_str_eq(rig_line(&rig), "up");
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_STOP });
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_KILLED);
    rig_fini(&rig);
}

Test(shim_life, a_signal_for_the_agent_reaches_it)
{
    struct rig rig;
    rig_init(&rig, "trap 'echo usr1' USR1; echo up; while :; do sleep 0.01; done");
    rig_start(&rig);
    cr_expect_str_eq(rig_line(&rig), "up");
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_SIGNAL, .signal = { SIGUSR1 } });
    cr_expect_str_eq(rig_line(&rig), "usr1");
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_KILL });
    cr_expect_eq(rig_exited(&rig, NULL).cause, EXIT_KILLED);
    rig_fini(&rig);
}

Test(shim_life, a_new_driver_is_told_the_state_and_may_stop)
{
    struct rig rig;
    rig_init(&rig, "echo up; while :; do sleep 0.01; done");
    rig_start(&rig);
    struct shim_msg before = rig_phase(&rig, SHIM_PHASE_RUNNING);
    fd_closep(&rig.driver);
    rig.driver = rig_connect(&rig);
    struct shim_msg after = rig_phase(&rig, SHIM_PHASE_RUNNING);
    cr_expect_eq(after.state.agent_pid, before.state.agent_pid);
    cr_expect_eq(after.state.agent_start_ticks, before.state.agent_start_ticks);
    cr_expect_arr_eq(after.state.nonce, rig.spec.nonce, SHIM_NONCE_BYTES);
    struct fd third = rig_connect(&rig); /* the newest is the driver, the older is let go */
    char byte;
    ssize_t got;
    do
        got = recv(rig.driver.raw, &byte, 1, 0);
    while (got > 0);
    cr_expect_eq(got, 0);
    fd_closep(&rig.driver);
    rig.driver = third;
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_HELLO });
    (void)rig_phase(&rig, SHIM_PHASE_RUNNING);
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_STOP, .stop = { 0, 1000 } });
    cr_expect_eq(rig_exited(&rig, NULL).cause, EXIT_STOPPED);
    rig_fini(&rig);
}

Test(shim_life, without_a_driver_it_records_and_ends)
{
    struct rig rig;
    rig_init(&rig, "exit 5");
    rig_start(&rig);
    fd_closep(&rig.driver);
    cr_expect_eq(rig_shim_status(&rig), 0);
    struct exit_record disk;
    cr_assert(rig_record(&rig, &disk));
    cr_expect_eq(disk.exit_code, 5);
    cr_expect_eq(access(rig.sock, F_OK), -1); /* nothing stale is left */
    rig_fini(&rig);
}

Test(shim_life, a_full_disk_is_said_and_the_end_is_still_told)
{
    struct rig rig;
    char full[128], path[160], filler[160];
    rig_init(&rig, "exit 4");
    (void)snprintf(full, sizeof(full), "%s/full", rig.dir);
    (void)snprintf(path, sizeof(path), "%s/exit", full);
    (void)snprintf(filler, sizeof(filler), "%s/filler", full);
    cr_assert_eq(mkdir(full, 0700), 0);
    if (mount("tmpfs", full, "tmpfs", 0, "size=64k") != 0)
        cr_skip_test("needs the right to mount");
    CLEANUP(fd_closep) struct fd fill = { open(filler, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) };
    char block[4096] = { 0 };
    while (write(fill.raw, block, sizeof(block)) > 0)
        continue;
    rig.spec.record_path = path;
    rig_start(&rig);
    bool recorded = true;
    struct exit_record rec = rig_exited(&rig, &recorded);
    cr_expect_not(recorded);
    cr_expect_eq(rec.exit_code, 4);
    cr_expect_not_null(strstr(rec.message, "No space left"), "%s", rec.message);
    cr_expect_eq(access(path, F_OK), -1);
    fd_closep(&fill);
    cr_expect_eq(umount2(full, MNT_DETACH), 0);
    rig_fini(&rig);
}

Test(shim_life, garbage_is_ignored_and_counted)
{
    struct rig rig;
    rig_init(&rig, "echo up; while :; do sleep 0.01; done");
    rig_start(&rig);
    cr_expect_str_eq(rig_line(&rig), "up");
    static const char *const garbage[] = { "", "x", "\1\3aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                           "\377" };
    for (size_t i = 0; i < COUNT(garbage); i++)
        cr_assert_geq(send(rig.driver.raw, garbage[i], strlen(garbage[i]), 0), 0);
    struct shim_msg arm = { .type = SHIM_ARM }; /* not the driver's to say */
    rig_tell(rig.driver.raw, arm);
    char big[4000] = { 1, 33 };
    cr_assert_eq(send(rig.driver.raw, big, sizeof(big), 0), (ssize_t)sizeof(big));
    struct shim_msg said;
    do
        said = rig_from_shim(&rig, rig.driver.raw, SHIM_EVENT);
    while (strcmp(said.event.text, "ignored 4 bad messages") != 0);
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_KILL });
    (void)rig_exited(&rig, NULL);
    rig_fini(&rig);
}

Test(shim_life, standalone_it_is_the_agent_to_its_caller)
{
    static const struct {
        const char *script;
        int code;
    } rows[] = { { "exit 0", 0 }, { "exit 9", 9 }, { "kill -KILL $$", 137 } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct rig rig;
        rig_init(&rig, rows[i].script);
        rig.spec.flags = SHIM_STANDALONE;
        rig.spec.record_path = "";
        rig.spec.socket_path = "";
        rig_start(&rig);
        cr_expect_eq(rig_shim_status(&rig), rows[i].code);
        rig_fini(&rig);
    }
}

Test(shim_life, standalone_sigterm_is_a_stop)
{
    struct rig rig;
    rig_init(&rig, "trap 'exit 6' TERM; echo up; while :; do sleep 0.01; done");
    rig.spec.flags = SHIM_STANDALONE;
    rig_start(&rig);
    cr_expect_str_eq(rig_line(&rig), "up");
    cr_expect_eq(getsid(rig.shim.pid), getsid(0)); /* so ^C reaches it */
    cr_assert_eq(kill(rig.shim.pid, SIGTERM), 0);
    cr_expect_eq(rig_shim_status(&rig), 6);
    rig_fini(&rig);
}

/* The agent's environment in the memory of another process, as a debugger would look for it. */
static bool holds_text(pid_t pid, const char *text)
{
    char path[64], line[512];
    static char page[1 << 16];
    (void)snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    CLEANUP(fclosep) FILE *maps = fopen(path, "re");
    (void)snprintf(path, sizeof(path), "/proc/%d/mem", (int)pid);
    CLEANUP(fd_closep) struct fd mem = { open(path, O_RDONLY | O_CLOEXEC) };
    cr_assert(maps != NULL && fd_is_open(mem));
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long from = 0, to = 0;
        if (sscanf(line, "%lx-%lx r", &from, &to) != 2 || to - from > (64UL << 20))
            continue;
        for (unsigned long at = from; at < to; at += sizeof(page)) {
            size_t want = to - at < sizeof(page) ? to - at : sizeof(page);
            ssize_t got = pread(mem.raw, page, want, (off_t)at);
            if (got > 0 && memmem(page, (size_t)got, text, strlen(text)) != NULL)
                return true;
        }
    }
    return false;
}

Test(shim_life, the_environment_is_not_kept)
{
    struct rig rig;
    char canary[64], whole[96];
    rig_init(&rig, "echo up; while :; do sleep 0.01; done"); /* not in the middle of an exec */
    (void)snprintf(canary, sizeof(canary), "can%s-%d", "ary", getpid());
    (void)snprintf(whole, sizeof(whole), "SECRET=%s", canary);
    rig.agent_envp[1] = whole;
    rig_start(&rig);
    cr_expect_str_eq(rig_line(&rig), "up");
    struct shim_msg state = rig_phase(&rig, SHIM_PHASE_RUNNING);
    cr_expect(holds_text((pid_t)state.state.agent_pid, canary)); /* the search works */
    cr_expect_not(holds_text(rig.shim.pid, canary));
    rig_fini(&rig);
}

Test(shim_life, what_it_cannot_set_up_is_an_error_and_nothing_runs)
{
    struct rig rig;
    rig_init(&rig, "echo never");
    rig.spec.cgroup_dir = "/tmp/not-a-cgroup";
    rig_start(&rig);
    struct exit_record rec = rig_exited(&rig, NULL), disk;
    cr_expect_eq(rec.cause, EXIT_SHIM_ERROR);
    cr_expect_not_null(strstr(rec.message, "cgroup"), "%s", rec.message);
    cr_expect(rig_record(&rig, &disk));
    cr_expect(rig_output_ends(&rig, 1000));
    rig_fini(&rig);
}

Test(shim_life, a_cgroup_that_was_killed_once_is_no_obstacle)
{
    struct err err = { 0 };
    struct rig rig;
    struct cgroup cg;
    rig_init(&rig, "echo up; exec sleep 60");
    rig_add_cgroup(&rig);
    cr_assert(cgroup_open(rig.cgroup, true, &cg, &err), "%s", err.msg);
    cr_assert(cgroup_kill(&cg, &err), "%s", err.msg);
    rig_start(&rig);
    cr_expect_str_eq(rig_line(&rig), "up");
    struct cgroup_events now;
    cr_assert(cgroup_events(&cg, &now, &err));
    cr_expect(now.populated);
    cgroup_fini(&cg);
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_KILL });
    cr_expect_eq(rig_exited(&rig, NULL).cause, EXIT_KILLED);
    rig_fini(&rig);
}

Test(shim_life, the_agent_leads_a_session_of_its_own)
{
    struct rig rig;
    rig_init(&rig, "echo up; exec sleep 60");
    rig_start(&rig);
    struct shim_msg state = rig_phase(&rig, SHIM_PHASE_RUNNING);
    pid_t agent = (pid_t)state.state.agent_pid;
    cr_expect_eq(getsid(agent), agent); /* kill(0, ...) of the agent stays with the agent */
    cr_expect_eq(getsid(rig.shim.pid), rig.shim.pid);
    rig_fini(&rig);
}

static void start_as_nobody(struct rig *rig, const char *script)
{
    if (geteuid() != 0)
        cr_skip_test("needs root to become somebody else");
    rig_init(rig, script);
    cr_assert_eq(chown(rig->dir, 65534, 65534), 0);
    rig->shim_uid = rig->spec.uid = rig->spec.gid = 65534;
    rig_start(rig);
    struct shim_msg state = rig_phase(rig, SHIM_PHASE_RUNNING);
    cr_expect_eq(state.state.containment, SHIM_CONTAINED_PDEATH);
}

Test(shim_life, without_privileges_it_still_gets_the_whole_tree)
{
    struct rig rig;
    start_as_nobody(&rig, "trap '' TERM; (setsid sh -c 'trap \"\" TERM; sleep 60 & wait' &) ; "
                          "echo up; while :; do sleep 0.01; done");
    cr_expect_str_eq(rig_line(&rig), "up");
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_STOP, .stop = { SIGTERM, 200 } });
    struct exit_record rec = rig_exited(&rig, NULL), disk;
    cr_expect_eq(rec.cause, EXIT_KILLED);
    cr_expect(rig_output_ends(&rig, 0), "something of the tree lives on");
    cr_expect(rig_record(&rig, &disk));
    rig_fini(&rig);
}

/* Each generation becomes ours only when its parent has died. */
Test(shim_life, without_privileges_a_deep_tree_is_killed_at_once)
{
    struct rig rig;
    start_as_nobody(&rig,
                    "f() { if [ $1 -gt 0 ]; then (f $(($1 - 1)); :) ; else echo deep; sleep 60; "
                    "fi; :; }; f 50; :");
    cr_expect_str_eq(rig_line(&rig), "deep");
    struct mono start = mono_now();
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_KILL });
    cr_expect_eq(rig_exited(&rig, NULL).cause, EXIT_KILLED);
    cr_expect_lt(mono_diff_us(mono_now(), start), 1500000); /* 50 rounds of 100 ms are 5 s */
    cr_expect(rig_output_ends(&rig, 0), "something of the tree lives on");
    rig_fini(&rig);
}

Test(shim_life, without_privileges_the_main_process_dies_with_the_shim)
{
    struct rig rig;
    start_as_nobody(&rig, "echo up; exec sleep 60");
    cr_expect_str_eq(rig_line(&rig), "up");
    cr_assert_eq(kill(rig.shim.pid, SIGKILL), 0);
    cr_expect(rig_output_ends(&rig, 1000));
    rig_fini(&rig);
}

Test(shim_life, without_privileges_another_user_cannot_be_had)
{
    struct rig rig;
    if (geteuid() != 0)
        cr_skip_test("needs root to become somebody else");
    rig_init(&rig, "echo never");
    cr_assert_eq(chown(rig.dir, 65534, 65534), 0);
    rig.shim_uid = 65534;
    rig_start(&rig);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_EXEC_FAILED);
    cr_expect_str_eq(rec.message, "set groups \"/bin/sh\": Operation not permitted");
    rig_fini(&rig);
}

Test(shim_life, the_cgroup_that_it_made_is_removed_by_it)
{
    struct rig rig;
    rig_init(&rig, "sleep 60 & exit 0");
    rig_add_cgroup(&rig);
    rig_start(&rig);
    struct shim_msg state = rig_phase(&rig, SHIM_PHASE_RUNNING);
    cr_expect(state.state.containment & SHIM_CONTAINED_CGROUP);
    (void)rig_exited(&rig, NULL);
    cr_expect_eq(access(rig.cgroup, F_OK), -1);
    rig_fini(&rig);
}
