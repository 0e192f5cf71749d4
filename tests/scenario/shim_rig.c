#include "tests/scenario/shim_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/base/buf.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/cgroup/cgroup.h"

static const char *const no_env[] = { NULL };

static struct boot until(int64_t ms) { return boot_add_ms(boot_now(), ms); }

/* True when `fd` has `events` before `end`. */
static bool ready(int fd, short events, struct boot end)
{
    for (;;) {
        int64_t left = boot_diff_ms(end, boot_now());
        struct pollfd wait = { .fd = fd, .events = events };
        int got = poll(&wait, 1, left < 0 ? 0 : (int)left);
        if (got > 0)
            return true;
        if (got == 0 && left <= 0)
            return false;
    }
}

static struct fd listen_at(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    memcpy(at.sun_path, path, strlen(path) + 1);
    struct fd sock = { socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    cr_assert_eq(bind(sock.raw, (const struct sockaddr *)&at, sizeof(at)), 0);
    cr_assert_eq(listen(sock.raw, 4), 0);
    return sock;
}

void rig_init(struct rig *rig, const char *script)
{
    memset(rig, 0, sizeof(*rig));
    rig->driver = rig->output = rig->sidecar = rig->strings = rig->puppets = FD_NONE;
    rig->shim_err = rig->log_dir = FD_NONE;
    rig->shim = PROC_NONE;
    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/shim-rig-XXXXXX");
    cr_assert_not_null(mkdtemp(rig->dir));
    cr_assert_eq(chmod(rig->dir, 0755), 0);
    (void)snprintf(rig->record, sizeof(rig->record), "%s/exit", rig->dir);
    (void)snprintf(rig->sock, sizeof(rig->sock), "%s/sock", rig->dir);
    (void)snprintf(rig->puppet_at, sizeof(rig->puppet_at), "%s/puppet", rig->dir);
    shim_spec_init(&rig->spec);
    rig->agent_argv[0] = "/bin/sh";
    rig->agent_argv[1] = "-c";
    rig->agent_argv[2] = script;
    rig->agent_envp[0] = "PATH=/bin:/usr/bin";
    rig->spec.agent = (struct shim_program){ rig->agent_argv, rig->agent_envp };
    rig->spec.record_path = rig->record;
    rig->spec.socket_path = rig->sock;
    rig->spec.stop_timeout_ms = 2000;
    rig->spec.uid = geteuid();
    rig->spec.gid = getegid();
    for (int i = 0; i < SHIM_NONCE_BYTES; i++)
        rig->spec.nonce[i] = (uint8_t)(i + 1);
}

void rig_add_sidecar(struct rig *rig)
{
    rig->sidecar_argv[0] = BIN_DIR "/puppet";
    rig->sidecar_argv[1] = rig->puppet_at;
    rig->spec.sidecar = (struct shim_program){ rig->sidecar_argv, no_env };
    rig->spec.reserve_ms = 1000;
    rig->puppets = listen_at(rig->puppet_at);
}

void rig_add_logs(struct rig *rig)
{
    rig->log_dir.raw = open(rig->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(fd_is_open(rig->log_dir));
    rig->spec.task_name = "web";
    rig->spec.log_dir_fd = 7;
    rig->spec.log_max_files = 3;
    rig->spec.log_max_mb = 1;
}

void rig_add_cgroup(struct rig *rig)
{
    struct err err = { 0 };
    char own[CGROUP_PATH_MAX];
    struct cgroup probe;
    if (!cgroup_own(own, &err))
        cr_skip_test("%s", err.msg);
    (void)snprintf(rig->cgroup, sizeof(rig->cgroup), "%s/%s", own, rig->dir + strlen("/tmp/"));
    if (!cgroup_open(rig->cgroup, true, &probe, &err))
        cr_skip_test("%s", err.msg);
    cgroup_fini(&probe);
    cr_assert(cgroup_remove(rig->cgroup, &err));
    rig->spec.cgroup_dir = rig->cgroup;
}

static void accept_puppet(struct rig *rig)
{
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))];
    struct iovec bytes = { &rig->sidecar_pid, sizeof(rig->sidecar_pid) };
    struct msghdr msg = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof(space)
    };
    cr_assert(ready(rig->puppets.raw, POLLIN, until(RIG_WAIT_MS)), "no sidecar came");
    rig->strings.raw = accept4(rig->puppets.raw, NULL, NULL, SOCK_CLOEXEC);
    cr_assert_eq(recvmsg(rig->strings.raw, &msg, MSG_CMSG_CLOEXEC), sizeof(rig->sidecar_pid));
    memcpy(&rig->sidecar.raw, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
}

