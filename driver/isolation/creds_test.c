#include "driver/isolation/creds.h"

#include <criterion/criterion.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/isolation/apply.h"

#define CHOWN (1ULL << CAP_CHOWN)
#define BIND  (1ULL << CAP_NET_BIND_SERVICE)

static struct isolation_plan plan;
static struct isolation_subject subject = { .plan = &plan, .cwd = "/" };

static void prepare(uint32_t uid, uint64_t bound, uint64_t given)
{
    if (geteuid() != 0)
        cr_skip_test("needs root to become somebody else");
    isolation_default(&plan);
    plan.flags |= ISOLATION_CAPS;
    plan.caps_bound = bound;
    plan.caps_given = given;
    subject.uid = uid;
    subject.gid = uid;
}

struct caps {
    uint64_t permitted, effective, inheritable;
};

static struct caps caps_now(void)
{
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
    if (syscall(SYS_capget, &head, data) != 0)
        return (struct caps){ ~0ULL, ~0ULL, ~0ULL };
    return (struct caps){ data[0].permitted | (uint64_t)data[1].permitted << 32,
                          data[0].effective | (uint64_t)data[1].effective << 32,
                          data[0].inheritable | (uint64_t)data[1].inheritable << 32 };
}

static int in_child(int (*holds)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        if (isolation_drop_bound(&subject) != 0 || isolation_set_groups(&subject) != 0 ||
            isolation_set_user(&subject) != 0 || isolation_set_caps(&subject) != 0)
            _exit(50);
        _exit(holds());
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int is_bounded_root(void)
{
    const struct caps now = caps_now();
    if (now.permitted != CHOWN || now.effective != CHOWN || now.inheritable != 0)
        return 1;
    return prctl(PR_CAPBSET_READ, CAP_CHOWN) == 1 && prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 0 ? 0
                                                                                                : 2;
}

Test(creds, root_keeps_the_bounding_set_and_no_more)
{
    prepare(0, CHOWN, 0);
    cr_expect_eq(in_child(is_bounded_root), 0);
}

static int has_bind_after_exec(void)
{
    const struct caps now = caps_now();
    if (getuid() != 65534 || now.permitted != BIND || now.effective != BIND)
        return 1;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_BIND_SERVICE, 0, 0) != 1)
        return 2;
    (void)execl("/bin/grep", "grep", "-q", "CapEff:.*0000000000000400", "/proc/self/status", NULL);
    return 3;
}

Test(creds, another_user_has_what_was_given_also_after_exec)
{
    prepare(65534, BIND, BIND);
    cr_expect_eq(in_child(has_bind_after_exec), 0);
}

static int has_none(void)
{
    const struct caps now = caps_now();
    return now.permitted == 0 && now.effective == 0 && prctl(PR_CAPBSET_READ, CAP_CHOWN) == 0 ? 0
                                                                                              : 1;
}

Test(creds, another_user_has_nothing_by_default)
{
    prepare(65534, 0, 0);
    cr_expect_eq(in_child(has_none), 0);
}

static int has_all(void) { return prctl(PR_CAPBSET_READ, CAP_SYS_ADMIN) == 1 ? 0 : 1; }

Test(creds, a_plan_without_capabilities_touches_none)
{
    prepare(0, 0, 0);
    plan.flags &= ~(uint32_t)ISOLATION_CAPS;
    if (has_all() != 0)
        cr_skip_test("has not all capabilities to begin with");
    cr_expect_eq(in_child(has_all), 0);
}
