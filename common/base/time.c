#include "common/base/time.h"

#include <stdio.h>
#include <time.h>

#define NS_PER_S ((int64_t)1000000000)

static int64_t clock_ns(clockid_t id)
{
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

struct boot boot_now(void) { return (struct boot){ clock_ns(CLOCK_BOOTTIME) }; }
struct mono mono_now(void) { return (struct mono){ clock_ns(CLOCK_MONOTONIC) }; }
struct wall wall_now(void) { return (struct wall){ clock_ns(CLOCK_REALTIME) }; }

static int64_t floor_div(int64_t value, int64_t by)
{
    int64_t whole = value / by;
    return value % by < 0 ? whole - 1 : whole;
}

int64_t boot_diff_ms(struct boot later, struct boot earlier)
{
    return floor_div(later.ns - earlier.ns, NS_PER_MS);
}

int64_t mono_diff_us(struct mono later, struct mono earlier)
{
    return floor_div(later.ns - earlier.ns, 1000);
}

struct boot boot_add_ms(struct boot from, int64_t ms)
{
    int64_t ns;
    struct boot sum;
    if (__builtin_mul_overflow(ms, NS_PER_MS, &ns) || __builtin_add_overflow(from.ns, ns, &sum.ns))
        sum.ns = ms < 0 ? INT64_MIN : INT64_MAX;
    return sum;
}

static struct boot system_boot(void *arg)
{
    (void)arg;
    return boot_now();
}

static struct wall system_wall(void *arg)
{
    (void)arg;
    return wall_now();
}

const struct clock clock_system = { system_boot, system_wall, 0 };

void wall_format(struct wall at, char out[WALL_TEXT_BYTES])
{
    time_t seconds = (time_t)floor_div(at.ns, NS_PER_S);
    int64_t us = (at.ns - (int64_t)seconds * NS_PER_S) / 1000;
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL || parts.tm_year > 8099 || parts.tm_year < -1900) {
        (void)snprintf(out, WALL_TEXT_BYTES, "0001-01-01T00:00:00.000000Z");
        return;
    }
    char day[24];
    (void)strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &parts);
    (void)snprintf(out, WALL_TEXT_BYTES, "%s.%06dZ", day, (int)us);
}