static bool become_user(const void *arg, int keep_fd, struct proc_failure *why)
{
    (void)keep_fd;
    const uint32_t uid = *(const uint32_t *)arg;
    *why = (struct proc_failure){ PROC_STAGE_HOOK, EPERM, -1 };
    return uid == 0 ||
           (syscall(SYS_setgroups, 0, NULL) == 0 && syscall(SYS_setresgid, uid, uid, uid) == 0 &&
            syscall(SYS_setresuid, uid, uid, uid) == 0);
}

static void spawn_program(struct rig *rig, const struct proc_map *map, size_t count)
{
    struct err err = { 0 };
    const char *const argv[] = { BIN_DIR "/agent-shim", NULL };
    struct proc_spec how = { .argv = argv,
                             .envp = no_env,
                             .fds = map,
                             .fd_count = count,
                             .cgroup_fd = -1,
                             .death_signal = SIGKILL,
                             .in_child = become_user,
                             .in_child_arg = &rig->shim_uid };
    cr_assert(proc_spawn(&how, &rig->shim, &err), "%s", err.msg);
    cr_assert(proc_wait_start(&rig->shim, &err), "%s", err.msg);
}

/* The same map, by hand, for a body inside a fork of the test. */
static void fork_body(struct rig *rig, const struct proc_map *map, size_t count)
{
    pid_t pid = fork();
    if (pid == 0) {
        int high[8];
        for (size_t i = 0; i < count; i++)
            high[i] = fcntl(map[i].from, F_DUPFD_CLOEXEC, 100);
        for (size_t i = 0; i < count; i++)
            if (dup2(high[i], map[i].to) < 0)
                _exit(99);
        _exit(rig->body());
    }
    rig->shim = (struct proc){ pid, { (int)syscall(SYS_pidfd_open, pid, 0) }, FD_NONE, true };
}

void rig_spawn(struct rig *rig)
{
    struct err err = { 0 };
    int control[2], output[2], err_pipe[2];
    CLEANUP(fd_closep) struct fd memfd = FD_NONE;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, control), 0);
    cr_assert_eq(pipe2(output, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(err_pipe, O_CLOEXEC), 0);
    rig->spec.control_fd = 5;
    rig->spec.stdout_fd = fd_is_open(rig->log_dir) ? -1 : 6;
    if (rig->spec.flags & SHIM_STANDALONE)
        rig->spec.stderr_fd = 2;
    cr_assert(shim_spec_seal(&rig->spec, &memfd, &err), "%s", err.msg);
    const struct proc_map map[] = { { memfd.raw, SHIM_SPEC_FD },
                                    { control[1], 5 },
                                    { output[1], 6 },
                                    { err_pipe[1], 2 },
                                    { rig->log_dir.raw, 7 } };
    const size_t count = COUNT(map) - (fd_is_open(rig->log_dir) ? 0 : 1);
    if (rig->body != NULL)
        fork_body(rig, map, count);
    else
        spawn_program(rig, map, count);
    rig->driver.raw = control[0];
    rig->output.raw = output[0];
    rig->shim_err.raw = err_pipe[0];
    (void)close(control[1]);
    (void)close(output[1]);
    (void)close(err_pipe[1]);
}

void rig_start(struct rig *rig)
{
    rig_spawn(rig);
    if (rig->spec.sidecar.argv == NULL)
        return;
    accept_puppet(rig);
    struct shim_msg hello = rig_from_shim(rig, rig->sidecar.raw, SHIM_HELLO);
    cr_assert_arr_eq(hello.hello.nonce, rig->spec.nonce, SHIM_NONCE_BYTES);
}

void rig_fini(struct rig *rig)
{
    struct err err = { 0 };
    struct cgroup cg;
    if (rig->shim.pid > 0) {
        (void)kill(rig->shim.pid, SIGKILL);
        (void)waitpid(rig->shim.pid, NULL, 0);
    }
    proc_fini(&rig->shim);
    if (rig->cgroup[0] != '\0' && cgroup_open(rig->cgroup, false, &cg, &err)) {
        cr_expect(cgroup_kill_wait(&cg, RIG_WAIT_MS, &err), "%s", err.msg);
        cgroup_fini(&cg);
        cr_expect(cgroup_remove(rig->cgroup, &err), "%s", err.msg);
    }
    struct fd *all[] = { &rig->driver,  &rig->output,   &rig->sidecar, &rig->strings,
                         &rig->puppets, &rig->shim_err, &rig->log_dir };
    for (size_t i = 0; i < COUNT(all); i++)
        fd_closep(all[i]);
    cr_expect(dir_remove_tree(rig->dir, &err), "%s", err.msg);
}

