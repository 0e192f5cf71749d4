/* time.h - three clocks as three types, so that mixing them does not compile.
 *
 * boot (CLOCK_BOOTTIME) for anything that expires, mono (CLOCK_MONOTONIC) for latencies, wall only
 * for people, certificates and signatures. Durations are int64_t with the unit in the name. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct boot {
    int64_t ns;
};
struct mono {
    int64_t ns;
};
struct wall {
    int64_t ns;
};

#define NS_PER_MS ((int64_t)1000000)
#define MS_PER_S  ((int64_t)1000)

/** The clocks now. They cannot fail on Linux. */
struct boot boot_now(void);
struct mono mono_now(void);
struct wall wall_now(void);

/** `later` minus `earlier` in ms, or in us, rounded down; negative the other way round. */
int64_t boot_diff_ms(struct boot later, struct boot earlier);
int64_t mono_diff_us(struct mono later, struct mono earlier);

/** `from` plus `ms` (may be negative); saturates at the ends of the clock. */
struct boot boot_add_ms(struct boot from, int64_t ms);

/** Where a module gets the time from, so that a test can own it. */
struct clock {
    struct boot (*boot)(void *arg);
    struct wall (*wall)(void *arg);
    void *arg;
};

/** The machine's own clocks. */
extern const struct clock clock_system;

/** The time of clock `c`. */
static inline struct boot clock_boot(const struct clock *c) { return c->boot(c->arg); }
static inline struct wall clock_wall(const struct clock *c) { return c->wall(c->arg); }

#define WALL_TEXT_BYTES 32
/** "2026-11-25T12:39:19.123456Z" into `out`; for people and for Nomad's log format. */
void wall_format(struct wall at, char out[WALL_TEXT_BYTES]);
