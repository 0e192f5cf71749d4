#include "driver/plugin/base_calls.h"

#include "driver/plugin/host_test.h"
#include "driver/proto/plugin.pb-c.h"

static enum rpc_code set_config(struct host *host, const void *msgpack, size_t len, bool is_final,
                                const char *version)
{
    union {
        const void *from;
        uint8_t *to;
    } cast = { .from = msgpack };
    Nd__SetConfigRequest request = ND__SET_CONFIG_REQUEST__INIT;
    Nd__NomadConfig nomad = ND__NOMAD_CONFIG__INIT;
    request.msgpack_config = (ProtobufCBinaryData){ len, cast.to };
    request.nomad_config = is_final ? &nomad : NULL;
    request.plugin_api_version = bytes_of(version);
    return host_code(host, BASE "SetConfig", &request);
}

Test(base_calls, say_who_the_plugin_is)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    host_ask(&host, BASE "PluginInfo", NULL, &seen);
    cr_assert_eq(seen.code, RPC_OK);
    Nd__PluginInfoResponse *info = nd__plugin_info_response__unpack(NULL, seen.last.len,
                                                                    seen.last.data);
    cr_assert_eq(info->type, ND__PLUGIN_TYPE__PLUGIN_DRIVER);
    cr_assert_eq(info->n_plugin_api_versions, 1);
    cr_assert_str_eq(info->plugin_api_versions[0], "v0.1.0");
    cr_assert_str_eq(info->name, "agent");
    cr_assert_str_eq(info->plugin_version, AGENT_VERSION);
    nd__plugin_info_response__free_unpacked(info, NULL);
    seen_fini(&seen);
    host_fini(&host);
}

Test(base_calls, give_a_schema)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    host_ask(&host, BASE "ConfigSchema", NULL, &seen);
    Nd__ConfigSchemaResponse *schema = nd__config_schema_response__unpack(NULL, seen.last.len,
                                                                          seen.last.data);
    cr_assert_gt(schema->spec.len, 10);
    nd__config_schema_response__free_unpacked(schema, NULL);
    seen_fini(&seen);
    host_fini(&host);
}

Test(base_calls, only_check_the_configuration_until_the_final_call)
{
    struct host host;
    host_init(&host);
    cr_assert_eq(set_config(&host, "\x80", 1, false, "v0.1.0"), RPC_OK);
    cr_assert_eq(set_config(&host, "\x80", 1, false, "v0.1.0"), RPC_OK);
    cr_assert_eq(fake.made, 0);
    cr_assert_eq(set_config(&host, "\x80", 1, true, "v0.1.0"), RPC_OK);
    cr_assert_eq(fake.made, 1);
    cr_assert_eq(fake.opened, 1);
    host_fini(&host);
}

Test(base_calls, refuse_a_bad_configuration_and_stay_usable)
{
    static const char relative[] = "\x81\xa9state_dir\xa3x/y";
    static const char level[] = "\x81\xa9log_level\xa4loud";
    struct host host;
    host_init(&host);
    cr_assert_eq(set_config(&host, "\xc1", 1, false, "v0.1.0"), RPC_INVALID_ARGUMENT);
    cr_assert_eq(set_config(&host, relative, sizeof(relative) - 1, true, "v0.1.0"),
                 RPC_INVALID_ARGUMENT);
    cr_assert_eq(set_config(&host, level, sizeof(level) - 1, false, "v0.1.0"),
                 RPC_INVALID_ARGUMENT);
    cr_assert_eq(set_config(&host, "\x80", 1, false, "v9.9.9"), RPC_INVALID_ARGUMENT);
    cr_assert_eq(fake.made, 0);
    cr_assert_eq(set_config(&host, "\x80", 1, true, "v0.1.0"), RPC_OK);
    host_fini(&host);
}

