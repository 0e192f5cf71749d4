#include "driver/enter/enter.h"

#include "common/base/own.h"
#include "common/shimwire/msg.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EXIT_UNHEARD 75 /* the answer could not be given */

bool enter_take_spec(struct enter *enter, struct err *err)
{
    struct stat st;
    enter->child.agent = FD_NONE;
    enter->tree.agent = enter->tree.own = CGROUP_NONE;
    enter->command = PROC_NONE;
    if (!fd_is_sealed(EXEC_FD_SPEC) || fstat(EXEC_FD_SPEC, &st) != 0 || st.st_size == 0 ||
        (size_t)st.st_size > SHIM_SPEC_BYTES_MAX)
        return err_set(err, ERR_INVALID, "start: descriptor %d is no sealed exec spec",
                       EXEC_FD_SPEC);
    void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, EXEC_FD_SPEC, 0);
    if (bytes == MAP_FAILED)
        return err_sys(err, errno, "start: map the exec spec");
    enter->spec_bytes = view_of(bytes, (size_t)st.st_size);
    return exec_spec_decode(enter->spec_bytes, &enter->store, &enter->spec, err);
}

/* Nobody in the task may look at us: our memory holds the environment, our descriptors lead out.
 * Without root there is no such border, and what is not dumpable may not write in its own /proc. */
static bool become_helper(struct err *err)
{
    (void)setsid(); /* refused when the driver has made us a leader already */
    if (geteuid() == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return err_sys(err, errno, "become undumpable");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        return err_sys(err, errno, "become subreaper");
    int error = proc_cloexec_from(EXEC_FD_SPEC);
    return error == 0 || err_sys(err, error, "keep descriptors from the command");
}

static bool spawn(struct enter *enter, struct err *err)
{
    int cgroup_fd = enter->tree.own.dir.raw;
    return enter_child_spawn(&enter->child, cgroup_fd, enter->is_again, &enter->command, err);
}

/* The command has it all now: what would keep its pipes open, and its environment, goes. */
static void drop_spec(struct enter *enter)
{
    for (int fd = EXEC_FD_STDIN; fd <= EXEC_FD_STDERR; fd++)
        (void)close(fd);
    (void)close(EXEC_FD_SPEC);
    fd_closep(&enter->command.report);
    (void)munmap((void *)(uintptr_t)enter->spec_bytes.data, enter->spec_bytes.len);
    enter->spec_bytes = (struct view){ 0 };
    memset(&enter->spec, 0, sizeof(enter->spec));
    enter->is_executed = true;
}

static void reap(struct enter *enter)
{
    int status;
    if (enter->command.pid != 0)
        while (waitpid(enter->command.pid, &status, 0) < 0 && errno == EINTR)
            continue;
    proc_fini(&enter->command);
}

/* The report has something to say. False with `err` filled when the command will not run. */
static bool hear_report(struct enter *enter, struct err *err)
{
    struct proc_failure why = { 0, 0, -1 };
    switch (proc_progress(&enter->command, &why)) {
    case PROC_PENDING:
        return true;
    case PROC_EXECUTED:
        drop_spec(enter);
        return true;
    case PROC_FAILED:
        break;
    }
    bool is_birth = why.stage == PROC_STAGE_BIRTH && !enter->is_again && !enter->is_killed &&
                    cgroup_is_open(&enter->tree.own);
    if (!is_birth)
        return enter_child_error(&enter->child, &why, err);
    reap(enter);
    enter->is_again = true;
    return spawn(enter, err);
}

/* Freezing does not keep a kill away. */
static bool kill_all(struct enter *enter, struct err *err)
{
    struct err why = { 0 };
    bool is_sent = enter->command.pid == 0 || proc_signal(&enter->command, SIGKILL, &why);
    (void)is_sent;
    return enter_tree_empty(&enter->tree, enter->command.pid, err);
}

/* A socket that can be read from has been hung up: the driver says nothing on it. */
static void on_control(struct enter *enter)
{
    struct err why = { 0 };
    enter->is_killed = true;
    bool is_empty = kill_all(enter, &why); /* and once more at the end, which says how it went */
    (void)is_empty;
}

/* Until the command has ended, or is known not to run. */
static bool wait_command(struct enter *enter, struct err *err)
{
    for (;;) {
        struct pollfd table[] = {
            { .fd = enter->command.pidfd.raw, .events = POLLIN },
            { .fd = enter->is_executed ? -1 : enter->command.report.raw, .events = POLLIN },
            { .fd = enter->is_killed ? -1 : EXEC_FD_CONTROL, .events = POLLIN },
        };
        if (poll(table, COUNT(table), -1) < 0 && errno != EINTR)
            return err_sys(err, errno, "wait for the command");
        if (table[2].revents != 0)
            on_control(enter);
        /* Before the end: a failure to execute is reported and then ends the process. */
        if (table[1].revents != 0 && !hear_report(enter, err))
            return false;
        if (table[0].revents != 0 && enter->is_executed)
            return true;
    }
}

static bool run(struct enter *enter, struct err *err)
{
    const struct exec_spec *spec = &enter->spec;
    return become_helper(err) && enter_child_open(&enter->child, spec, err) &&
           enter_tree_open(&enter->tree, spec->cgroup_dir, spec->cgroup_name, err) &&
           spawn(enter, err) && wait_command(enter, err);
}

/* Not reaped before everything is empty: its number names its session until then. */
static void fill_end(struct enter *enter, struct shim_msg *out)
{
    siginfo_t info = { 0 };
    (void)waitid(P_PIDFD, (id_t)enter->command.pidfd.raw, &info, WEXITED | WNOWAIT);
    bool is_signal = info.si_code == CLD_KILLED || info.si_code == CLD_DUMPED;
    out->exec.signal = is_signal ? info.si_status : 0;
    out->exec.exit_code = is_signal ? 128 + info.si_status : info.si_status;
    out->exec.oom_killed = info.si_status == SIGKILL && is_signal &&
                           enter_tree_has_oom(&enter->tree);
}

static int tell(const struct shim_msg *msg)
{
    uint8_t bytes[SHIM_MSG_MAX];
    size_t len = shim_msg_encode(msg, bytes);
    return send(EXEC_FD_CONTROL, bytes, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : EXIT_UNHEARD;
}

int enter_live(struct enter *enter)
{
    struct shim_msg end = { .type = SHIM_EXEC_ENDED };
    struct err why = { 0 }, left = { 0 };
    bool has_run = run(enter, &why);
    if (has_run)
        fill_end(enter, &end);
    if (!kill_all(enter, &left) && has_run) {
        why = left;
        has_run = false;
    }
    reap(enter);
    enter_tree_close(&enter->tree);
    enter_child_fini(&enter->child);
    if (!has_run) {
        end.exec.kind = (uint8_t)why.kind;
        shim_text_copy(end.exec.text, why.msg);
    }
    return tell(&end);
}