void rig_tell(int fd, struct shim_msg msg)
{
    uint8_t bytes[SHIM_MSG_MAX];
    size_t len = shim_msg_encode(&msg, bytes);
    cr_assert_eq(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* The next message of any type; false at the end of the connection or of the time. */
static bool next_msg(int fd, unsigned direction, struct boot end, struct shim_msg *out)
{
    struct err err = { 0 };
    uint8_t bytes[SHIM_MSG_MAX];
    if (!ready(fd, POLLIN, end))
        return false;
    ssize_t len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (len <= 0)
        return false;
    cr_assert(shim_msg_decode(view_of(bytes, (size_t)len), direction, out, &err), "%s", err.msg);
    return true;
}

struct shim_msg rig_from_shim(struct rig *rig, int fd, enum shim_msg_type type)
{
    struct boot end = until(RIG_WAIT_MS);
    unsigned direction = fd == rig->sidecar.raw ? SHIM_TELLS_SIDECAR : SHIM_TELLS_DRIVER;
    struct shim_msg msg;
    do
        cr_assert(next_msg(fd, direction, end, &msg), "%s never came", shim_msg_name(type));
    while (msg.type != type);
    return msg;
}

struct shim_msg rig_phase(struct rig *rig, enum shim_phase phase)
{
    struct shim_msg msg;
    do
        msg = rig_from_shim(rig, rig->driver.raw, SHIM_STATE);
    while (msg.state.phase != phase);
    return msg;
}

static bool ask(struct rig *rig, enum shim_msg_type type, uint64_t epoch, int64_t ms)
{
    struct shim_msg msg = { .type = type, .seq = (uint32_t)epoch * 10 + (uint32_t)type };
    msg.arm.epoch = epoch;
    msg.arm.deadline_ns = until(ms).ns;
    (void)snprintf(msg.arm.restored, sizeof(msg.arm.restored), "c-42");
    rig_tell(rig->sidecar.raw, msg);
    struct shim_msg reply = rig_from_shim(rig, rig->sidecar.raw, SHIM_ARM_ACK);
    cr_assert_eq(reply.seq, msg.seq);
    return reply.reply.ok;
}

bool rig_open_gate(struct rig *rig, int64_t ms) { return ask(rig, SHIM_GATE_OPEN, 7, ms); }
bool rig_arm(struct rig *rig, uint64_t epoch, int64_t ms) { return ask(rig, SHIM_ARM, epoch, ms); }

void rig_sidecar_leaves(struct rig *rig, uint8_t kind, uint8_t code)
{
    struct shim_msg msg = { .type = SHIM_DONE };
    msg.done.kind = kind;
    rig_tell(rig->sidecar.raw, msg);
    cr_assert_eq(send(rig->strings.raw, &code, 1, MSG_NOSIGNAL), 1);
}

const char *rig_line(struct rig *rig)
{
    struct boot end = until(RIG_WAIT_MS);
    rig->line_len = 0;
    for (;;) {
        char byte;
        cr_assert(ready(rig->output.raw, POLLIN, end), "the agent prints nothing");
        ssize_t got = read(rig->output.raw, &byte, 1);
        cr_assert_eq(got, 1, "the agent's output ended at \"%.*s\"", (int)rig->line_len, rig->line);
        if (byte == '\n')
            break;
        if (rig->line_len + 1 < sizeof(rig->line))
            rig->line[rig->line_len++] = byte;
    }
    rig->line[rig->line_len] = '\0';
    return rig->line;
}

bool rig_is_silent(struct rig *rig) { return !ready(rig->output.raw, POLLIN, boot_now()); }

bool rig_output_ends(struct rig *rig, int64_t ms)
{
    struct boot end = until(ms);
    char bytes[512];
    while (ready(rig->output.raw, POLLIN | POLLHUP, end))
        if (read(rig->output.raw, bytes, sizeof(bytes)) == 0)
            return true;
    return false;
}

struct exit_record rig_exited(struct rig *rig, bool *out_recorded)
{
    struct shim_msg msg = rig_from_shim(rig, rig->driver.raw, SHIM_EXITED);
    if (out_recorded != NULL)
        *out_recorded = msg.end.recorded;
    return msg.end.record;
}

int rig_shim_status(struct rig *rig)
{
    int status = -1;
    cr_assert(ready(rig->shim.pidfd.raw, POLLIN, until(RIG_WAIT_MS)), "the shim does not end");
    cr_assert_eq(waitpid(rig->shim.pid, &status, 0), rig->shim.pid);
    rig->shim.pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct fd rig_connect(struct rig *rig)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    memcpy(at.sun_path, rig->sock, strlen(rig->sock) + 1);
    struct fd sock = { socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0) };
    cr_assert_eq(connect(sock.raw, (const struct sockaddr *)&at, sizeof(at)), 0);
    return sock;
}

bool rig_record(struct rig *rig, struct exit_record *out)
{
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    return file_read(AT_FDCWD, rig->record, EXIT_RECORD_BYTES, &bytes, &err) &&
           exit_record_decode(buf_view(&bytes), out, &err);
}
