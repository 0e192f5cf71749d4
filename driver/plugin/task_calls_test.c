#include "driver/plugin/task_calls.h"

#include "driver/plugin/host_test.h"
#include "driver/proto/types.pb-c.h"

static const char id[] = "alloc/task/12345678";

static void init(struct host *host)
{
    host_init(host);
    host_configure(host);
}

static void start_ok(struct host *host)
{
    struct seen seen;
    cr_assert_eq(host_start(host, id, "ok", &seen), RPC_OK, "%s", seen.text);
    seen_fini(&seen);
}

static struct rpc_request *wait_for(struct host *host, const char *task_id, struct seen *seen)
{
    uint8_t bytes[256];
    Nd__WaitTaskRequest request = ND__WAIT_TASK_REQUEST__INIT;
    request.task_id = bytes_of(task_id);
    size_t len = nd__wait_task_request__pack(&request, bytes);
    struct rpc_events events = seen_events(&host->w, seen);
    return rpc_client_call(host->w.client, DRIVER "WaitTask", view_of(bytes, len), 0, &events);
}

Test(task_calls, answer_an_error_when_every_field_is_absent)
{
    static const char *const paths[] = { "RecoverTask", "StartTask",   "WaitTask",
                                         "StopTask",    "DestroyTask", "InspectTask",
                                         "TaskStats",   "SignalTask",  "ExecTask" };
    struct host host;
    init(&host);
    for (size_t i = 0; i < COUNT(paths); i++) {
        char path[128];
        snprintf(path, sizeof(path), DRIVER "%s", paths[i]);
        cr_assert_eq(host_code(&host, path, NULL), RPC_INVALID_ARGUMENT, "%s", path);
    }
    host_fini(&host);
}

Test(task_calls, refuse_tasks_before_the_configuration)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    cr_assert_eq(host_start(&host, id, "ok", &seen), RPC_FAILED_PRECONDITION);
    cr_assert_eq(host_code(&host, DRIVER "Init", NULL), RPC_OK);
    seen_fini(&seen);
    host_fini(&host);
}

Test(task_calls, need_no_init_and_take_several)
{
    struct host host;
    init(&host);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(host_code(&host, DRIVER "Init", NULL), RPC_OK);
    cr_assert_eq(fake.opened, 1);
    cr_assert_eq(host_code(&host, DRIVER "Shutdown", NULL), RPC_OK);
    start_ok(&host);
    host_fini(&host);
}

Test(task_calls, give_a_handle_with_the_request_s_own_configuration)
{
    struct host host;
    struct seen seen;
    init(&host);
    cr_assert_eq(host_start(&host, id, "ok", &seen), RPC_OK, "%s", seen.text);
    Nd__StartTaskResponse *reply = nd__start_task_response__unpack(NULL, seen.last.len,
                                                                   seen.last.data);
    cr_assert_eq(reply->handle->version, DRIVER_STATE_VERSION);
    cr_assert_eq(reply->handle->state, ND__TASK_STATE__TASK_RUNNING);
    cr_assert_eq(reply->handle->driver_state.len, strlen("driver state"));
    Nd__TaskConfig *config = nd__task_config__unpack(NULL, reply->handle->config.len,
                                                     reply->handle->config.data);
    cr_assert(view_is_equal(view_of(config->id.data, config->id.len), view_str(id)));
    nd__task_config__free_unpacked(config, NULL);
    nd__start_task_response__free_unpacked(reply, NULL);
    seen_fini(&seen);
    host_fini(&host);
}

Test(task_calls, say_which_failures_a_restart_may_help)
{
    static const struct {
        const char *command;
        enum rpc_code code;
    } rows[] = { { "INVALID", RPC_INVALID_ARGUMENT },
                 { "DENIED", RPC_PERMISSION_DENIED },
                 { "SYSTEM", RPC_INTERNAL },
                 { "UNAVAILABLE", RPC_INTERNAL } };
    struct host host;
    init(&host);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct seen seen;
        cr_assert_eq(host_start(&host, id, rows[i].command, &seen), rows[i].code, "%s %s",
                     rows[i].command, seen.text);
        bool is_last = i == COUNT(rows) - 1;
        cr_assert_eq(seen.details.len > 0, is_last);
        if (is_last) {
            Nd__Status *status = nd__status__unpack(NULL, seen.details.len, seen.details.data);
            cr_assert_eq(status->code, RPC_INTERNAL);
            cr_assert_str_eq(strrchr(status->details[0]->type_url, '/'),
                             "/hashicorp.nomad.plugins.shared.structs.RecoverableError");
            cr_assert(view_is_equal(
                view_of(status->details[0]->value.data, status->details[0]->value.len),
                view_of("\x08\x01", 2)));
            nd__status__free_unpacked(status, NULL);
        }
        seen_fini(&seen);
    }
    host_fini(&host);
}

Test(task_calls, leave_a_known_task_alone_when_it_is_started_again)
{
    struct host host;
    struct seen seen;
    init(&host);
    start_ok(&host);
    cr_assert_eq(host_start(&host, id, "ok", &seen), RPC_ALREADY_EXISTS);
    seen_fini(&seen);
    host_fini(&host);
}

