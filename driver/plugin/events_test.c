#include "driver/plugin/events.h"

#include "driver/plugin/host_test.h"

static struct task_event event_of(const char *message)
{
    return (struct task_event){ "id", "alloc", "task", { 1 }, message };
}

static void say(const char *message)
{
    struct task_event event = event_of(message);
    fake.tasks->on_event(fake.tasks->event_arg, &event);
}

static struct rpc_request *listen_to(struct host *host, struct seen *seen)
{
    struct rpc_events events = seen_events(&host->w, seen);
    struct rpc_request *request = rpc_client_stream(host->w.client, DRIVER "TaskEvents",
                                                    view_of("", 0), &events);
    cr_assert_eq(host_code(host, DRIVER "Capabilities", NULL), RPC_OK);
    return request;
}

static void assert_last(const struct seen *seen, const char *message)
{
    Nd__DriverTaskEvent *got = nd__driver_task_event__unpack(NULL, seen->last.len, seen->last.data);
    cr_assert_str_eq(got->message, message);
    cr_assert_str_eq(got->alloc_id, "alloc");
    cr_assert_not_null(got->timestamp);
    nd__driver_task_event__free_unpacked(got, NULL);
}

Test(events, reach_every_listener_in_order)
{
    struct host host;
    struct seen one, two;
    host_init(&host);
    host_configure(&host);
    (void)listen_to(&host, &one);
    (void)listen_to(&host, &two);
    for (int i = 0; i < 10; i++) {
        char text[32];
        snprintf(text, sizeof(text), "event %d", i);
        say(text);
    }
    host_run_until(&host, &one.messages, 10);
    host_run_until(&host, &two.messages, 10);
    assert_last(&one, "event 9");
    assert_last(&two, "event 9");
    seen_fini(&one);
    seen_fini(&two);
    host_fini(&host);
}

Test(events, before_the_listener_came_are_not_for_it)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    host_configure(&host);
    for (int i = 0; i < 10000; i++)
        say("stale");
    (void)listen_to(&host, &seen);
    say("fresh");
    host_run_until(&host, &seen.messages, 1);
    assert_last(&seen, "fresh");
    seen_fini(&seen);
    host_fini(&host);
}

Test(events, are_bounded_for_a_listener_that_is_behind)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    host_configure(&host);
    (void)listen_to(&host, &seen);
    for (int i = 0; i < 10 * EVENTS_KEPT; i++) /* the loop does not turn: nothing is taken */
        say(i == 10 * EVENTS_KEPT - 1 ? "newest" : "old");
    host_run_until(&host, &seen.messages, EVENTS_KEPT);
    cr_assert_eq(host_code(&host, DRIVER "Capabilities", NULL), RPC_OK);
    cr_assert_leq(seen.messages, EVENTS_KEPT + 1);
    assert_last(&seen, "newest");
    seen_fini(&seen);
    host_fini(&host);
}

Test(events, end_for_a_listener_that_left)
{
    struct host host;
    struct seen seen, other;
    host_init(&host);
    host_configure(&host);
    struct rpc_request *request = listen_to(&host, &seen);
    (void)listen_to(&host, &other);
    rpc_request_cancel(request);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(host_code(&host, DRIVER "Capabilities", NULL), RPC_OK);
    say("hello");
    host_run_until(&host, &other.messages, 1);
    cr_assert_eq(seen.messages, 0);
    seen_fini(&seen);
    seen_fini(&other);
    host_fini(&host);
}
