#include "driver/isolation/limits.h"

#include <stdlib.h>
#include <sys/resource.h>

#include "common/base/own.h"
#include "common/base/text.h"

static const char *const names[] = {
    [RLIMIT_CPU] = "cpu",           [RLIMIT_FSIZE] = "fsize",
    [RLIMIT_DATA] = "data",         [RLIMIT_STACK] = "stack",
    [RLIMIT_CORE] = "core",         [RLIMIT_RSS] = "rss",
    [RLIMIT_NPROC] = "nproc",       [RLIMIT_NOFILE] = "nofile",
    [RLIMIT_MEMLOCK] = "memlock",   [RLIMIT_AS] = "as",
    [RLIMIT_LOCKS] = "locks",       [RLIMIT_SIGPENDING] = "sigpending",
    [RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice",
    [RLIMIT_RTPRIO] = "rtprio",     [RLIMIT_RTTIME] = "rttime",
};
_Static_assert(COUNT(names) == ISOLATION_LIMIT_NUMBER + 1, "every limit has a name");

const char *isolation_limit_name(uint8_t number)
{
    return number < COUNT(names) ? names[number] : "limit";
}

static bool parse_one(struct view text, uint64_t *out)
{
    struct err ignored = { 0 };
    int64_t value = 0;
    if (view_is_equal(text, view_str("unlimited"))) {
        *out = RLIM_INFINITY;
        return true;
    }
    if (!int_parse(text, 0, INT64_MAX, &value, &ignored))
        return false;
    *out = (uint64_t)value;
    return true;
}

static bool parse_value(struct view value, struct isolation_limit *out)
{
    const uint8_t *colon = value.len > 0 ? memchr(value.data, ':', value.len) : NULL;
    if (colon == NULL)
        return parse_one(value, &out->soft) && parse_one(value, &out->hard);
    const size_t len = (size_t)(colon - value.data);
    return parse_one(view_of(value.data, len), &out->soft) &&
           parse_one(view_of(colon + 1, value.len - len - 1), &out->hard);
}

bool isolation_limit_parse(struct view name, struct view value, struct isolation_limit *out,
                           struct err *err)
{
    const int shown = name.len > 32 ? 32 : (int)name.len;
    for (uint8_t i = 0; i < COUNT(names); i++) {
        if (!view_is_equal(name, view_str(names[i])))
            continue;
        out->number = i;
        if (!parse_value(value, out))
            return err_set(err, ERR_INVALID, "%s: is not a number, \"soft:hard\" or \"unlimited\"",
                           names[i]);
        return out->soft <= out->hard ||
               err_set(err, ERR_INVALID, "%s: the soft limit is above the hard one", names[i]);
    }
    return err_set(err, ERR_INVALID, "\"%.*s\": there is no such limit", shown,
                   (const char *)name.data);
}
