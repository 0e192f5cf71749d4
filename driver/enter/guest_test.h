/* guest_test.h - for this room's tests: helpers into an agent's house.
 *
 * The test plays the driver. The helper is a fork of the test itself. */
#pragma once
#include <sys/mman.h>
#include <sys/socket.h>

#include "common/shimwire/msg.h"
#include "driver/enter/enter.h"
#include "driver/enter/house_test.h"

struct guest { /* one helper */
    pid_t helper;
    int control; /* to it; -1: hung up */
    int in, out; /* ends of the command's pipes, or the terminal twice */
    bool has_ended;
    struct shim_msg end;
    char text[8192]; /* what the command has said */
    size_t len;
};

struct guest_spec {
    const char *script;      /* of /bin/sh, or NULL: `program` */
    const char *program;     /* absolute, with no arguments */
    const char *const *envp; /* NULL: PATH only */
    const char *cwd;         /* NULL: "/" */
    uint32_t uid;
    int terminal; /* master of one, with its slave in `slave`; 0: pipes */
    int slave;
    uint64_t start_ticks; /* 0: the agent's */
    bool has_bad_boot_id;
};

/* Called in the helper when it has its state; NULL: nothing. */
static void (*guest_trap)(void);

static inline _Noreturn void guest_be_helper(int spec, int control, int in, int out, int err_fd)
{
    const int from[] = { spec, control, in, out, err_fd };
    int high[5];
    struct err err = { 0 };
    sigset_t all;
    sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    for (int i = 0; i < 5; i++)
        high[i] = fcntl(from[i], F_DUPFD, 100);
    for (int i = 0; i < 5; i++)
        if (dup2(high[i], EXEC_FD_SPEC + i) < 0)
            _exit(98);
    (void)syscall(SYS_close_range, 8U, ~0U, 0U);
    struct enter *enter = mmap(NULL, sizeof(*enter), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (enter == MAP_FAILED)
        _exit(97);
    if (guest_trap != NULL)
        guest_trap();
    if (!enter_take_spec(enter, &err))
        _exit(97);
    _exit(enter_live(enter));
}

static inline struct exec_spec guest_fill(const struct house *house, const struct guest_spec *want,
                                          const char *const *programs, const char *const *arguments)
{
    static const char *const plain[] = { "PATH=/usr/bin:/bin", NULL };
    bool has_cgroup = cgroup_is_open(&house->cgroup);
    return (struct exec_spec){
        .flags = want->terminal > 0 ? EXEC_TERMINAL : 0,
        .agent_pid = (uint32_t)house->who.pid,
        .agent_start_ticks = want->start_ticks > 0 ? want->start_ticks : house->who.start_ticks,
        .boot_id = want->has_bad_boot_id ? "c0ffee" : house->who.boot_id,
        .uid = want->uid,
        .gid = want->uid,
        .cwd = want->cwd != NULL ? want->cwd : "/",
        .cgroup_dir = has_cgroup ? house->cgroup.path : "",
        .cgroup_name = "exec-test",
        .programs = programs,
        .arguments = arguments,
        .envp = want->envp != NULL ? want->envp : plain,
    };
}

static inline void guest_start(struct guest *guest, const struct house *house,
                               const struct guest_spec *want)
{
    struct err err = { 0 };
    const char *const shell[] = { "/bin/sh", NULL }, *const script[] = { "-c", want->script, NULL };
    const char *const program[] = { want->program, NULL }, *const none[] = { NULL };
    bool is_script = want->script != NULL;
    struct exec_spec spec = guest_fill(house, want, is_script ? shell : program,
                                       is_script ? script : none);
    CLEANUP(fd_closep) struct fd sealed = FD_NONE;
    int pair[2], in[2], out[2];
    *guest = (struct guest){ 0 };
    cr_assert(exec_spec_seal(&spec, &sealed, &err), "%s", err.msg);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    guest->helper = fork();
    if (guest->helper == 0 && want->terminal > 0)
        guest_be_helper(sealed.raw, pair[1], want->slave, want->slave, want->slave);
    if (guest->helper == 0)
        guest_be_helper(sealed.raw, pair[1], in[0], out[1], out[1]);
    (void)close(pair[1]);
    (void)close(in[0]);
    (void)close(out[1]);
    guest->control = pair[0];
    guest->in = in[1];
    guest->out = out[0];
    if (want->terminal > 0) {
        (void)close(want->slave);
        (void)close(in[1]);
        (void)close(out[0]);
        guest->in = guest->out = want->terminal;
    }
    cr_assert(fd_set_nonblock(guest->out, true, &err));
}

static inline void guest_read(struct guest *guest)
{
    ssize_t got;
    while (guest->len < sizeof(guest->text) - 1 &&
           (got = read(guest->out, guest->text + guest->len,
                       sizeof(guest->text) - 1 - guest->len)) > 0)
        guest->len += (size_t)got;
    guest->text[guest->len] = '\0';
}

/* Waits for the answer or the hang-up, at most `ms`; true when the answer is there. */
static inline bool guest_await(struct guest *guest, int64_t ms)
{
    struct boot end = boot_add_ms(boot_now(), ms);
    while (!guest->has_ended && boot_now().ns < end.ns) {
        struct pollfd table[] = { { guest->control, POLLIN, 0 }, { guest->out, POLLIN, 0 } };
        if (poll(table, (table[1].fd >= 0 && guest->len < sizeof(guest->text) - 1) ? 2 : 1, 5) <= 0)
            continue;
        guest_read(guest);
        uint8_t bytes[SHIM_MSG_MAX];
        struct err err = { 0 };
        ssize_t len = recv(guest->control, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (len == 0)
            break;
        if (len > 0) {
            cr_assert(
                shim_msg_decode(view_of(bytes, (size_t)len), SHIM_EXEC_TELLS, &guest->end, &err),
                "%s", err.msg);
            guest->has_ended = true;
        }
    }
    guest_read(guest);
    return guest->has_ended;
}

static inline void guest_hang_up(const struct guest *guest)
{
    cr_assert_eq(shutdown(guest->control, SHUT_WR), 0);
}

static inline void guest_await_text(struct guest *guest, const char *wanted)
{
    struct boot end = boot_add_ms(boot_now(), WAIT_MS);
    while (strstr(guest->text, wanted) == NULL) {
        cr_assert(boot_now().ns < end.ns && !guest->has_ended, "no \"%s\" in \"%s\": %s", wanted,
                  guest->text, guest->end.exec.text);
        (void)guest_await(guest, 5);
    }
}

/* The helper goes, and nothing of the exec is left in the agent's cgroup. */
static inline void guest_fini(struct guest *guest, const struct house *house)
{
    char path[CGROUP_PATH_MAX + 16];
    int status = -1;
    cr_assert_eq(waitpid(guest->helper, &status, 0), guest->helper);
    if (guest->has_ended)
        cr_expect_eq(status, 0, "the helper's own end: %x", (unsigned)status);
    (void)snprintf(path, sizeof(path), "%s/exec-test", house->cgroup.path);
    cr_expect(access(path, F_OK) != 0, "%s is left", path);
    (void)close(guest->control);
    (void)close(guest->in);
    if (guest->out != guest->in)
        (void)close(guest->out);
}

/* Start to end. */
static inline void guest_run(struct guest *guest, const struct house *house,
                             const struct guest_spec *want)
{
    guest_start(guest, house, want);
    cr_assert(guest_await(guest, WAIT_MS), "no answer; \"%s\"", guest->text);
    guest_fini(guest, house);
}
