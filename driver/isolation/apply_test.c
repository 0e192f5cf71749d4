#include "driver/isolation/apply.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint32_t groups[] = { 1234, 5678 };

static struct isolation_subject nobody(void)
{
    if (geteuid() != 0)
        cr_skip_test("needs root to become somebody else");
    return (struct isolation_subject){ .plan = { ISOLATION_MOUNTS_HOST, true, false, 321, 7 },
                                       .uid = 65534,
                                       .gid = 65533,
                                       .groups = groups,
                                       .group_count = 2,
                                       .cwd = "/tmp" };
}

/* Applies in a child, then asks `holds` there. 0: holds; 100 + n: claim n does not; else stage. */
static int apply_in_child(const struct isolation_subject *subject, int (*holds)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        int stage = 0, error = 0;
        if (!isolation_apply(subject, &stage, &error))
            _exit(stage);
        _exit(holds == NULL ? 0 : holds());
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int number_in(const char *path)
{
    char text[32] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    return len > 0 ? (int)strtol(text, NULL, 10) : -9999;
}

static int is_nobody(void)
{
    gid_t got[8];
    char cwd[64] = "";
    struct rlimit cores;
    if (getuid() != 65534 || geteuid() != 65534 || syscall(SYS_setuid, 0) == 0)
        return 101;
    if (getgid() != 65533 || getgroups(8, got) != 2 || got[0] != 1234 || got[1] != 5678)
        return 102;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 103;
    if (getrlimit(RLIMIT_CORE, &cores) != 0 || cores.rlim_cur != 0 || cores.rlim_max != 0)
        return 104;
    if (number_in("/proc/self/oom_score_adj") != 321)
        return 105;
    if (getpriority(PRIO_PROCESS, 0) != 7)
        return 106;
    return getcwd(cwd, sizeof(cwd)) == NULL || strcmp(cwd, "/tmp") != 0 ? 107 : 0;
}

Test(apply, everything_asked_for_is_in_force)
{
    struct isolation_subject subject = nobody();
    cr_assert_eq(apply_in_child(&subject, is_nobody), 0);
}

static int dies_with_parent(void)
{
    int signo = 0;
    return prctl(PR_GET_PDEATHSIG, &signo) == 0 && signo == 9 ? 0 : 101;
}

Test(apply, the_death_signal_survives_the_change_of_user)
{
    struct isolation_subject subject = nobody();
    subject.death_signal = 9;
    cr_assert_eq(apply_in_child(&subject, dies_with_parent), 0);
}

Test(apply, a_missing_directory_is_its_own_stage)
{
    struct isolation_subject subject = nobody();
    subject.cwd = "/does/not/exist";
    cr_assert_eq(apply_in_child(&subject, NULL), ISOLATION_STAGE_DIRECTORY);
}

Test(apply, the_directory_is_entered_as_the_user)
{
    struct isolation_subject subject = nobody();
    char path[] = "/tmp/agent-apply-XXXXXX";
    cr_assert_not_null(mkdtemp(path)); /* mode 0700, of root */
    subject.cwd = path;
    cr_expect_eq(apply_in_child(&subject, NULL), ISOLATION_STAGE_DIRECTORY);
    (void)rmdir(path);
}

static int has_no_shared_mount(void)
{
    char line[4096];
    FILE *mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts != NULL && fgets(line, sizeof(line), mounts) != NULL)
        if (strstr(line, " shared:") != NULL)
            return 101;
    return mounts == NULL ? 102 : 0;
}

Test(apply, own_mounts_share_nothing_with_the_host)
{
    struct isolation_subject subject = nobody();
    subject.plan.mounts = ISOLATION_MOUNTS_OWN;
    cr_assert_eq(apply_in_child(&subject, has_no_shared_mount), 0);
}

