// rooms: common/base common/proc common/cgroup common/shimwire programs: agent-shim puppet
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "tests/scenario/shim_rig.h"

TestSuite(shim_logs, .timeout = 60);

static void read_log(struct rig *rig, const char *name, struct buf *out)
{
    struct err err = { 0 };
    cr_assert(file_read(rig->log_dir.raw, name, 4 << 20, out, &err), "%s", err.msg);
    buf_put_u8(out, 0);
}

static void expect_log(struct rig *rig, const char *name, const char *text)
{
    CLEANUP(buf_fini) struct buf got = { 0 };
    read_log(rig, name, &got);
    cr_expect_str_eq((const char *)got.data, text);
}

static bool is_scribe_of(int pid, int shim)
{
    char path[64], text[256] = "";
    int parent = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    CLEANUP(fd_closep) struct fd file = { open(path, O_RDONLY | O_CLOEXEC) };
    const ssize_t len = read(file.raw, text, sizeof(text) - 1);
    return len > 0 && sscanf(text, "%*d (agent-scribe) %*c %d", &parent) == 1 && parent == shim;
}

/* The one other than `last`, which has died; waits for it. */
static int scribe_of(struct rig *rig, int last)
{
    const struct boot end = boot_add_ms(boot_now(), RIG_WAIT_MS);
    while (boot_diff_ms(end, boot_now()) > 0) {
        DIR *proc = opendir("/proc");
        int found = 0;
        for (struct dirent *entry; !found && (entry = readdir(proc)) != NULL;) {
            const int pid = (int)strtol(entry->d_name, NULL, 10);
            if (pid > 0 && pid != last && is_scribe_of(pid, rig->shim.pid))
                found = pid;
        }
        (void)closedir(proc);
        if (found)
            return found;
    }
    cr_assert_fail("there is no scribe");
    return 0;
}

static bool is_same_pidns(int pid)
{
    char path[64];
    struct stat ours, theirs;
    (void)snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
    return stat("/proc/self/ns/pid", &ours) == 0 && stat(path, &theirs) == 0 &&
           ours.st_ino == theirs.st_ino;
}

Test(shim_logs, are_complete_when_the_end_is_told)
{
    struct rig rig;
    rig_init(&rig, "echo hello; echo oh no >&2; exit 7");
    rig_add_logs(&rig);
    rig_start(&rig);
    cr_expect_eq(rig_exited(&rig, NULL).exit_code, 7);
    expect_log(&rig, "web.stdout.0", "hello\n");
    expect_log(&rig, "web.stderr.0", "oh no\n");
    cr_expect_eq(rig_shim_status(&rig), 0);
    rig_fini(&rig);
}

Test(shim_logs, rotate)
{
    struct rig rig;
    rig_init(&rig, "head -c 5500000 /dev/zero");
    rig_add_logs(&rig);
    rig_start(&rig);
    cr_expect_eq(rig_exited(&rig, NULL).exit_code, 0);
    struct stat st;
    cr_expect_neq(fstatat(rig.log_dir.raw, "web.stdout.2", &st, 0), 0, "three are kept");
    for (int i = 3; i < 6; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "web.stdout.%d", i);
        cr_assert_eq(fstatat(rig.log_dir.raw, name, &st, 0), 0, "%s", name);
        cr_expect_eq(st.st_size, i < 5 ? 1000000 : 500000, "%s", name);
    }
    rig_fini(&rig);
}

/* A FIFO in the rig's directory between agent and test; the agent's script opens it, too. */
static struct fd open_fifo(struct rig *rig, int how, char path[128])
{
    (void)snprintf(path, 128, "%s/fifo", rig->dir);
    struct fd fifo = { open(path, how | O_CLOEXEC) };
    cr_assert(fd_is_open(fifo));
    return fifo;
}

static void script_with_fifo(struct rig *rig, const char *format, char script[512])
{
    rig_init(rig, script);
    (void)snprintf(script, 512, "F=%s/fifo; %s", rig->dir, format);
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/fifo", rig->dir);
    cr_assert_eq(mkfifo(path, 0600), 0);
}

static bool is_said(const char *fifo)
{
    char path[160];
    (void)snprintf(path, sizeof(path), "%s.said", fifo);
    return access(path, F_OK) == 0;
}

Test(shim_logs, lose_and_repeat_nothing_when_scribes_are_killed)
{
    enum { LINES = 2000, KILLS = 20 };
    struct rig rig;
    char script[512], path[128];
    script_with_fifo(&rig,
                     "i=0; while read go; do n=0; while [ $n -lt 2000 ]; do echo line $i;"
                     " i=$((i+1)); n=$((n+1)); done; done < $F; exit 3",
                     script);
    rig_add_logs(&rig);
    rig_start(&rig);
    struct fd fifo = open_fifo(&rig, O_WRONLY, path);
    int scribe = 0;
    for (int i = 0; i < KILLS; i++) {
        scribe = scribe_of(&rig, scribe);
        cr_expect(is_same_pidns(scribe), "the agent's own root could kill it");
        cr_assert_eq(write(fifo.raw, "go\n", 3), 3);
        for (int n = 0; n < i * 7; n++)
            (void)sched_yield();
        cr_assert_eq(kill(scribe, SIGKILL), 0);
    }
    fd_closep(&fifo);
    cr_expect_eq(rig_exited(&rig, NULL).exit_code, 3);
    CLEANUP(buf_fini) struct buf got = { 0 };
    read_log(&rig, "web.stdout.0", &got);
    const char *at = (const char *)got.data;
    for (int i = 0; i < KILLS * LINES; i++) {
        char line[32];
        const int len = snprintf(line, sizeof(line), "line %d\n", i);
        cr_assert_eq(strncmp(at, line, (size_t)len), 0, "%s is not where it belongs", line);
        at += len;
    }
    cr_expect_eq(*at, '\0');
    rig_fini(&rig);
}

