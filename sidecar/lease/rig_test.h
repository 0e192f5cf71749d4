/* rig_test.h - a machine on a bench for its tests: a clock that the test moves, results by hand.
 *
 * Every helper clears the todo list first, so that assertions are about the last input. */
#pragma once
#include "sidecar/lease/machine.h"

#include <criterion/criterion.h>
#include <stdio.h>

#define RIG_TTL_MS    10000
#define RIG_MARGIN_MS 2000

struct rig {
    struct machine m;
    struct boot now;
    struct machine_todo todo;
    int versions;
    struct store_version version; /* of the register, as the test plays it */
};

static inline struct machine_spec rig_spec(uint8_t instance)
{
    struct machine_spec spec = { .name = "eu/planner/0",
                                 .ttl_ms = RIG_TTL_MS,
                                 .margin_ms = RIG_MARGIN_MS };
    memset(spec.who.instance, instance, sizeof(spec.who.instance));
    (void)snprintf(spec.who.node, sizeof(spec.who.node), "node-%d", instance);
    return spec;
}

static inline struct rig rig_new(void)
{
    struct rig r = { .now = { 1000 * NS_PER_MS } };
    struct machine_spec spec = rig_spec(1);
    machine_init(&r.m, &spec);
    return r;
}

/* The action of this kind from the last input, or NULL. */
static inline const struct machine_action *rig_did(const struct rig *r, enum machine_act what)
{
    for (size_t i = 0; i < r->todo.count; i++)
        if (r->todo.list[i].what == what)
            return &r->todo.list[i];
    return NULL;
}

static inline const struct machine_action *rig_must(const struct rig *r, enum machine_act what)
{
    const struct machine_action *a = rig_did(r, what);
    cr_assert_not_null(a, "no action %d in state %s", (int)what, machine_state_name(r->m.state));
    return a;
}

static inline struct store_version rig_next_version(struct rig *r)
{
    (void)snprintf(r->version.text, sizeof(r->version.text), "v%d", ++r->versions);
    return r->version;
}

static inline void rig_wait(struct rig *r, int64_t ms) { r->now = boot_add_ms(r->now, ms); }

static inline void rig_start(struct rig *r)
{
    r->todo.count = 0;
    machine_start(&r->m, r->now, &r->todo);
}

static inline void rig_read(struct rig *r, const struct record *record)
{
    struct store_version v = r->version;
    r->todo.count = 0;
    machine_on_read(&r->m, r->now, r->m.call_seq, NULL, record, &v, &r->todo);
}

static inline void rig_read_fails(struct rig *r, enum err_kind kind)
{
    struct err err = { 0 };
    (void)err_set(&err, kind, "made by the test");
    r->todo.count = 0;
    machine_on_read(&r->m, r->now, r->m.call_seq, &err, NULL, NULL, &r->todo);
}

static inline void rig_write_wins(struct rig *r)
{
    struct store_version v = rig_next_version(r);
    r->todo.count = 0;
    machine_on_write(&r->m, r->now, r->m.call_seq, NULL, &v, &r->todo);
}

static inline void rig_write_fails(struct rig *r, enum err_kind kind)
{
    struct err err = { 0 };
    (void)err_set(&err, kind, "made by the test");
    r->todo.count = 0;
    machine_on_write(&r->m, r->now, r->m.call_seq, &err, NULL, &r->todo);
}

static inline void rig_ack(struct rig *r, bool accepted)
{
    r->todo.count = 0;
    machine_on_ack(&r->m, r->now, r->m.arm_seq, accepted, &r->todo);
}

/* Moves the clock to the wake instant and fires. */
static inline void rig_wake(struct rig *r)
{
    struct boot at;
    cr_assert(machine_wake(&r->m, &at));
    if (at.ns > r->now.ns)
        r->now = at;
    r->todo.count = 0;
    machine_on_timer(&r->m, r->now, &r->todo);
}

static inline void rig_timer(struct rig *r)
{
    r->todo.count = 0;
    machine_on_timer(&r->m, r->now, &r->todo);
}

static inline uint64_t rig_commit(struct rig *r, int64_t sequence)
{
    struct record_head head = { .sequence = sequence, .epoch = 1 };
    (void)snprintf(head.id, sizeof(head.id), "head-%d", (int)sequence);
    r->todo.count = 0;
    return machine_commit(&r->m, r->now, sequence == 0 ? NULL : &head, &r->todo);
}

static inline bool rig_release(struct rig *r)
{
    r->todo.count = 0;
    return machine_release(&r->m, r->now, &r->todo);
}

static inline void rig_stop(struct rig *r)
{
    r->todo.count = 0;
    machine_stop(&r->m, r->now, &r->todo);
}

/* A record of another process. */
static inline struct record rig_other(int64_t epoch, bool released)
{
    struct record record = { .epoch = epoch, .ttl_ms = RIG_TTL_MS, .released = released };
    struct machine_spec spec = rig_spec(2);
    record.holder = spec.who;
    (void)snprintf(record.name, sizeof(record.name), "%s", spec.name);
    return record;
}

/* A machine that holds epoch 1, nothing under way, the clock as it was when the write was sent. */
static inline struct rig rig_held(void)
{
    struct rig r = rig_new();
    rig_start(&r);
    rig_read_fails(&r, ERR_NOT_FOUND);
    rig_write_wins(&r);
    rig_ack(&r, true);
    cr_assert_eq(r.m.state, MACHINE_HELD);
    return r;
}