Test(apply, without_privileges_each_refusal_has_its_stage)
{
    struct isolation_subject subject = nobody();
    subject.plan.nice = ISOLATION_NICE_KEEP;
    subject.nice = getpriority(PRIO_PROCESS, 0);
    pid_t pid = fork();
    if (pid == 0) { /* as nobody, ask to be somebody else */
        if (setgroups(0, NULL) != 0 || setgid(65533) != 0 || setuid(65534) != 0 ||
            prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) /* as after an exec */
            _exit(1);
        int stage = 0, error = 0;
        bool good = true;
        subject.uid = 1;
        good = good && !isolation_apply(&subject, &stage, &error) &&
               stage == ISOLATION_STAGE_GROUPS && error == EPERM;
        subject.plan.nice = -5;
        good = good && !isolation_apply(&subject, &stage, &error) && stage == ISOLATION_STAGE_NICE;
        subject.plan.oom_score_adj = -900;
        good = good && !isolation_apply(&subject, &stage, &error) && stage == ISOLATION_STAGE_OOM;
        subject.plan.mounts = ISOLATION_MOUNTS_OWN;
        good = good && !isolation_apply(&subject, &stage, &error) &&
               stage == ISOLATION_STAGE_MOUNTS;
        _exit(good ? 0 : stage);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "status %x", (unsigned)status);
}

static int is_same(void) { return getuid() == 65534 ? 0 : 101; }

Test(apply, an_unprivileged_shim_may_stay_who_it_is)
{
    (void)nobody();
    pid_t pid = fork();
    if (pid == 0) {
        struct isolation_subject subject = { .plan = isolation_default(),
                                             .uid = 65534,
                                             .gid = 65533,
                                             .cwd = "/",
                                             .nice = getpriority(PRIO_PROCESS, 0) };
        if (setgroups(0, NULL) != 0 || setgid(65533) != 0 || setuid(65534) != 0 ||
            prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) /* as after an exec */
            _exit(1);
        int stage = 0, error = 0;
        _exit(isolation_apply(&subject, &stage, &error) ? is_same() : stage);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "status %x", (unsigned)status);
}

/* An ordinary account has groups, and the driver asks for exactly those. */
Test(apply, an_unprivileged_shim_may_keep_the_groups_it_has)
{
    (void)nobody();
    pid_t pid = fork();
    if (pid == 0) {
        const gid_t own[] = { 5678, 65533, 1234 };
        struct isolation_subject subject = { .plan = isolation_default(),
                                             .uid = 65534,
                                             .gid = 65533,
                                             .groups = (const uint32_t[]){ 1234, 65533, 5678 },
                                             .group_count = 3,
                                             .cwd = "/",
                                             .nice = getpriority(PRIO_PROCESS, 0) };
        if (setgroups(3, own) != 0 || setgid(65533) != 0 || setuid(65534) != 0 ||
            prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) /* as after an exec */
            _exit(1);
        int stage = 0, error = 0;
        if (!isolation_apply(&subject, &stage, &error))
            _exit(stage);
        subject.groups = groups; /* fewer than it has: that it may not */
        subject.group_count = 2;
        if (isolation_apply(&subject, &stage, &error) || stage != ISOLATION_STAGE_GROUPS)
            _exit(101);
        _exit(is_same());
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "status %x", (unsigned)status);
}

