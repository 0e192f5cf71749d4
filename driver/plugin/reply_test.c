#include "driver/plugin/reply.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "driver/proto/driver.pb-c.h"

#include <criterion/criterion.h>

static struct buf out;

static void tear_down(void) { buf_fini(&out); }
TestSuite(reply, .fini = tear_down);

Test(reply, cleans_what_strict_readers_would_refuse)
{
    reply_put_result(&out, &(struct task_result){ .exit_code = -1, .err = "bad \xff\xc3" });
    Nd__WaitTaskResponse *got = nd__wait_task_response__unpack(NULL, out.len, out.data);
    cr_assert(utf8_is_valid(view_str(got->err)));
    cr_assert_eq(got->result->exit_code, -1);
    nd__wait_task_response__free_unpacked(got, NULL);
}

/* A message with every field zero has no bytes; inside another it must still be there. */
Test(reply, always_has_a_result)
{
    reply_put_result(&out, &(struct task_result){ 0 });
    Nd__WaitTaskResponse *got = nd__wait_task_response__unpack(NULL, out.len, out.data);
    cr_assert_not_null(got->result);
    nd__wait_task_response__free_unpacked(got, NULL);
}

Test(reply, measures_what_the_kernel_counts_and_no_more)
{
    struct task_usage usage = { .total = {
                                    .percent = 50, .user_percent = 30, .system_percent = 20 } };
    struct usage_raw *raw = &usage.total.raw;
    raw->rss_bytes = 4096;
    raw->swap_bytes = -1;
    raw->max_bytes = 77;
    reply_put_usage(&out, "id", &usage, (struct wall){ 1 }, 2000);
    Nd__TaskStatsResponse *got = nd__task_stats_response__unpack(NULL, out.len, out.data);
    Nd__TaskResourceUsage *sum = got->stats->agg_resource_usage;
    cr_assert_not_null(got->stats->timestamp);
    cr_assert_eq(sum->cpu->total_ticks, 1000);
    cr_assert_eq(sum->cpu->n_measured_fields, 4);
    cr_assert_eq(sum->memory->n_measured_fields, 1);
    cr_assert_eq(sum->memory->rss, 4096);
    cr_assert_eq(sum->memory->swap, 0);
    cr_assert_eq(sum->memory->max_usage, 0, "not measured, not told");
    cr_assert_eq(got->stats->n_resource_usage_by_pid, 0);
    nd__task_stats_response__free_unpacked(got, NULL);
    buf_fini(&out);
    raw->has_cgroup_memory = raw->has_throttling = raw->has_max = true;
    reply_put_usage(&out, "id", &usage, (struct wall){ 1 }, 0);
    got = nd__task_stats_response__unpack(NULL, out.len, out.data);
    cr_assert_eq(got->stats->agg_resource_usage->cpu->n_measured_fields, 5);
    cr_assert_eq(got->stats->agg_resource_usage->memory->n_measured_fields, 5);
    cr_assert_eq(got->stats->agg_resource_usage->memory->max_usage, 77);
    nd__task_stats_response__free_unpacked(got, NULL);
}

Test(reply, tells_the_parts_by_process_id)
{
    struct task_usage usage = { .agent_pid = 12, .sidecar_pid = 345 };
    usage.agent.raw.rss_bytes = 1000;
    usage.sidecar.raw.rss_bytes = 200;
    usage.total.raw.rss_bytes = 1200;
    reply_put_usage(&out, "id", &usage, (struct wall){ 1 }, 2000);
    Nd__TaskStatsResponse *got = nd__task_stats_response__unpack(NULL, out.len, out.data);
    cr_assert_eq(got->stats->n_resource_usage_by_pid, 2);
    const Nd__UsageEntry *first = got->stats->resource_usage_by_pid[0];
    const Nd__UsageEntry *second = got->stats->resource_usage_by_pid[1];
    cr_expect(view_is_equal(view_of(first->key.data, first->key.len), view_str("12")));
    cr_expect(view_is_equal(view_of(second->key.data, second->key.len), view_str("345")));
    cr_expect_eq(first->value->memory->rss, 1000);
    cr_expect_eq(second->value->memory->rss, 200);
    cr_expect_eq(got->stats->agg_resource_usage->memory->rss, 1200);
    cr_expect_not_null(second->value->cpu);
    nd__task_stats_response__free_unpacked(got, NULL);
}

