#include "driver/plugin/fingerprint.h"

#include "driver/plugin/host_test.h"

static struct rpc_request *watch(struct host *host, struct seen *seen)
{
    struct rpc_events events = seen_events(&host->w, seen);
    return rpc_client_stream(host->w.client, DRIVER "Fingerprint", view_of("", 0), &events);
}

static int health_of(const struct seen *seen)
{
    Nd__FingerprintResponse *got = nd__fingerprint_response__unpack(NULL, seen->last.len,
                                                                    seen->last.data);
    int health = (int)got->health;
    cr_assert_str_neq(got->health_description, "");
    nd__fingerprint_response__free_unpacked(got, NULL);
    return health;
}

Test(fingerprint, is_sent_at_once)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    host_configure(&host);
    struct mono before = mono_now();
    (void)watch(&host, &seen);
    host_run_until(&host, &seen.messages, 1);
    cr_assert_lt(mono_diff_us(mono_now(), before), 500000);
    cr_assert_eq(health_of(&seen), REPLY_HEALTHY);
    cr_assert_eq(seen.ends, 0);
    seen_fini(&seen);
    host_fini(&host);
}

Test(fingerprint, says_that_the_directories_cannot_be_used_and_that_they_can_again)
{
    struct host host;
    struct seen seen;
    fake.open_error = ERR_SYSTEM;
    host_init(&host);
    host_configure(&host);
    (void)watch(&host, &seen);
    host_run_until(&host, &seen.messages, 1);
    cr_assert_eq(health_of(&seen), REPLY_UNHEALTHY);
    fake.open_error = ERR_NONE;
    cr_assert_eq(host_code(&host, DRIVER "Init", NULL), RPC_OK);
    host_run_until(&host, &seen.messages, 2);
    cr_assert_eq(health_of(&seen), REPLY_HEALTHY);
    seen_fini(&seen);
    host_fini(&host);
}

Test(fingerprint, says_what_a_check_finds)
{
    struct host host;
    struct seen seen;
    fake.health = HOST_SHIM;
    host_init(&host);
    host_configure(&host);
    (void)watch(&host, &seen);
    host_run_until(&host, &seen.messages, 1);
    cr_assert_eq(health_of(&seen), REPLY_UNHEALTHY);
    cr_assert_eq(fake.checks, 1);
    seen_fini(&seen);
    host_fini(&host);
}

Test(fingerprint, is_undetected_without_a_configuration)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    (void)watch(&host, &seen);
    host_run_until(&host, &seen.messages, 1);
    cr_assert_eq(health_of(&seen), REPLY_UNDETECTED);
    host_configure(&host);
    host_run_until(&host, &seen.messages, 2);
    cr_assert_eq(health_of(&seen), REPLY_HEALTHY);
    seen_fini(&seen);
    host_fini(&host);
}

Test(fingerprint, survives_a_thousand_watchers_that_come_and_go)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    host_configure(&host);
    for (int i = 0; i < 1000; i++) {
        struct rpc_request *request = watch(&host, &seen);
        if (i % 2)
            host_run_until(&host, &seen.messages, 1);
        rpc_request_cancel(request);
        seen_fini(&seen);
    }
    (void)watch(&host, &seen);
    host_run_until(&host, &seen.messages, 1);
    seen_fini(&seen);
    host_fini(&host);
}
