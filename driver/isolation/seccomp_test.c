#include "driver/isolation/seccomp.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/own.h"
#include "driver/isolation/plan.h"

#define SYS_ADMIN (1ULL << 21)
#define NET_RAW   (1ULL << 13)

#if defined(__x86_64__)
#define OURS    AUDIT_ARCH_X86_64
#define FOREIGN AUDIT_ARCH_I386
#else
#define OURS    AUDIT_ARCH_AARCH64
#define FOREIGN AUDIT_ARCH_ARM
#endif

static struct buf filter;

static void put(uint64_t caps)
{
    buf_fini(&filter);
    isolation_filter_put(caps, &filter);
}

/* The kernel's machine, as far as our filters use it. An instruction that is not in them, or a jump
 * out of the program, is a failure. */
static uint32_t answer(struct seccomp_data data)
{
    struct sock_filter code[ISOLATION_FILTER_MAX];
    const size_t count = filter.len / sizeof(code[0]);
    uint32_t a = 0;
    memcpy(code, filter.data, filter.len);
    for (size_t at = 0; at < count; at++) {
        const struct sock_filter *i = &code[at];
        if (i->code == (BPF_LD | BPF_W | BPF_ABS))
            memcpy(&a, (const char *)&data + i->k, sizeof(a));
        else if (i->code == (BPF_JMP | BPF_JEQ | BPF_K))
            at += a == i->k ? i->jt : i->jf;
        else if (i->code == (BPF_JMP | BPF_JGE | BPF_K))
            at += a >= i->k ? i->jt : i->jf;
        else if (i->code == (BPF_JMP | BPF_JSET | BPF_K))
            at += (a & i->k) != 0 ? i->jt : i->jf;
        else if (i->code == (BPF_RET | BPF_K))
            return i->k;
        else
            cr_assert(false, "instruction %zu", at);
    }
    cr_assert(false, "the program ends without an answer");
    return 0;
}

static uint32_t call(long number, uint64_t first, uint64_t second)
{
    return answer(
        (struct seccomp_data){ .nr = (int)number, .arch = OURS, .args = { first, second } });
}

static uint32_t refusal(uint32_t error) { return SECCOMP_RET_ERRNO | error; }

Test(seccomp, refuses_what_the_table_refuses)
{
    static const struct {
        long number;
        uint32_t error;
    } rows[] = {
        { SYS_mount, EPERM },
        { SYS_umount2, EPERM },
        { SYS_unshare, EPERM },
        { SYS_setns, EPERM },
        { SYS_keyctl, EPERM },
        { SYS_add_key, EPERM },
        { SYS_request_key, EPERM },
        { SYS_bpf, EPERM },
        { SYS_perf_event_open, EPERM },
        { SYS_init_module, EPERM },
        { SYS_kexec_load, EPERM },
        { SYS_userfaultfd, EPERM },
        { SYS_open_by_handle_at, EPERM },
        { SYS_clone3, ENOSYS },
        { SYS_io_uring_setup, ENOSYS },
        { SYS_fsopen, EPERM },
        { SYS_open_tree, EPERM },
        { SYS_move_mount, EPERM },
        { 467, EPERM },
        { 470, ENOSYS },
        { 5000, ENOSYS },
        { 0x40000000, ENOSYS },
    };
    put(0);
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_expect_eq(call(rows[i].number, 0, 0), refusal(rows[i].error), "call %ld",
                     rows[i].number);
}

Test(seccomp, allows_what_programs_need)
{
    static const long numbers[] = { SYS_read,
                                    SYS_write,
                                    SYS_openat,
                                    SYS_execve,
                                    SYS_ptrace,
                                    SYS_kill,
                                    SYS_mmap,
                                    SYS_futex,
                                    SYS_seccomp,
                                    SYS_prctl,
                                    SYS_capset,
                                    SYS_setresuid,
                                    SYS_landlock_create_ruleset,
                                    SYS_rt_sigaction,
                                    451,
                                    462,
                                    469 };
    put(0);
    for (size_t i = 0; i < COUNT(numbers); i++)
        cr_expect_eq(call(numbers[i], 0, 0), SECCOMP_RET_ALLOW, "call %ld", numbers[i]);
}