Test(task_calls, give_every_waiter_the_same_result)
{
    struct host host;
    struct seen before[3], after;
    init(&host);
    start_ok(&host);
    for (int i = 0; i < 3; i++)
        (void)wait_for(&host, id, &before[i]);
    cr_assert_eq(host_code(&host, DRIVER "Capabilities", NULL), RPC_OK);
    fake_exit(id);
    (void)wait_for(&host, id, &after);
    host_run_until(&host, &after.ends, 1);
    for (int i = 0; i < 3; i++) {
        host_run_until(&host, &before[i].ends, 1);
        cr_assert_eq(before[i].code, RPC_OK);
        cr_assert(view_is_equal(buf_view(&before[i].last), buf_view(&after.last)));
        seen_fini(&before[i]);
    }
    Nd__WaitTaskResponse *reply = nd__wait_task_response__unpack(NULL, after.last.len,
                                                                 after.last.data);
    cr_assert_eq(reply->result->exit_code, 7);
    cr_assert_str_eq(reply->err, "");
    nd__wait_task_response__free_unpacked(reply, NULL);
    seen_fini(&after);
    host_fini(&host);
}

Test(task_calls, forget_a_cancelled_waiter_and_wait_again)
{
    struct host host;
    struct seen first, second;
    init(&host);
    start_ok(&host);
    struct rpc_request *request = wait_for(&host, id, &first);
    cr_assert_eq(host_code(&host, DRIVER "Capabilities", NULL), RPC_OK);
    rpc_request_cancel(request);
    host_run_until(&host, &fake.waits_cancelled, 1);
    (void)wait_for(&host, id, &second);
    cr_assert_eq(host_code(&host, DRIVER "Capabilities", NULL), RPC_OK);
    fake_exit(id);
    host_run_until(&host, &second.ends, 1);
    cr_assert_eq(second.code, RPC_OK);
    cr_assert_eq(first.ends, 0);
    seen_fini(&first);
    seen_fini(&second);
    host_fini(&host);
}

Test(task_calls, finish_a_start_whose_peer_has_gone)
{
    struct host host;
    struct seen seen, other;
    init(&host);
    rpc_client_free(host.w.client);
    struct err err;
    cr_assert(rpc_client_open(host.w.rpc, host.w.path, &host.w.client, &err));
    struct rpc_client *dying = host.w.client;
    struct rpc_events events = seen_events(&host.w, &seen);
    uint8_t config[512], bytes[600];
    static const char msgpack[] = "\x81\xa7"
                                  "command\xa5later";
    Nd__TaskConfig task = ND__TASK_CONFIG__INIT;
    task.id = bytes_of(id);
    task.name = task.alloc_id = bytes_of("x");
    task.alloc_dir = task.stdout_path = task.stderr_path = bytes_of("/x");
    task.msgpack_driver_config = bytes_of(msgpack);
    Nd__StartTaskRequest request = ND__START_TASK_REQUEST__INIT;
    request.task = (ProtobufCBinaryData){ nd__task_config__pack(&task, config), config };
    size_t len = nd__start_task_request__pack(&request, bytes);
    (void)rpc_client_call(dying, DRIVER "StartTask", view_of(bytes, len), 0, &events);
    while (fake_find(fake.tasks, id) == NULL) {
        loop_post(host.w.loop, world_quit, &host.w);
        loop_run(host.w.loop);
    }
    rpc_client_free(dying);
    cr_assert(rpc_client_open(host.w.rpc, host.w.path, &host.w.client, &err));
    cr_assert_eq(host_code(&host, DRIVER "Capabilities", NULL), RPC_OK);
    fake_release(id);
    (void)wait_for(&host, id, &other);
    cr_assert_eq(host_code(&host, DRIVER "Capabilities", NULL), RPC_OK);
    fake_exit(id);
    host_run_until(&host, &other.ends, 1);
    cr_assert_eq(other.code, RPC_OK);
    seen_fini(&seen);
    seen_fini(&other);
    host_fini(&host);
}

Test(task_calls, stop_by_signal_and_timeout_and_not_know_is_fine)
{
    struct host host;
    init(&host);
    start_ok(&host);
    Nd__Duration timeout = ND__DURATION__INIT;
    timeout.seconds = 2;
    timeout.nanos = 500000000;
    Nd__StopTaskRequest request = ND__STOP_TASK_REQUEST__INIT;
    request.task_id = bytes_of(id);
    request.signal = bytes_of("SIGUSR1");
    request.timeout = &timeout;
    cr_assert_eq(host_code(&host, DRIVER "StopTask", &request), RPC_OK);
    request.task_id = bytes_of("unknown");
    cr_assert_eq(host_code(&host, DRIVER "StopTask", &request), RPC_OK);
    host_fini(&host);
}