Test(base_calls, take_another_final_configuration_for_what_comes_later)
{
    static const char other[] = "\x81\xaapids_limit\x07";
    struct host host;
    host_init(&host);
    cr_assert_eq(set_config(&host, "\x80", 1, true, "v0.1.0"), RPC_OK);
    cr_assert_eq(set_config(&host, "\x80", 1, true, "v0.1.0"), RPC_OK);
    cr_assert_eq(set_config(&host, other, sizeof(other) - 1, false, "v0.1.0"), RPC_OK);
    cr_assert_eq(fake.pids_limit, 0, "only asked whether it is good");
    cr_assert_eq(set_config(&host, other, sizeof(other) - 1, true, "v0.1.0"), RPC_OK);
    cr_assert_eq(fake.pids_limit, 7);
    cr_assert_eq(fake.made, 1);
    cr_assert_eq(fake.opened, 1);
    cr_assert_eq(fake.checks, 3, "each is looked at before it is answered");
    host_fini(&host);
}

Test(base_calls, refuse_to_change_what_is_fixed_and_go_on_as_before)
{
    static const char other[] = "\x82\xa9state_dir\xa4/x/y\xaapids_limit\x07";
    struct host host;
    struct err err = { 0 };
    struct plugin_config from, to;
    host_init(&host);
    cr_assert_eq(set_config(&host, "\x80", 1, true, "v0.1.0"), RPC_OK);
    cr_assert_eq(set_config(&host, other, sizeof(other) - 1, true, "v0.1.0"),
                 RPC_FAILED_PRECONDITION);
    cr_assert_eq(fake.reconfigured, 0);
    cr_assert(plugin_config_decode(view_str("\x80"), &from, NULL, &err));
    cr_assert(plugin_config_decode(view_of(other, sizeof(other) - 1), &to, NULL, &err));
    cr_assert_not(plugin_config_check_change(&from, &to, &err));
    cr_assert_not_null(strstr(err.msg, "state_dir"));
    plugin_config_fini(&from);
    plugin_config_fini(&to);
    host_fini(&host);
}

Test(base_calls, end_the_process_once_with_an_answer)
{
    struct host host;
    host_init(&host);
    cr_assert_eq(host_code(&host, "/plugin.GRPCController/Shutdown", NULL), RPC_OK);
    cr_assert_eq(host_code(&host, "/plugin.GRPCController/Shutdown", NULL), RPC_OK);
    cr_assert_eq(host.asked_to_end, 1);
    host_fini(&host);
}

Test(base_calls, serve_health_for_this_plugin_only)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    Nd__HealthCheckRequest request = ND__HEALTH_CHECK_REQUEST__INIT;
    request.service = bytes_of("plugin");
    host_ask(&host, "/grpc.health.v1.Health/Check", &request, &seen);
    Nd__HealthCheckResponse *reply = nd__health_check_response__unpack(NULL, seen.last.len,
                                                                       seen.last.data);
    cr_assert_eq(reply->status, ND__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING);
    nd__health_check_response__free_unpacked(reply, NULL);
    seen_fini(&seen);
    cr_assert_eq(host_code(&host, "/grpc.health.v1.Health/Check", NULL), RPC_OK);
    request.service = bytes_of("other");
    cr_assert_eq(host_code(&host, "/grpc.health.v1.Health/Check", &request), RPC_NOT_FOUND);
    host_fini(&host);
}

Test(base_calls, keep_stdio_and_broker_open_and_silent)
{
    struct host host;
    struct seen stdio, broker;
    host_init(&host);
    struct rpc_events events = seen_events(&host.w, &stdio);
    struct rpc_request *first = rpc_client_stream(host.w.client, "/plugin.GRPCStdio/StreamStdio",
                                                  view_of("", 0), &events);
    events = seen_events(&host.w, &broker);
    struct rpc_request *second = rpc_client_stream(host.w.client, "/plugin.GRPCBroker/StartStream",
                                                   view_of("", 0), &events);
    for (int i = 0; i < 20; i++)
        cr_assert_eq(host_code(&host, BASE "PluginInfo", NULL), RPC_OK);
    cr_assert_eq(stdio.messages + stdio.ends + broker.messages + broker.ends, 0);
    rpc_request_cancel(first);
    rpc_request_cancel(second);
    cr_assert_eq(host_code(&host, BASE "PluginInfo", NULL), RPC_OK);
    host_fini(&host);
}
