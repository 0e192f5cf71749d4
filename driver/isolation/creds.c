#include "driver/isolation/creds.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "driver/isolation/apply.h"

#define GROUPS_MAX 64 /* as many as a spec can name */
#define CAP_LAST   63

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

static bool has_caps(const struct isolation_subject *s)
{
    return (s->plan->flags & ISOLATION_CAPS) != 0;
}

int isolation_drop_bound(const struct isolation_subject *s)
{
    for (int cap = 0; has_caps(s) && cap <= CAP_LAST; cap++) {
        if ((s->plan->caps_bound >> cap & 1) != 0)
            continue;
        int has = prctl(PR_CAPBSET_READ, cap, 0, 0, 0);
        if (has < 0)
            return 0; /* past the last one this kernel knows */
        if (has == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
            return errno;
    }
    return 0;
}

int isolation_set_groups(const struct isolation_subject *s)
{
    if (is_same_user(s))
        return 0;
    if (syscall(SYS_setgroups, s->group_count, s->groups) != 0)
        return errno;
    return syscall(SYS_setresgid, s->gid, s->gid, s->gid) != 0 ? errno : 0;
}

int isolation_set_user(const struct isolation_subject *s)
{
    if (is_same_user(s))
        return 0;
    if (has_caps(s) && s->plan->caps_given != 0 && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
        return errno;
    return syscall(SYS_setresuid, s->uid, s->uid, s->uid) != 0 ? errno : 0;
}

static int raise_ambient(uint64_t caps)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return errno;
    for (int cap = 0; cap <= CAP_LAST; cap++)
        if ((caps >> cap & 1) != 0 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0)
            return errno;
    return 0;
}

int isolation_set_caps(const struct isolation_subject *s)
{
    if (!has_caps(s))
        return 0;
    const uint64_t has = s->uid == 0 ? s->plan->caps_bound : s->plan->caps_given;
    const uint64_t inherited = s->uid == 0 ? 0 : has; /* root's come back at exec by themselves */
    struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
    const struct __user_cap_data_struct data[2] = {
        { (uint32_t)has, (uint32_t)has, (uint32_t)inherited },
        { (uint32_t)(has >> 32), (uint32_t)(has >> 32), (uint32_t)(inherited >> 32) },
    };
    if (syscall(SYS_capset, &head, data) != 0)
        return errno;
    return raise_ambient(inherited);
}
