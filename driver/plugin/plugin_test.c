#include "driver/plugin/plugin.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "driver/plugin/host_test.h"

Test(plugin, stops_before_it_was_ever_asked_anything)
{
    struct host host;
    host_init(&host);
    host_fini(&host);
    cr_assert_eq(fake.made, 0);
}

Test(plugin, stops_with_everything_outstanding_and_tells_the_agent)
{
    struct host host;
    struct seen seen, wait, stats, events, fingerprint;
    host_init(&host);
    host_configure(&host);
    cr_assert_eq(host_start(&host, "x", "ok", &seen), RPC_OK);
    seen_fini(&seen);
    uint8_t bytes[64];
    Nd__WaitTaskRequest request = ND__WAIT_TASK_REQUEST__INIT;
    request.task_id = bytes_of("x");
    struct view message = view_of(bytes, nd__wait_task_request__pack(&request, bytes));
    fake.holds_usage = true;
    struct rpc_events on = seen_events(&host.w, &wait);
    (void)rpc_client_call(host.w.client, DRIVER "WaitTask", message, 0, &on);
    on = seen_events(&host.w, &stats);
    (void)rpc_client_stream(host.w.client, DRIVER "TaskStats", message, &on);
    on = seen_events(&host.w, &events);
    (void)rpc_client_stream(host.w.client, DRIVER "TaskEvents", view_of("", 0), &on);
    on = seen_events(&host.w, &fingerprint);
    (void)rpc_client_stream(host.w.client, DRIVER "Fingerprint", view_of("", 0), &on);
    host_run_until(&host, &fingerprint.messages, 1);
    host_run_until(&host, &fake.usages, 1);
    plugin_stop(host.plugin, host_stopped, &host);
    host_run_until(&host, &host.stopped, 1);
    host_run_until(&host, &wait.ends, 1);
    host_run_until(&host, &events.ends, 1);
    cr_assert_eq(wait.code, RPC_UNAVAILABLE);
    cr_assert_eq(events.code, RPC_UNAVAILABLE);
    seen_fini(&wait);
    seen_fini(&stats);
    seen_fini(&events);
    seen_fini(&fingerprint);
    plugin_free(host.plugin);
    world_fini(&host.w);
}

Test(plugin, two_of_them_live_in_one_process)
{
    struct host one, two;
    host_init(&one);
    host_init(&two);
    host_configure(&one);
    host_configure(&two);
    cr_assert_eq(host_code(&one, BASE "PluginInfo", NULL), RPC_OK);
    cr_assert_eq(host_code(&two, BASE "PluginInfo", NULL), RPC_OK);
    host_fini(&two);
    fake.tasks = NULL;
    host_fini(&one);
}

/* With UPDATE_DOCS=1 in the environment the page is written instead. */
Test(plugin, the_reference_page_is_what_the_tables_say)
{
    CLEANUP(buf_fini) struct buf page = { 0 };
    CLEANUP(buf_fini) struct buf wanted = { 0 };
    struct err err = { 0 };
    CLEANUP(str_freep) char *path = str_copy(__FILE__);
    *strstr(path, "driver/plugin/") = '\0';
    CLEANUP(str_freep) char *file = str_format("%sdocs/driver-config.md", path);
    plugin_put_page(&page);
    if (getenv("UPDATE_DOCS"))
        cr_assert(file_publish(AT_FDCWD, file, buf_view(&page), 0644, FILE_REPLACE, &err));
    cr_assert(file_read(AT_FDCWD, file, 1 << 20, &wanted, &err), "%s", err.msg);
    cr_assert(view_is_equal(buf_view(&page), buf_view(&wanted)), "run with UPDATE_DOCS=1");
}
