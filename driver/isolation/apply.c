#include "driver/isolation/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/own.h"

#define GROUPS_MAX 64 /* as many as a spec can name */

/* Credentials by raw system call: libc's wrappers try to change every thread of the process that
 * was cloned, and those do not exist here. Every step returns 0 or an errno. */

static bool has_own_mounts(const struct isolation_subject *s)
{
    return !s->is_guest && (s->plan.mounts == ISOLATION_MOUNTS_OWN ||
                            (s->plan.mounts == ISOLATION_MOUNTS_AUTO && s->in_pidns));
}

/* An exec joins what the agent's own child has made. */
static int enter(const struct isolation_subject *s)
{
    return s->enter_namespaces != 0 && setns(s->enter_fd, s->enter_namespaces) != 0 ? errno : 0;
}

static int make_mounts(const struct isolation_subject *s)
{
    if (!has_own_mounts(s))
        return 0;
    if (unshare(CLONE_NEWNS) != 0)
        return errno;
    /* Slave, not private: nothing leaves, but what the host unmounts is not kept alive in here. */
    return mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0 ? errno : 0;
}

static int mount_proc(const struct isolation_subject *s)
{
    if (!has_own_mounts(s) || !s->in_pidns)
        return 0;
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    return mount("proc", "/proc", "proc", flags, NULL) != 0 ? errno : 0;
}

/* Decimal text of `value`, without stdio; returns its length. */
static size_t decimal(int32_t value, char out[12])
{
    char digits[12];
    size_t count = 0, used = 0;
    uint32_t rest = value < 0 ? 0U - (uint32_t)value : (uint32_t)value;
    do
        digits[count++] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        out[used++] = '-';
    while (count > 0)
        out[used++] = digits[--count];
    return used;
}

#define SCORE_FILE "/proc/self/oom_score_adj"

static int write_score(int32_t score)
{
    char text[12];
    size_t len = decimal(score, text);
    int fd = open(SCORE_FILE, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = write(fd, text, len) == (ssize_t)len ? 0 : errno;
    (void)close(fd);
    return error;
}

/* True when the score we have is a number of at least `score` (which is not negative). */
static bool has_score(int32_t score)
{
    char text[12];
    int fd = open(SCORE_FILE, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text));
    int32_t now = 0;
    ssize_t at = 0;
    for (; at < len && at < 4 && text[at] >= '0' && text[at] <= '9'; at++)
        now = now * 10 + (text[at] - '0');
    if (fd >= 0)
        (void)close(fd);
    return at > 0 && now >= score;
}

/* A pod or a user's service manager gives a score above zero that only privileges may lower: then
 * the agent keeps it. Protection (below zero) that cannot be had is an error. */
static int set_oom(const struct isolation_subject *s)
{
    int error = write_score(s->plan.oom_score_adj);
    bool may_stay = error == EACCES && s->plan.oom_score_adj >= 0;
    return may_stay && has_score(s->plan.oom_score_adj) ? 0 : error;
}

static int set_nice(const struct isolation_subject *s)
{
    int want = s->plan.nice == ISOLATION_NICE_KEEP ? s->nice : s->plan.nice;
    errno = 0;
    int now = getpriority(PRIO_PROCESS, 0);
    if (now == -1 && errno != 0)
        return errno;
    return now != want && setpriority(PRIO_PROCESS, 0, want) != 0 ? errno : 0;
}

static int set_limits(const struct isolation_subject *s)
{
    const struct rlimit none = { 0, 0 };
    return !s->plan.core_dumps && setrlimit(RLIMIT_CORE, &none) != 0 ? errno : 0;
}

static bool is_in(uint32_t group, const uint32_t *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (list[i] == group)
            return true;
    return false;
}

/* True when the groups asked for are the ones we have, in any order. To ask for none is to ask root
 * to drop them all, and nobody else anything. */
static bool has_groups(const struct isolation_subject *s)
{
    uint32_t own[GROUPS_MAX];
    long count = syscall(SYS_getgroups, GROUPS_MAX, own);
    if (s->group_count == 0 && geteuid() != 0)
        return true;
    bool is_same = count >= 0;
    for (long i = 0; i < count; i++)
        is_same = is_same && is_in(own[i], s->groups, s->group_count);
    for (size_t i = 0; is_same && i < s->group_count; i++)
        is_same = is_in(s->groups[i], own, (size_t)count);
    return is_same;
}

/* Who stays who it is has nothing to change; and may not, as an ordinary user or as a container's
 * root without capabilities. */
static bool is_same_user(const struct isolation_subject *s)
{
    uint32_t r, e, saved;
    return syscall(SYS_getresuid, &r, &e, &saved) == 0 && r == s->uid && e == s->uid &&
           saved == s->uid && syscall(SYS_getresgid, &r, &e, &saved) == 0 && r == s->gid &&
           e == s->gid && saved == s->gid && has_groups(s);
}

static int set_groups(const struct isolation_subject *s)
{
    if (is_same_user(s))
        return 0;
    if (syscall(SYS_setgroups, s->group_count, s->groups) != 0)
        return errno;
    return syscall(SYS_setresgid, s->gid, s->gid, s->gid) != 0 ? errno : 0;
}

static int set_user(const struct isolation_subject *s)
{
    if (is_same_user(s))
        return 0;
    return syscall(SYS_setresuid, s->uid, s->uid, s->uid) != 0 ? errno : 0;
}

static int enter_directory(const struct isolation_subject *s)
{
    return chdir(s->cwd) != 0 ? errno : 0;
}

static int drop_privileges(const struct isolation_subject *s)
{
    return s->plan.no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ? errno : 0;
}

static int set_death_signal(const struct isolation_subject *s)
{
    return s->death_signal != 0 && prctl(PR_SET_PDEATHSIG, s->death_signal) != 0 ? errno : 0;
}

/* The order matters: mounts and scores need privileges, the directory is entered as the user, the
 * death signal is cleared by every change of user. */
static const struct {
    enum isolation_stage stage;
    int (*run)(const struct isolation_subject *s);
} steps[] = {
    { ISOLATION_STAGE_ENTER, enter },
    { ISOLATION_STAGE_MOUNTS, make_mounts },
    { ISOLATION_STAGE_PROC, mount_proc },
    { ISOLATION_STAGE_OOM, set_oom },
    { ISOLATION_STAGE_NICE, set_nice },
    { ISOLATION_STAGE_LIMITS, set_limits },
    { ISOLATION_STAGE_GROUPS, set_groups },
    { ISOLATION_STAGE_USER, set_user },
    { ISOLATION_STAGE_DIRECTORY, enter_directory },
    { ISOLATION_STAGE_PRIVILEGES, drop_privileges },
    { ISOLATION_STAGE_DEATH_SIGNAL, set_death_signal },
};

bool isolation_apply(const struct isolation_subject *subject, int *out_stage, int *out_errno)
{
    for (size_t i = 0; i < COUNT(steps); i++) {
        int error = steps[i].run(subject);
        if (error == 0)
            continue;
        *out_stage = (int)steps[i].stage;
        *out_errno = error;
        return false;
    }
    return true;
}

#define STAGE_TEXT(stage, number, text) { number, text },
static const struct {
    int stage;
    const char *text;
} stage_texts[] = { ISOLATION_STAGES(STAGE_TEXT) };

const char *isolation_stage_text(int stage)
{
    for (size_t i = 0; i < COUNT(stage_texts); i++)
        if (stage_texts[i].stage == stage)
            return stage_texts[i].text;
    return NULL;
}