/* The agent is still born in its own namespace after a scribe was born outside. */
Test(shim_logs, a_scribe_that_dies_before_the_gate_changes_nothing_for_the_agent)
{
    struct rig rig;
    if (geteuid() != 0)
        cr_skip_test("needs the right to make a PID namespace");
    rig_init(&rig, "echo $$");
    rig_add_logs(&rig);
    rig_add_sidecar(&rig);
    rig_start(&rig);
    const int first = scribe_of(&rig, 0);
    cr_assert_eq(kill(first, SIGKILL), 0);
    const int second = scribe_of(&rig, first);
    cr_expect(is_same_pidns(second));
    cr_expect(rig_open_gate(&rig, 10000));
    (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_EXITED);
    rig_sidecar_leaves(&rig, 0, 0);
    cr_expect_eq(rig_exited(&rig, NULL).exit_code, 0);
    expect_log(&rig, "web.stdout.0", "2\n");
    rig_fini(&rig);
}

Test(shim_logs, a_scribe_that_hangs_holds_up_the_end_for_two_seconds_at_most)
{
    struct rig rig;
    rig_init(&rig, "echo hello");
    rig_add_logs(&rig);
    rig_add_sidecar(&rig);
    rig_start(&rig);
    cr_assert_eq(kill(scribe_of(&rig, 0), SIGSTOP), 0);
    cr_expect(rig_open_gate(&rig, 10000));
    (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_EXITED);
    rig_sidecar_leaves(&rig, 0, 0);
    const struct boot before = boot_now();
    cr_expect_eq(rig_exited(&rig, NULL).cause, EXIT_EXITED);
    cr_expect_leq(boot_diff_ms(boot_now(), before), 4000);
    rig_fini(&rig);
}

Test(shim_logs, a_scribe_that_hangs_does_not_hold_up_the_fence)
{
    struct rig rig;
    rig_init(&rig, "while :; do echo busy; done");
    rig_add_logs(&rig);
    rig_add_sidecar(&rig);
    rig_start(&rig);
    cr_assert_eq(kill(scribe_of(&rig, 0), SIGSTOP), 0);
    cr_expect(rig_open_gate(&rig, 10000));
    (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_STARTED);
    cr_expect(rig_arm(&rig, 7, 10300));
    const struct boot before = boot_now();
    rig_tell(rig.sidecar.raw, (struct shim_msg){ .type = SHIM_FENCE });
    (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_EXITED);
    cr_expect_leq(boot_diff_ms(boot_now(), before), 1000, "the agent died too late");
    rig_sidecar_leaves(&rig, 0, 0);
    cr_expect_eq(rig_exited(&rig, NULL).cause, EXIT_FENCED);
    rig_fini(&rig);
}

Test(shim_logs, a_killed_shim_leaves_a_scribe_that_writes_the_last_words_and_ends)
{
    struct rig rig;
    char script[512], path[128];
    if (geteuid() != 0)
        cr_skip_test("without a PID namespace the agent may live on with the pipe");
    script_with_fifo(&rig, "read go < $F; echo last words; echo > $F.said; kill -STOP $$", script);
    rig_add_logs(&rig);
    rig_start(&rig);
    const int scribe = scribe_of(&rig, 0);
    CLEANUP(fd_closep) struct fd pidfd = { (int)syscall(SYS_pidfd_open, scribe, 0) };
    cr_assert(fd_is_open(pidfd));
    cr_assert_eq(kill(scribe, SIGSTOP), 0);
    CLEANUP(fd_closep) struct fd fifo = open_fifo(&rig, O_RDWR, path);
    cr_assert_eq(write(fifo.raw, "go\n", 3), 3);
    while (!is_said(path)) /* the test's own time ends it */
        (void)sched_yield();
    cr_assert_eq(kill(rig.shim.pid, SIGKILL), 0);
    cr_assert_eq(kill(scribe, SIGCONT), 0);
    struct pollfd end = { .fd = pidfd.raw, .events = POLLIN };
    cr_expect_eq(poll(&end, 1, RIG_WAIT_MS), 1, "the scribe lives on");
    expect_log(&rig, "web.stdout.0", "last words\n");
    rig_fini(&rig);
}

Test(shim_logs, scribes_that_always_die_are_given_up_and_the_pipes_break)
{
    struct rig rig;
    rig_init(&rig, "trap '' HUP; while echo x 2>/dev/null; do :; done; exit 9");
    rig_add_logs(&rig);
    rig_start(&rig);
    int scribe = 0;
    for (int i = 0; i < 100; i++) {
        scribe = scribe_of(&rig, scribe);
        cr_assert_eq(kill(scribe, SIGKILL), 0);
    }
    const struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect(rec.signal == SIGPIPE || rec.exit_code == 9, "code %d", (int)rec.exit_code);
    rig_fini(&rig);
}
