#include "driver/isolation/apply.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/base/own.h"
#include "driver/isolation/creds.h"
#include "driver/isolation/landlock.h"
#include "driver/isolation/limits.h"
#include "driver/isolation/mounts.h"

/* Every step returns 0 or an errno; those of lists say which by `object`. */

/* An exec joins what the agent's own child has made. */
static int enter(const struct isolation_subject *s, int *object)
{
    (void)object;
    return s->enter_namespaces != 0 && setns(s->enter_fd, s->enter_namespaces) != 0 ? errno : 0;
}

static int enter_network(const struct isolation_subject *s, int *object)
{
    (void)object;
    if (s->plan->netns[0] == '\0')
        return 0;
    int fd = open(s->plan->netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = setns(fd, CLONE_NEWNET) != 0 ? errno : 0;
    (void)close(fd);
    return error;
}

static int make_namespaces(const struct isolation_subject *s, int *object)
{
    static const struct {
        uint32_t flag;
        int clone_flag;
    } rows[] = { { ISOLATION_OWN_IPC, CLONE_NEWIPC },
                 { ISOLATION_OWN_UTS, CLONE_NEWUTS },
                 { ISOLATION_OWN_CGROUP, CLONE_NEWCGROUP } };
    (void)object;
    int flags = 0;
    for (size_t i = 0; i < COUNT(rows); i++)
        flags |= (s->plan->flags & rows[i].flag) != 0 ? rows[i].clone_flag : 0;
    return flags != 0 && unshare(flags) != 0 ? errno : 0;
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
static int set_oom(const struct isolation_subject *s, int *object)
{
    (void)object;
    int error = write_score(s->plan->oom_score_adj);
    bool may_stay = error == EACCES && s->plan->oom_score_adj >= 0;
    return may_stay && has_score(s->plan->oom_score_adj) ? 0 : error;
}

static int set_nice(const struct isolation_subject *s, int *object)
{
    (void)object;
    int want = s->plan->nice == ISOLATION_NICE_KEEP ? s->nice : s->plan->nice;
    errno = 0;
    int now = getpriority(PRIO_PROCESS, 0);
    if (now == -1 && errno != 0)
        return errno;
    return now != want && setpriority(PRIO_PROCESS, 0, want) != 0 ? errno : 0;
}

static int set_limits(const struct isolation_subject *s, int *object)
{
    const struct rlimit none = { 0, 0 };
    if ((s->plan->flags & ISOLATION_CORE_DUMPS) == 0 && setrlimit(RLIMIT_CORE, &none) != 0)
        return errno;
    for (size_t i = 0; i < s->plan->limit_count; i++) {
        const struct isolation_limit *limit = &s->plan->limits[i];
        const uint64_t want[2] = { limit->soft, limit->hard };
        *object = (int)i;
        if (syscall(SYS_prlimit64, 0, limit->number, want, NULL) != 0)
            return errno;
    }
    return 0;
}

static int set_umask(const struct isolation_subject *s, int *object)
{
    (void)object;
    if (s->plan->umask != ISOLATION_UMASK_KEEP)
        (void)umask((mode_t)s->plan->umask);
    return 0;
}

static int drop_bound(const struct isolation_subject *s, int *object)
{
    (void)object;
    return isolation_drop_bound(s);
}

static int set_groups(const struct isolation_subject *s, int *object)
{
    (void)object;
    return isolation_set_groups(s);
}

static int set_user(const struct isolation_subject *s, int *object)
{
    (void)object;
    return isolation_set_user(s);
}

static int set_caps(const struct isolation_subject *s, int *object)
{
    (void)object;
    return isolation_set_caps(s);
}

static int enter_directory(const struct isolation_subject *s, int *object)
{
    (void)object;
    return chdir(s->cwd) != 0 ? errno : 0;
}

static bool has_no_new_privs(const struct isolation_subject *s)
{
    return (s->plan->flags & ISOLATION_NO_NEW_PRIVS) != 0;
}

static int drop_privileges(const struct isolation_subject *s, int *object)
{
    (void)object;
    return has_no_new_privs(s) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ? errno : 0;
}

static int set_death_signal(const struct isolation_subject *s, int *object)
{
    (void)object;
    return s->death_signal != 0 && prctl(PR_SET_PDEATHSIG, s->death_signal) != 0 ? errno : 0;
}

static int load_filter(const struct isolation_subject *s)
{
    const struct view filter = s->plan->filter;
    const struct sock_fprog program = { (unsigned short)(filter.len / sizeof(struct sock_filter)),
                                        (struct sock_filter *)(uintptr_t)filter.data };
    if (filter.len == 0)
        return 0;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0 ? errno : 0;
}

/* Landlock and seccomp want no_new_privs or CAP_SYS_ADMIN. An agent that may gain privileges gets
 * them while the child still has the capability; all others last, when it is to have no more. */
static int restrict_early(const struct isolation_subject *s, int *object)
{
    return has_no_new_privs(s) ? 0 : isolation_landlock_apply(s->plan, object);
}

static int restrict_late(const struct isolation_subject *s, int *object)
{
    return has_no_new_privs(s) ? isolation_landlock_apply(s->plan, object) : 0;
}

static int filter_early(const struct isolation_subject *s, int *object)
{
    (void)object;
    return has_no_new_privs(s) ? 0 : load_filter(s);
}

static int filter_late(const struct isolation_subject *s, int *object)
{
    (void)object;
    return has_no_new_privs(s) ? load_filter(s) : 0;
}

struct step {
    enum isolation_stage stage;
    bool is_shared; /* a guest finds it done: it is in the namespaces */
    int (*run)(const struct isolation_subject *s, int *object);
};

/* The order matters: mounts and scores need privileges, the bounding set is dropped by who still
 * may, the directory is entered as the user, the death signal is cleared by every change of user,
 * and the filter is the last: nothing of ours has to be allowed in it but what follows in exec. */
static const struct step before_mounts[] = {
    { ISOLATION_STAGE_ENTER, false, enter },
    { ISOLATION_STAGE_NETWORK, true, enter_network },
    { ISOLATION_STAGE_NAMESPACES, true, make_namespaces },
};
static const struct step after_mounts[] = {
    { ISOLATION_STAGE_OOM, false, set_oom },
    { ISOLATION_STAGE_NICE, false, set_nice },
    { ISOLATION_STAGE_LIMITS, false, set_limits },
    { ISOLATION_STAGE_GROUPS, false, set_umask },
    { ISOLATION_STAGE_LANDLOCK, false, restrict_early },
    { ISOLATION_STAGE_FILTER, false, filter_early },
    { ISOLATION_STAGE_BOUND, false, drop_bound },
    { ISOLATION_STAGE_GROUPS, false, set_groups },
    { ISOLATION_STAGE_USER, false, set_user },
    { ISOLATION_STAGE_CAPS, false, set_caps },
    { ISOLATION_STAGE_DIRECTORY, false, enter_directory },
    { ISOLATION_STAGE_PRIVILEGES, false, drop_privileges },
    { ISOLATION_STAGE_LANDLOCK, false, restrict_late },
    { ISOLATION_STAGE_DEATH_SIGNAL, false, set_death_signal },
    { ISOLATION_STAGE_FILTER, false, filter_late },
};

static bool run_steps(const struct step *steps, size_t count, const struct isolation_subject *s,
                      struct isolation_failure *out)
{
    for (size_t i = 0; i < count; i++) {
        int object = -1;
        int error = s->is_guest && steps[i].is_shared ? 0 : steps[i].run(s, &object);
        if (error == 0)
            continue;
        *out = (struct isolation_failure){ (int)steps[i].stage, error, object };
        return false;
    }
    return true;
}

bool isolation_apply(const struct isolation_subject *subject, struct isolation_failure *out)
{
    return run_steps(before_mounts, COUNT(before_mounts), subject, out) &&
           (subject->is_guest || isolation_mounts_apply(subject->plan, subject->in_pidns, out)) &&
           run_steps(after_mounts, COUNT(after_mounts), subject, out);
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

bool isolation_object_text(const struct isolation_plan *plan, int stage, int object, char *out,
                           size_t size)
{
    const size_t at = (size_t)object;
    if (stage == ISOLATION_STAGE_NETWORK)
        (void)snprintf(out, size, "%s", plan->netns);
    else if (object < 0)
        return false;
    else if (stage == ISOLATION_STAGE_LIMITS && at < plan->limit_count)
        (void)snprintf(out, size, "%s", isolation_limit_name(plan->limits[at].number));
    else if (stage == ISOLATION_STAGE_LANDLOCK && at < plan->rule_count)
        (void)snprintf(out, size, "%s", plan->rules[at].path);
    else if (stage == ISOLATION_STAGE_SOURCE && at < plan->mount_count)
        (void)snprintf(out, size, "%s", plan->mount[at].source);
    else if (stage == ISOLATION_STAGE_MOUNT && at < plan->mount_count)
        (void)snprintf(out, size, "%s/%s",
                       strcmp(plan->mount[at].root, "/") == 0 ? "" : plan->mount[at].root,
                       plan->mount[at].target);
    else
        return false;
    return true;
}
