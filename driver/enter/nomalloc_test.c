#include "driver/enter/guest_test.h"

/* Every allocation in a helper, and in its command's process before exec, ends it. */
static volatile sig_atomic_t is_forbidden;

static void forbid(void) { is_forbidden = 1; }

static void check(void)
{
    if (is_forbidden)
        _exit(96);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
void __sanitizer_malloc_hook(const volatile void *ptr, size_t size);
void __sanitizer_malloc_hook(const volatile void *ptr, size_t size)
{
    (void)ptr, (void)size;
    check();
}
#else
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
void *malloc(size_t size)
{
    check();
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size)
{
    check();
    return __libc_calloc(count, size);
}
void *realloc(void *old, size_t size)
{
    check();
    return __libc_realloc(old, size);
}
#endif

static void run_all(bool has_cgroup)
{
    struct house house;
    struct guest guest;
    house_init(&house, CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS, has_cgroup);
    guest_trap = forbid;
    guest_run(&guest, &house,
              &(struct guest_spec){ .script = "setsid sleep 1000 >/dev/null 2>&1 & exit 3",
                                    .uid = 65534 });
    cr_expect_eq(guest.end.exec.exit_code, 3, "%s", guest.end.exec.text);
    guest_run(&guest, &house, &(struct guest_spec){ .program = "/no/such/program" });
    cr_expect_eq(guest.end.exec.kind, ERR_NOT_FOUND);
    guest_start(&guest, &house, &(struct guest_spec){ .script = "echo ready; sleep 1000" });
    guest_await_text(&guest, "ready");
    guest_hang_up(&guest);
    cr_assert(guest_await(&guest, WAIT_MS));
    cr_expect_eq(guest.end.exec.signal, 9);
    guest_fini(&guest, &house);
    house_fini(&house);
}

Test(nomalloc, with_a_cgroup) { run_all(true); }
Test(nomalloc, without_one) { run_all(false); }

Test(nomalloc, the_trap_works)
{
    pid_t pid = fork();
    if (pid == 0) {
        forbid();
        void *volatile some = malloc(1);
        _exit(some == NULL);
    }
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_expect_eq(WEXITSTATUS(status), 96);
}