/* A container's root whose capabilities were all taken away. */
Test(apply, a_root_without_capabilities_may_stay_who_it_is)
{
    (void)nobody();
    pid_t pid = fork();
    if (pid == 0) {
        struct isolation_subject subject = { .plan = isolation_default(),
                                             .groups = groups,
                                             .group_count = 2,
                                             .cwd = "/",
                                             .nice = getpriority(PRIO_PROCESS, 0) };
        struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
        const struct __user_cap_data_struct none[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
        const gid_t own[] = { 5678, 1234 };
        if (setgroups(2, own) != 0 || syscall(SYS_capset, &head, none) != 0)
            _exit(1);
        int stage = 0, error = 0;
        if (!isolation_apply(&subject, &stage, &error))
            _exit(stage);
        subject.group_count = 0; /* to drop them takes a capability */
        if (isolation_apply(&subject, &stage, &error) || stage != ISOLATION_STAGE_GROUPS)
            _exit(101);
        _exit(0);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "status %x", (unsigned)status);
}

/* In a pod, or below a user's service manager, the score is higher than ours by default and may
 * not be lowered. A file that may not be written stands in for the kernel's refusal. */
static int apply_below(const char *score, int32_t wanted)
{
    char fake[] = "/tmp/agent-score-XXXXXX", real[64];
    int fd = mkstemp(fake);
    cr_assert_eq(write(fd, score, strlen(score)), (ssize_t)strlen(score));
    cr_assert_eq(fchmod(fd, 0444), 0);
    (void)close(fd);
    pid_t pid = fork();
    if (pid == 0) {
        struct isolation_subject subject = { .plan = isolation_default(),
                                             .uid = 65534,
                                             .gid = 65533,
                                             .cwd = "/",
                                             .nice = getpriority(PRIO_PROCESS, 0) };
        subject.plan.oom_score_adj = wanted;
        (void)snprintf(real, sizeof(real), "/proc/%d/oom_score_adj", (int)getpid());
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount(fake, real, NULL, MS_BIND, NULL) != 0)
            _exit(1);
        if (setgroups(0, NULL) != 0 || setgid(65533) != 0 || setuid(65534) != 0 ||
            prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) /* as after an exec */
            _exit(2);
        int stage = 0, error = 0;
        _exit(isolation_apply(&subject, &stage, &error) ? 0 : stage);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    (void)unlink(fake);
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

Test(apply, a_score_that_may_not_be_lowered_stays_unless_protection_was_asked_for)
{
    (void)nobody();
    cr_expect_eq(apply_below("985\n", 0), 0);
    cr_expect_eq(apply_below("985\n", -5), ISOLATION_STAGE_OOM);
    cr_expect_eq(apply_below("3\n", 400), ISOLATION_STAGE_OOM);
}

Test(apply, every_stage_has_a_text)
{
#define STAGE(stage, number, text) number,
    static const int stages[] = { ISOLATION_STAGES(STAGE) };
    for (size_t i = 0; i < sizeof(stages) / sizeof(stages[0]); i++)
        cr_expect_not_null(isolation_stage_text(stages[i]));
    cr_expect_null(isolation_stage_text(5));
}

/* A guest of a process with a mount namespace and a host name of its own: both are joined, nothing
 * is mounted, and all the rest of the plan holds as well. */
static int is_in_the_other_namespaces(void)
{
    char name[64] = "";
    if (gethostname(name, sizeof(name) - 1) != 0 || strcmp(name, "guest-house") != 0)
        return 110;
    return access("/tmp/only-in-there", F_OK) != 0 ? 111 : is_nobody();
}

Test(apply, a_guest_joins_the_namespaces_of_another_process)
{
    struct isolation_subject s = nobody();
    int ready[2], hold[2];
    cr_assert(pipe2(ready, O_CLOEXEC) == 0 && pipe2(hold, O_CLOEXEC) == 0);
    pid_t host = fork();
    if (host == 0) {
        char byte = 0;
        (void)close(hold[1]);
        bool ok = unshare(CLONE_NEWNS | CLONE_NEWUTS) == 0 &&
                  mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
                  mount("none", "/tmp", "tmpfs", 0, "mode=1777") == 0 &&
                  mkdir("/tmp/only-in-there", 0755) == 0 && sethostname("guest-house", 11) == 0;
        _exit(ok && write(ready[1], "", 1) == 1 && read(hold[0], &byte, 1) == 0 ? 0 : 1);
    }
    char byte = 0;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    (void)close(hold[0]);
    int pidfd = (int)syscall(SYS_pidfd_open, host, 0);
    s.enter_fd = pidfd;
    s.enter_namespaces = CLONE_NEWNS | CLONE_NEWUTS;
    s.is_guest = true;
    s.plan.mounts = ISOLATION_MOUNTS_OWN;
    cr_expect_eq(apply_in_child(&s, is_in_the_other_namespaces), 0);
    s.enter_fd = -1;
    cr_expect_eq(apply_in_child(&s, NULL), ISOLATION_STAGE_ENTER);
    (void)close(hold[1]);
    (void)close(pidfd);
    int status = -1;
    cr_assert_eq(waitpid(host, &status, 0), host);
    cr_assert_eq(status, 0);
}
