#include "sidecar/simulate/place.h"

#include "common/base/own.h"

#include <criterion/criterion.h>
#include <stdio.h>

static struct world *w;
static void setup(void)
{
    w = world_new(1, DEFECT_NONE, false);
    w->is_calm = true; /* no faults but those of the test */
    queue_fini(&w->queue);
}
static void teardown(void) { world_free(w); }
TestSuite(place, .init = setup, .fini = teardown);

static struct record record_of(int64_t epoch)
{
    struct record r = { .epoch = epoch, .ttl_ms = 1000 };
    (void)snprintf(r.name, sizeof(r.name), WORLD_NAME);
    r.holder.instance[0] = (uint8_t)epoch;
    return r;
}

static struct machine_action action_of(enum machine_act what, uint64_t call)
{
    struct machine_action a = { .what = what, .call = call, .is_create = what == ACT_WRITE };
    a.until = (struct deadline){ boot_add_ms(world_clock(w, 0), 200) };
    return a;
}

/* Plays the store until a reply comes; its outcome. */
static enum err_kind outcome(struct event *out)
{
    for (;;) {
        *out = queue_pop(&w->queue);
        w->now_ns = out->at_ns;
        if (out->kind == EVENT_REPLY)
            return out->outcome;
        if (out->kind == EVENT_REQUEST)
            place_on_request(w, *out);
        else
            place_on_watch_end(w, out);
    }
}

static struct store_version create(int64_t epoch)
{
    struct event e;
    struct record r = record_of(epoch);
    struct machine_action write = action_of(ACT_WRITE, 1);
    place_call(w, 0, &write, &r);
    cr_assert_eq(outcome(&e), ERR_NONE);
    return e.version;
}

Test(place, written_record_is_read_back_and_a_second_create_conflicts)
{
    struct event e;
    struct record got, r = record_of(1);
    (void)create(1);
    queue_fini(&w->queue);
    struct machine_action read = action_of(ACT_READ, 2), write = action_of(ACT_WRITE, 3);
    place_call(w, 0, &read, NULL);
    cr_assert_eq(outcome(&e), ERR_NONE);
    world_decode(buf_view(&e.bytes), &got);
    cr_assert_eq(got.epoch, 1);
    buf_fini(&e.bytes);
    queue_fini(&w->queue);
    place_call(w, 0, &write, &r);
    cr_assert_eq(outcome(&e), ERR_CONFLICT);
}

Test(place, store_that_is_down_leaves_the_caller_to_its_deadline)
{
    struct event e;
    struct machine_action read = action_of(ACT_READ, 1);
    w->is_down = true;
    place_call(w, 0, &read, NULL);
    cr_assert_eq(outcome(&e), ERR_UNAVAILABLE);
    cr_assert(deadline_is_past(read.until, world_clock(w, 0)));
}

Test(place, store_that_denies_does_nothing)
{
    struct event e;
    struct record r = record_of(1);
    struct machine_action write = action_of(ACT_WRITE, 1);
    w->is_denying = true;
    place_call(w, 0, &write, &r);
    cr_assert_eq(outcome(&e), ERR_DENIED);
    cr_assert_not(w->has_record);
}

Test(place, watch_ends_with_a_change_or_in_time)
{
    struct event e;
    struct machine_action watch = action_of(ACT_READ, 2);
    watch.has_seen = true;
    watch.version = create(1);
    queue_fini(&w->queue);
    watch.watch.at = boot_add_ms(world_clock(w, 0), 100);
    watch.until.at = boot_add_ms(watch.watch.at, 200);
    place_call(w, 0, &watch, NULL);
    cr_assert_eq(outcome(&e), ERR_NONE);
    buf_fini(&e.bytes);
    cr_assert(deadline_is_past(watch.watch, world_clock(w, 0)));
    queue_fini(&w->queue);

    watch.watch.at = boot_add_ms(world_clock(w, 0), 100);
    watch.until.at = boot_add_ms(watch.watch.at, 200);
    struct record r = record_of(2);
    struct machine_action write = action_of(ACT_WRITE, 3);
    write.is_create = false;
    write.version = watch.version;
    place_call(w, 0, &watch, NULL);
    w->now_ns += 20 * NS_PER_MS;
    place_call(w, 0, &write, &r);
    cr_assert_eq(outcome(&e), ERR_NONE);
    buf_fini(&e.bytes);
    cr_assert_eq(outcome(&e), ERR_NONE);
    buf_fini(&e.bytes);
    cr_assert_not(deadline_is_past(watch.watch, world_clock(w, 0)));
}