/* Every number has one answer whatever the order of the table, and few are refused. */
Test(seccomp, answers_every_number)
{
    size_t refused = 0;
    put(0);
    for (long number = 0; number < 600; number++)
        refused += number <= 469 && call(number, 0, 0) != SECCOMP_RET_ALLOW ? 1 : 0;
    cr_expect_gt(refused, 40);
    cr_expect_lt(refused, 80);
    for (long number = 470; number < 600; number++)
        cr_expect_eq(call(number, 0, 0), refusal(ENOSYS));
}

Test(seccomp, looks_at_arguments)
{
    put(0);
    cr_expect_eq(call(SYS_clone, CLONE_VM | CLONE_THREAD | 17, 0), SECCOMP_RET_ALLOW);
    static const uint64_t spaces[] = { CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                       CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP };
    for (size_t i = 0; i < COUNT(spaces); i++)
        cr_expect_eq(call(SYS_clone, spaces[i] | 17, 0), refusal(EPERM));
    cr_expect_eq(call(SYS_ioctl, 0, 0x5401), SECCOMP_RET_ALLOW);
    cr_expect_eq(call(SYS_ioctl, 0, 0x5412), refusal(EPERM));
    cr_expect_eq(call(SYS_ioctl, 0, 0x541c), refusal(EPERM));
    cr_expect_eq(call(SYS_ioctl, 0, 0x100005412), refusal(EPERM), "the kernel takes 32 bits");
    cr_expect_eq(call(SYS_personality, 0xffffffff, 0), SECCOMP_RET_ALLOW);
    cr_expect_eq(call(SYS_personality, 0x40000, 0), refusal(EPERM));
    static const struct {
        uint64_t family;
        bool is_allowed;
    } families[] = { { 1, true },   { 2, true },   { 10, true }, { 16, true },
                     { 17, false }, { 38, false }, { 40, false } };
    for (size_t i = 0; i < COUNT(families); i++)
        cr_expect_eq(call(SYS_socket, families[i].family, 0),
                     families[i].is_allowed ? SECCOMP_RET_ALLOW : refusal(EAFNOSUPPORT));
}

Test(seccomp, a_capability_lifts_its_rows_and_no_others)
{
    put(SYS_ADMIN);
    cr_expect_eq(call(SYS_mount, 0, 0), SECCOMP_RET_ALLOW);
    cr_expect_eq(call(SYS_clone3, 0, 0), SECCOMP_RET_ALLOW);
    cr_expect_eq(call(SYS_clone, CLONE_NEWUSER, 0), SECCOMP_RET_ALLOW);
    cr_expect_eq(call(SYS_keyctl, 0, 0), refusal(EPERM));
    cr_expect_eq(call(SYS_bpf, 0, 0), refusal(EPERM));
    put(NET_RAW);
    cr_expect_eq(call(SYS_socket, 17, 0), SECCOMP_RET_ALLOW);
    cr_expect_eq(call(SYS_socket, 38, 0), refusal(EAFNOSUPPORT));
    put(ISOLATION_CAPS_ALL);
    cr_expect_eq(call(SYS_keyctl, 0, 0), refusal(EPERM));
}

Test(seccomp, calls_of_another_machine_are_not_there)
{
    put(0);
    cr_expect_eq(answer((struct seccomp_data){ .nr = SYS_read, .arch = FOREIGN }), refusal(ENOSYS));
}

Test(seccomp, the_kernel_takes_it_and_obeys)
{
    put(0);
    if (!isolation_can_filter())
        cr_skip_test("no seccomp here");
    pid_t pid = fork();
    if (pid == 0) {
        const struct sock_fprog program = { (unsigned short)(filter.len / 8),
                                            (struct sock_filter *)(void *)filter.data };
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0)
            _exit(1);
        if (unshare(CLONE_NEWUSER) == 0 || errno != EPERM)
            _exit(2);
        if (syscall(SYS_io_uring_setup, 1, NULL) != -1 || errno != ENOSYS)
            _exit(3);
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        int end = -1;
        _exit(child > 0 && waitpid(child, &end, 0) == child && end == 0 ? 0 : 4);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "status %x", (unsigned)status);
}

Test(seccomp, documents_every_row)
{
    CLEANUP(buf_fini) struct buf page = { 0 };
    isolation_filter_put_doc(&page);
    const char *text = buf_borrow_str(&page);
    cr_expect_not_null(strstr(text, "| `mount` | EPERM | `sys_admin` |"));
    cr_expect_not_null(strstr(text, "| `keyctl` | EPERM |  |"));
    cr_expect_not_null(strstr(text, "| `ioctl` | EPERM |"));
    cr_expect_not_null(strstr(text, "| `open_tree_attr` |"));
}