Test(task_calls, destroy_a_running_task_by_force_only)
{
    struct host host;
    struct seen seen;
    init(&host);
    start_ok(&host);
    (void)wait_for(&host, id, &seen);
    Nd__DestroyTaskRequest request = ND__DESTROY_TASK_REQUEST__INIT;
    request.task_id = bytes_of(id);
    cr_assert_eq(host_code(&host, DRIVER "DestroyTask", &request), RPC_FAILED_PRECONDITION);
    request.force = true;
    cr_assert_eq(host_code(&host, DRIVER "DestroyTask", &request), RPC_OK);
    host_run_until(&host, &seen.ends, 1);
    cr_assert_eq(seen.code, RPC_NOT_FOUND);
    cr_assert_eq(host_code(&host, DRIVER "DestroyTask", &request), RPC_OK);
    seen_fini(&seen);
    host_fini(&host);
}

Test(task_calls, recover_by_the_id_in_the_handle)
{
    struct host host;
    init(&host);
    uint8_t bytes[64];
    Nd__TaskConfig config = ND__TASK_CONFIG__INIT;
    config.id = bytes_of(id);
    Nd__TaskHandle handle = ND__TASK_HANDLE__INIT;
    handle.version = DRIVER_STATE_VERSION;
    handle.config = (ProtobufCBinaryData){ nd__task_config__pack(&config, bytes), bytes };
    handle.driver_state = bytes_of("driver state");
    Nd__RecoverTaskRequest request = ND__RECOVER_TASK_REQUEST__INIT;
    request.handle = &handle;
    cr_assert_eq(host_code(&host, DRIVER "RecoverTask", &request), RPC_OK);
    cr_assert_not_null(fake_find(fake.tasks, id));
    handle.driver_state = bytes_of("garbage");
    cr_assert_eq(host_code(&host, DRIVER "RecoverTask", &request), RPC_DATA_LOSS);
    handle.version = DRIVER_STATE_VERSION + 1;
    cr_assert_eq(host_code(&host, DRIVER "RecoverTask", &request), RPC_INVALID_ARGUMENT);
    host_fini(&host);
}

Test(task_calls, signal_known_tasks)
{
    struct host host;
    init(&host);
    start_ok(&host);
    Nd__SignalTaskRequest request = ND__SIGNAL_TASK_REQUEST__INIT;
    request.task_id = bytes_of(id);
    request.signal = bytes_of("SIGHUP");
    cr_assert_eq(host_code(&host, DRIVER "SignalTask", &request), RPC_OK);
    request.signal = bytes_of("SIGNONE");
    cr_assert_eq(host_code(&host, DRIVER "SignalTask", &request), RPC_INVALID_ARGUMENT);
    request.task_id = bytes_of("unknown");
    cr_assert_eq(host_code(&host, DRIVER "SignalTask", &request), RPC_NOT_FOUND);
    host_fini(&host);
}

Test(task_calls, inspect_with_clean_text_and_every_sub_message)
{
    struct host host;
    struct seen seen;
    init(&host);
    start_ok(&host);
    Nd__InspectTaskRequest request = ND__INSPECT_TASK_REQUEST__INIT;
    request.task_id = bytes_of(id);
    host_ask(&host, DRIVER "InspectTask", &request, &seen);
    Nd__InspectTaskResponse *reply = nd__inspect_task_response__unpack(NULL, seen.last.len,
                                                                       seen.last.data);
    cr_assert_str_eq(reply->task->name, "bad \xef\xbf\xbd name");
    cr_assert_eq(reply->task->started_at->seconds, 1);
    cr_assert_eq(reply->task->started_at->nanos, 500000000);
    cr_assert_eq(reply->task->completed_at->seconds, -62135596800);
    cr_assert_not_null(reply->task->result);
    nd__inspect_task_response__free_unpacked(reply, NULL);
    seen_fini(&seen);
    request.task_id = bytes_of("unknown");
    cr_assert_eq(host_code(&host, DRIVER "InspectTask", &request), RPC_NOT_FOUND);
    host_fini(&host);
}

Test(task_calls, declare_only_what_is_there)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    host_ask(&host, DRIVER "Capabilities", NULL, &seen);
    Nd__CapabilitiesResponse *reply = nd__capabilities_response__unpack(NULL, seen.last.len,
                                                                        seen.last.data);
    cr_assert(reply->capabilities->send_signals);
    cr_assert(reply->capabilities->exec);
    const bool is_root = geteuid() == 0;
    cr_assert_eq(reply->capabilities->n_network_isolation_modes, is_root ? 2 : 1);
    cr_assert_eq(reply->capabilities->mount_configs, is_root ? 0 : 1);
    cr_assert_eq(reply->capabilities->dynamic_workload_users, is_root);
    nd__capabilities_response__free_unpacked(reply, NULL);
    seen_fini(&seen);
    host_ask(&host, DRIVER "TaskConfigSchema", NULL, &seen);
    cr_assert_gt(seen.last.len, 10);
    seen_fini(&seen);
    cr_assert_eq(host_code(&host, DRIVER "CreateNetwork", NULL), RPC_UNIMPLEMENTED);
    host_fini(&host);
}
