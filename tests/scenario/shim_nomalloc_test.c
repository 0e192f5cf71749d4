// rooms: driver/shim programs: agent-shim puppet
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "driver/isolation/landlock.h"
#include "driver/isolation/mounts.h"
#include "driver/shim/run.h"
#include "tests/scenario/shim_rig.h"

/* Every allocation in the shim, and in its children before exec, ends the process. */
static volatile sig_atomic_t is_forbidden;

static void check(void)
{
    static const char text[] = "shim: allocated after its start\n";
    if (!is_forbidden)
        return;
    is_forbidden = 0;
    ssize_t got = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)got;
    abort();
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

/* As main.c, with the trap armed. */
static int shim_body(void)
{
    struct err err = { 0 };
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    struct shim_run *run = mmap(NULL, sizeof(*run), PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    is_forbidden = 1;
    return shim_run_take_spec(run, &err) ? shim_run_live(run) : 98;
}

static int allocating_body(void)
{
    is_forbidden = 1;
    void *volatile leak = malloc(10);
    return leak == NULL;
}

TestSuite(shim_nomalloc, .timeout = 60);

Test(shim_nomalloc, the_trap_works)
{
    struct rig rig;
    rig_init(&rig, "true");
    rig.body = allocating_body;
    rig_spawn(&rig);
    cr_assert_eq(rig_shim_status(&rig), 128 + SIGABRT);
    rig_fini(&rig);
}

Test(shim_nomalloc, a_whole_life_allocates_nothing)
{
    struct rig rig;
    rig_init(&rig, "trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done");
    rig_add_sidecar(&rig);
    rig_add_cgroup(&rig);
    rig.body = shim_body;
    rig_start(&rig);
    cr_assert(rig_open_gate(&rig, 60000));
    cr_assert_str_eq(rig_line(&rig), "up");
    struct shim_msg freeze = { .type = SHIM_FREEZE, .seq = 3, .freeze = { 500 } };
    rig_tell(rig.sidecar.raw, freeze);
    cr_expect(rig_from_shim(&rig, rig.sidecar.raw, SHIM_FROZEN).reply.ok);
    rig_tell(rig.sidecar.raw, (struct shim_msg){ .type = SHIM_THAW, .seq = 3 });
    (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_THAWED);
    cr_assert_geq(send(rig.driver.raw, "garbage", 7, MSG_NOSIGNAL), 0);
    fd_closep(&rig.driver);
    rig.driver = rig_connect(&rig);
    (void)rig_phase(&rig, SHIM_PHASE_RUNNING);
    rig_tell(rig.driver.raw, (struct shim_msg){ .type = SHIM_STOP, .stop = { SIGTERM, 4000 } });
    (void)rig_from_shim(&rig, rig.sidecar.raw, SHIM_AGENT_EXITED);
    rig_sidecar_leaves(&rig, 0, 0);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.cause, EXIT_STOPPED);
    cr_expect_eq(rec.exit_code, 3);
    cr_expect_eq(rig_shim_status(&rig), 0);
    rig_fini(&rig);
}

Test(shim_nomalloc, nor_does_a_scribe_that_rotates)
{
    struct rig rig;
    rig_init(&rig, "head -c 2500000 /dev/zero");
    rig_add_logs(&rig);
    rig.body = shim_body;
    rig_start(&rig);
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.exit_code, 0);
    cr_expect_eq(rig_shim_status(&rig), 0);
    cr_expect_eq(faccessat(rig.log_dir.raw, "web.stdout.2", F_OK, 0), 0);
    rig_fini(&rig);
}

/* One of everything a plan can ask for; what the tables add is more of the same. */
static void whole_plan(const struct rig *rig, struct buf *out)
{
    static const uint8_t allow_all[8] = { 0x06, 0, 0, 0, 0, 0, 0xff, 0x7f };
    static struct isolation_plan plan;
    isolation_default(&plan);
    plan.mounts = ISOLATION_MOUNTS_OWN;
    plan.flags |= ISOLATION_OWN_IPC | ISOLATION_OWN_UTS | ISOLATION_HIDE_PIDS | ISOLATION_CAPS;
    plan.umask = 022;
    plan.landlock_abi = isolation_landlock_abi();
    plan.caps_bound = plan.caps_given = 1;
    plan.limits[plan.limit_count++] = (struct isolation_limit){ 7, 64, 64 };
    plan.rules[plan.rule_count++] = (struct isolation_rule){
        ISOLATION_READ | ISOLATION_EXECUTE | ISOLATION_UPDATE, "/"
    };
    const struct isolation_mount mounts[] = {
        { ISOLATION_BIND, ISOLATION_MAKE | ISOLATION_RDONLY, "/usr", rig->dir, "usr/bind" },
        { ISOLATION_COVER, ISOLATION_MAKE, "", rig->dir, "cover" },

        { ISOLATION_FILE, ISOLATION_MAKE | ISOLATION_IS_FILE, "text", rig->dir, "file" },
        { ISOLATION_TMPFS, ISOLATION_MAKE, "1m", rig->dir, "tmp" },
        { ISOLATION_MASK_FILE, ISOLATION_OPTIONAL, "", "/", "proc/kcore" },
        { ISOLATION_BIND, ISOLATION_IN_PLACE | ISOLATION_RDONLY, "/proc/sys", "/", "proc/sys" },
    };
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++)
        plan.mount[plan.mount_count++] = mounts[i];
    plan.filter = view_of(allow_all, sizeof(allow_all));
    isolation_encode(&plan, out);
}

Test(shim_nomalloc, nor_does_a_plan_with_one_of_everything)
{
    struct rig rig;
    struct buf plan = { 0 };
    if (!isolation_can_mount())
        cr_skip_test("may not mount here");
    rig_init(&rig,
             "cat file; grep -E 'Seccomp:|CapEff' /proc/self/status; ulimit -n; ls cover | wc -l");
    whole_plan(&rig, &plan);
    rig.spec.isolation = buf_view(&plan);
    rig.spec.cwd = rig.dir;
    rig.body = shim_body;
    rig_start(&rig);
    cr_expect_str_eq(rig_line(&rig), "textCapEff:\t0000000000000001");
    cr_expect_str_eq(rig_line(&rig), "Seccomp:\t2");
    cr_expect_str_eq(rig_line(&rig), "64");
    cr_expect_str_eq(rig_line(&rig), "0");
    struct exit_record rec = rig_exited(&rig, NULL);
    cr_expect_eq(rec.exit_code, 0, "%s", rec.message);
    const unsigned landlock = isolation_landlock_abi() > 0 ? SHIM_CONTAINED_LANDLOCK : 0;
    cr_expect_eq(rec.containment & ~7U, SHIM_CONTAINED_MOUNTS | SHIM_CONTAINED_SECCOMP | landlock);
    cr_expect_eq(rig_shim_status(&rig), 0);
    rig_fini(&rig);
    buf_fini(&plan);
}

Test(shim_nomalloc, nor_does_a_start_that_fails)
{
    struct rig rig;
    rig_init(&rig, "true");
    rig.agent_argv[0] = "/does/not/exist";
    rig.body = shim_body;
    rig_start(&rig);
    cr_expect_eq(rig_exited(&rig, NULL).cause, EXIT_EXEC_FAILED);
    cr_expect_eq(rig_shim_status(&rig), 0);
    rig_fini(&rig);
}
