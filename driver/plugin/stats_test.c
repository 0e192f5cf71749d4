#include "driver/plugin/stats.h"

#include "driver/plugin/host_test.h"

static struct rpc_request *open_stats(struct host *host, const char *id, int32_t interval_ms,
                                      struct seen *seen)
{
    uint8_t bytes[256];
    Nd__Duration interval = ND__DURATION__INIT;
    interval.nanos = interval_ms * 1000000;
    Nd__TaskStatsRequest request = ND__TASK_STATS_REQUEST__INIT;
    request.task_id = bytes_of(id);
    request.collection_interval = &interval;
    size_t len = nd__task_stats_request__pack(&request, bytes);
    struct rpc_events events = seen_events(&host->w, seen);
    return rpc_client_stream(host->w.client, DRIVER "TaskStats", view_of(bytes, len), &events);
}

static void init(struct host *host)
{
    struct seen seen;
    host_init(host);
    host_configure(host);
    cr_assert_eq(host_start(host, "x", "ok", &seen), RPC_OK);
    seen_fini(&seen);
}

Test(stats, come_at_once_and_then_at_each_interval)
{
    struct host host;
    struct seen seen;
    init(&host);
    struct boot before = boot_now();
    (void)open_stats(&host, "x", STATS_INTERVAL_MIN_MS, &seen);
    host_run_until(&host, &seen.messages, 1);
    cr_assert_lt(boot_diff_ms(boot_now(), before), STATS_INTERVAL_MIN_MS);
    host_run_until(&host, &seen.messages, 4);
    cr_assert_geq(boot_diff_ms(boot_now(), before), 3 * STATS_INTERVAL_MIN_MS);
    Nd__TaskStatsResponse *got = nd__task_stats_response__unpack(NULL, seen.last.len,
                                                                 seen.last.data);
    cr_assert_str_eq(got->stats->id, "x");
    cr_assert_eq(got->stats->agg_resource_usage->cpu->percent, 150);
    nd__task_stats_response__free_unpacked(got, NULL);
    seen_fini(&seen);
    host_fini(&host);
}

Test(stats, are_silent_after_the_end_and_end_well_when_the_task_is_destroyed)
{
    struct host host;
    struct seen seen;
    init(&host);
    (void)open_stats(&host, "x", STATS_INTERVAL_MIN_MS, &seen);
    host_run_until(&host, &seen.messages, 1);
    fake_exit("x");
    int messages = seen.messages, usages = fake.usages;
    host_run_until(&host, &fake.usages, usages + 3);
    cr_assert_leq(seen.messages, messages + 1); /* one may have been on its way */
    cr_assert_eq(seen.ends, 0);
    Nd__DestroyTaskRequest request = ND__DESTROY_TASK_REQUEST__INIT;
    request.task_id = bytes_of("x");
    cr_assert_eq(host_code(&host, DRIVER "DestroyTask", &request), RPC_OK);
    host_run_until(&host, &seen.ends, 1);
    cr_assert_eq(seen.code, RPC_OK);
    seen_fini(&seen);
    host_fini(&host);
}

Test(stats, of_an_unknown_task_are_not_found)
{
    struct host host;
    struct seen seen;
    init(&host);
    (void)open_stats(&host, "unknown", 0, &seen);
    host_run_until(&host, &seen.ends, 1);
    cr_assert_eq(seen.code, RPC_NOT_FOUND);
    cr_assert_eq(seen.messages, 0);
    seen_fini(&seen);
    host_fini(&host);
}

Test(stats, lose_one_sample_to_a_failure_and_go_on)
{
    struct host host;
    struct seen seen;
    init(&host);
    fake.holds_usage = true;
    (void)open_stats(&host, "x", STATS_INTERVAL_MIN_MS, &seen);
    host_run_until(&host, &fake.usages, 1);
    fake.holds_usage = false;
    fake_give_usage(ERR_SYSTEM);
    host_run_until(&host, &seen.messages, 1);
    cr_assert_geq(fake.usages, 2);
    seen_fini(&seen);
    host_fini(&host);
}

Test(stats, take_one_sample_at_a_time_however_slow)
{
    struct host host;
    struct seen seen;
    init(&host);
    fake.holds_usage = true;
    (void)open_stats(&host, "x", STATS_INTERVAL_MIN_MS, &seen);
    host_run_until(&host, &fake.usages, 1);
    struct boot before = boot_now();
    while (boot_diff_ms(boot_now(), before) < 3 * STATS_INTERVAL_MIN_MS)
        cr_assert_eq(host_code(&host, DRIVER "Capabilities", NULL), RPC_OK);
    cr_assert_eq(fake.usages, 1);
    fake_give_usage(ERR_NONE);
    host_run_until(&host, &seen.messages, 1);
    seen_fini(&seen);
    host_fini(&host);
}

Test(stats, outlive_a_peer_that_leaves_while_a_sample_is_taken)
{
    struct host host;
    struct seen seen;
    init(&host);
    fake.holds_usage = true;
    struct rpc_request *request = open_stats(&host, "x", STATS_INTERVAL_MIN_MS, &seen);
    host_run_until(&host, &fake.usages, 1);
    rpc_request_cancel(request);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(host_code(&host, DRIVER "Capabilities", NULL), RPC_OK);
    fake_give_usage(ERR_NONE);
    cr_assert_eq(host_code(&host, DRIVER "Capabilities", NULL), RPC_OK);
    cr_assert_eq(seen.messages, 0);
    seen_fini(&seen);
    host_fini(&host);
}
