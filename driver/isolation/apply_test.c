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
static struct isolation_plan plan; /* each test is a process of its own */

static struct isolation_subject nobody(void)
{
    if (geteuid() != 0)
        cr_skip_test("needs root to become somebody else");
    isolation_default(&plan);
    plan.mounts = ISOLATION_MOUNTS_HOST;
    plan.oom_score_adj = 321;
    plan.nice = 7;
    return (struct isolation_subject){
        .plan = &plan, .uid = 65534, .gid = 65533, .groups = groups, .group_count = 2, .cwd = "/tmp"
    };
}

/* Applies in a child, then asks `holds` there. 0: holds; 100 + n: claim n does not; else stage. */
static int apply_in_child(const struct isolation_subject *subject, int (*holds)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        struct isolation_failure why = { 0 };
        if (!isolation_apply(subject, &why))
            _exit(why.stage);
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
    plan.mounts = ISOLATION_MOUNTS_OWN;
    cr_assert_eq(apply_in_child(&subject, has_no_shared_mount), 0);
}

Test(apply, without_privileges_each_refusal_has_its_stage)
{
    struct isolation_subject subject = nobody();
    plan.nice = ISOLATION_NICE_KEEP;
    subject.nice = getpriority(PRIO_PROCESS, 0);
    pid_t pid = fork();
    if (pid == 0) { /* as nobody, ask to be somebody else */
        if (setgroups(0, NULL) != 0 || setgid(65533) != 0 || setuid(65534) != 0 ||
            prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) /* as after an exec */
            _exit(1);
        struct isolation_failure why = { 0 };
        bool good = true;
        subject.uid = 1;
        good = good && !isolation_apply(&subject, &why) && why.stage == ISOLATION_STAGE_GROUPS &&
               why.os_errno == EPERM;
        plan.nice = -5;
        good = good && !isolation_apply(&subject, &why) && why.stage == ISOLATION_STAGE_NICE;
        plan.oom_score_adj = -900;
        good = good && !isolation_apply(&subject, &why) && why.stage == ISOLATION_STAGE_OOM;
        plan.mounts = ISOLATION_MOUNTS_OWN;
        good = good && !isolation_apply(&subject, &why) && why.stage == ISOLATION_STAGE_MOUNTS;
        plan.flags |= ISOLATION_OWN_IPC;
        good = good && !isolation_apply(&subject, &why) && why.stage == ISOLATION_STAGE_NAMESPACES;
        plan.netns = "/proc/self/ns/net";
        good = good && !isolation_apply(&subject, &why) && why.stage == ISOLATION_STAGE_NETWORK;
        _exit(good ? 0 : why.stage);
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
        isolation_default(&plan);
        struct isolation_subject subject = { .plan = &plan,
                                             .uid = 65534,
                                             .gid = 65533,
                                             .cwd = "/",
                                             .nice = getpriority(PRIO_PROCESS, 0) };
        if (setgroups(0, NULL) != 0 || setgid(65533) != 0 || setuid(65534) != 0 ||
            prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) /* as after an exec */
            _exit(1);
        struct isolation_failure why = { 0 };
        _exit(isolation_apply(&subject, &why) ? is_same() : why.stage);
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
        isolation_default(&plan);
        struct isolation_subject subject = { .plan = &plan,
                                             .uid = 65534,
                                             .gid = 65533,
                                             .groups = (const uint32_t[]){ 1234, 65533, 5678 },
                                             .group_count = 3,
                                             .cwd = "/",
                                             .nice = getpriority(PRIO_PROCESS, 0) };
        if (setgroups(3, own) != 0 || setgid(65533) != 0 || setuid(65534) != 0 ||
            prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) /* as after an exec */
            _exit(1);
        struct isolation_failure why = { 0 };
        if (!isolation_apply(&subject, &why))
            _exit(why.stage);
        subject.groups = groups; /* fewer than it has: that it may not */
        subject.group_count = 2;
        if (isolation_apply(&subject, &why) || why.stage != ISOLATION_STAGE_GROUPS)
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
        isolation_default(&plan);
        struct isolation_subject subject = { .plan = &plan,
                                             .groups = groups,
                                             .group_count = 2,
                                             .cwd = "/",
                                             .nice = getpriority(PRIO_PROCESS, 0) };
        struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
        const struct __user_cap_data_struct none[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
        const gid_t own[] = { 5678, 1234 };
        if (setgroups(2, own) != 0 || syscall(SYS_capset, &head, none) != 0)
            _exit(1);
        struct isolation_failure why = { 0 };
        if (!isolation_apply(&subject, &why))
            _exit(why.stage);
        subject.group_count = 0; /* to drop them takes a capability */
        if (isolation_apply(&subject, &why) || why.stage != ISOLATION_STAGE_GROUPS)
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
        isolation_default(&plan);
        struct isolation_subject subject = { .plan = &plan,
                                             .uid = 65534,
                                             .gid = 65533,
                                             .cwd = "/",
                                             .nice = getpriority(PRIO_PROCESS, 0) };
        plan.oom_score_adj = wanted;
        (void)snprintf(real, sizeof(real), "/proc/%d/oom_score_adj", (int)getpid());
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount(fake, real, NULL, MS_BIND, NULL) != 0)
            _exit(1);
        if (setgroups(0, NULL) != 0 || setgid(65533) != 0 || setuid(65534) != 0 ||
            prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) /* as after an exec */
            _exit(2);
        struct isolation_failure why = { 0 };
        _exit(isolation_apply(&subject, &why) ? 0 : why.stage);
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

static int has_limits(void)
{
    struct rlimit files, cores;
    mode_t mask = umask(0);
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur != 64 || files.rlim_max != 128)
        return 101;
    if (getrlimit(RLIMIT_CORE, &cores) != 0 || cores.rlim_cur != 4096)
        return 102;
    return mask == 027 ? 0 : 103;
}

Test(apply, limits_and_umask_are_in_force)
{
    struct isolation_subject subject = nobody();
    plan.flags |= ISOLATION_CORE_DUMPS;
    plan.limits[plan.limit_count++] = (struct isolation_limit){ RLIMIT_NOFILE, 64, 128 };
    plan.limits[plan.limit_count++] = (struct isolation_limit){ RLIMIT_CORE, 4096, 4096 };
    plan.umask = 027;
    cr_assert_eq(apply_in_child(&subject, has_limits), 0);
}

Test(apply, a_limit_that_may_not_be_raised_is_named)
{
    (void)nobody();
    plan.limits[plan.limit_count++] = (struct isolation_limit){ RLIMIT_FSIZE, 9, 9 };
    plan.limits[plan.limit_count++] = (struct isolation_limit){ RLIMIT_NOFILE, 1 << 30, 1 << 30 };
    struct isolation_failure why = { 0 };
    struct isolation_subject subject = { .plan = &plan, .cwd = "/" };
    plan.nice = ISOLATION_NICE_KEEP;
    subject.nice = getpriority(PRIO_PROCESS, 0);
    pid_t pid = fork();
    if (pid == 0) {
        char text[32];
        bool good = !isolation_apply(&subject, &why) && why.stage == ISOLATION_STAGE_LIMITS &&
                    why.object == 1 && why.os_errno == EPERM &&
                    isolation_object_text(&plan, why.stage, why.object, text, sizeof(text)) &&
                    strcmp(text, "nofile") == 0;
        _exit(good ? 0 : 1); /* above /proc/sys/fs/nr_open not even root may go */
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
}

static ino_t namespace_of(const char *name)
{
    char path[64];
    struct stat st;
    (void)snprintf(path, sizeof(path), "/proc/self/ns/%s", name);
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

static ino_t host_ipc, host_uts;

static int has_own_namespaces(void)
{
    return namespace_of("ipc") != host_ipc && namespace_of("uts") != host_uts ? 0 : 101;
}

static int has_host_namespaces(void)
{
    return namespace_of("ipc") == host_ipc && namespace_of("uts") == host_uts ? 0 : 101;
}

Test(apply, a_guest_makes_no_namespaces_of_its_own)
{
    struct isolation_subject subject = nobody();
    host_ipc = namespace_of("ipc");
    host_uts = namespace_of("uts");
    plan.flags |= ISOLATION_OWN_IPC | ISOLATION_OWN_UTS;
    plan.mounts = ISOLATION_MOUNTS_OWN;
    cr_expect_eq(apply_in_child(&subject, has_own_namespaces), 0);
    subject.is_guest = true;
    cr_expect_eq(apply_in_child(&subject, has_host_namespaces), 0);
    cr_expect_eq(apply_in_child(&subject, is_same), 0, "and becomes the user nevertheless");
}

Test(apply, every_object_has_a_name)
{
    char text[64];
    isolation_default(&plan);
    plan.netns = "/run/netns/a";
    plan.mount[0] = (struct isolation_mount){ ISOLATION_BIND, 0, "/srv", "/", "data" };
    plan.mount_count = 1;
    plan.rules[0] = (struct isolation_rule){ ISOLATION_READ, "/usr" };
    plan.rule_count = 1;
    static const struct {
        int stage;
        const char *text;
    } rows[] = { { ISOLATION_STAGE_SOURCE, "/srv" },
                 { ISOLATION_STAGE_MOUNT, "/data" },
                 { ISOLATION_STAGE_LANDLOCK, "/usr" },
                 { ISOLATION_STAGE_NETWORK, "/run/netns/a" } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cr_expect(isolation_object_text(&plan, rows[i].stage, 0, text, sizeof(text)));
        cr_expect_str_eq(text, rows[i].text);
        cr_expect_not(isolation_object_text(&plan, ISOLATION_STAGE_MOUNT, 1, text, sizeof(text)));
    }
    cr_expect_not(isolation_object_text(&plan, ISOLATION_STAGE_MOUNT, -1, text, sizeof(text)));
    cr_expect_not(isolation_object_text(&plan, ISOLATION_STAGE_USER, 0, text, sizeof(text)));
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
    plan.mounts = ISOLATION_MOUNTS_OWN;
    cr_expect_eq(apply_in_child(&s, is_in_the_other_namespaces), 0);
    s.enter_fd = -1;
    cr_expect_eq(apply_in_child(&s, NULL), ISOLATION_STAGE_ENTER);
    (void)close(hold[1]);
    (void)close(pidfd);
    int status = -1;
    cr_assert_eq(waitpid(host, &status, 0), host);
    cr_assert_eq(status, 0);
}