Test(reply, takes_an_attribute_back_with_an_empty_value)
{
    struct host_facts facts = { 0 };
    for (size_t i = 0; i < HOST_ATTR_COUNT; i++)
        facts.attrs[i].key = "driver.agent.more";
    facts.attrs[0] = (struct host_attr){ "driver.agent.one", "yes" };
    facts.attrs[1] = (struct host_attr){ "driver.agent.two", "" };
    reply_put_fingerprint(&out, &facts, REPLY_HEALTHY, "Healthy");
    Nd__FingerprintResponse *got = nd__fingerprint_response__unpack(NULL, out.len, out.data);
    cr_assert_eq(got->n_attributes, HOST_ATTR_COUNT);
    cr_assert_str_eq(got->attributes[0]->key, "driver.agent.one");
    cr_assert_str_eq(got->attributes[0]->value->string_val, "yes");
    cr_assert_str_eq(got->attributes[1]->value->string_val, "");
    cr_assert_eq(got->attributes[1]->value->value_case, ND__ATTRIBUTE__VALUE_STRING_VAL);
    cr_assert_eq(got->health, ND__FINGERPRINT_RESPONSE__HEALTH_STATE__HEALTHY);
    nd__fingerprint_response__free_unpacked(got, NULL);
}

Test(reply, counts_time_before_1970_downwards)
{
    reply_put_event(&out, &(struct task_event){ "i", "a", "t", { -500000000 }, "m" });
    Nd__DriverTaskEvent *got = nd__driver_task_event__unpack(NULL, out.len, out.data);
    cr_assert_eq(got->timestamp->seconds, -1);
    cr_assert_eq(got->timestamp->nanos, 500000000);
    nd__driver_task_event__free_unpacked(got, NULL);
}

static Nd__ExecTaskStreamingResponse *frame(struct exec_frame frame)
{
    buf_fini(&out);
    reply_put_exec_frame(&out, &frame);
    return nd__exec_task_streaming_response__unpack(NULL, out.len, out.data);
}

/* API clients look at the first member and drop the rest. */
Test(reply, has_one_member_in_each_frame)
{
    Nd__ExecTaskStreamingResponse *got = frame(
        (struct exec_frame){ .what = EXEC_OUTPUT, .bytes = view_str("out") });
    cr_assert(got->stdout && !got->stderr && !got->exited && !got->result);
    cr_expect(
        view_is_equal(view_of(got->stdout->data.data, got->stdout->data.len), view_str("out")));
    cr_expect_not(got->stdout->close);
    nd__exec_task_streaming_response__free_unpacked(got, NULL);
    got = frame((struct exec_frame){ .what = EXEC_CLOSED, .is_stderr = true });
    cr_assert(!got->stdout && got->stderr && !got->exited && !got->result);
    cr_expect(got->stderr->close && got->stderr->data.len == 0);
    nd__exec_task_streaming_response__free_unpacked(got, NULL);
    got = frame((struct exec_frame){ .what = EXEC_EXITED });
    cr_assert(!got->stdout && !got->stderr && got->exited);
    cr_assert_not_null(got->result, "also when it is all zero");
    nd__exec_task_streaming_response__free_unpacked(got, NULL);
}

Test(reply, has_output_and_result_of_an_exec)
{
    const struct exec_frame end = {
        .what = EXEC_EXITED, .exit_code = 137, .signal = 9, .oom_killed = true
    };
    reply_put_exec(&out, view_str("\xff bytes"), &end);
    Nd__ExecTaskResponse *got = nd__exec_task_response__unpack(NULL, out.len, out.data);
    cr_expect_eq(got->stdout.len, 7);
    cr_expect_eq(got->result->exit_code, 137);
    cr_expect_eq(got->result->signal, 9);
    cr_expect(got->result->oom_killed);
    nd__exec_task_response__free_unpacked(got, NULL);
}
