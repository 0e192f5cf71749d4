#include "driver/plugin/request.h"

#include "common/base/own.h"
#include "driver/proto/base.pb-c.h"
#include "driver/proto/driver.pb-c.h"

#include <criterion/criterion.h>

static struct request request;
static struct err err;

static void tear_down(void) { request_fini(&request); }
TestSuite(request, .fini = tear_down);

static struct view pack(const void *message)
{
    static uint8_t bytes[2048];
    cr_assert_leq(protobuf_c_message_get_packed_size(message), sizeof(bytes));
    return view_of(bytes, protobuf_c_message_pack(message, bytes));
}

static ProtobufCBinaryData bytes_of(const char *text, size_t len)
{
    union {
        const char *from;
        uint8_t *to;
    } cast = { .from = text };
    return (ProtobufCBinaryData){ len, cast.to };
}

static bool wait_with(const char *id, size_t len)
{
    Nd__WaitTaskRequest message = ND__WAIT_TASK_REQUEST__INIT;
    message.task_id = bytes_of(id, len);
    return request_decode(REQUEST_WAIT, pack(&message), &request, &err);
}

Test(request, takes_an_id_of_the_longest_length_and_none_longer)
{
    char id[TASK_ID_MAX + 1];
    memset(id, 'i', sizeof(id));
    cr_assert(wait_with(id, TASK_ID_MAX));
    cr_assert_eq(strlen(request.task_id), TASK_ID_MAX);
    cr_assert_not(wait_with(id, TASK_ID_MAX + 1));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(request, never_cuts_an_id_at_a_nul)
{
    cr_assert_not(wait_with("a\0b", 3));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(request, refuses_an_id_that_is_not_text)
{
    cr_assert_not(wait_with("a\xff", 2));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(request, refuses_every_empty_and_every_malformed_message)
{
    for (int kind = 0; kind < REQUEST_KIND_COUNT; kind++) {
        cr_assert_not(request_decode((enum request_kind)kind, view_of("", 0), &request, &err));
        cr_assert_eq(err.kind, ERR_INVALID);
        cr_assert_not(
            request_decode((enum request_kind)kind, view_of("\x0a\xff", 2), &request, &err));
        cr_assert_eq(err.kind, ERR_INVALID);
    }
}

Test(request, ignores_fields_of_a_future_agent)
{
    static const char bytes[] = "\x0a\x01"
                                "x\xa2\x06\x03"
                                "new";
    cr_assert(request_decode(REQUEST_WAIT, view_of(bytes, sizeof(bytes) - 1), &request, &err));
    cr_assert_str_eq(request.task_id, "x");
}

Test(request, brings_durations_into_range)
{
    static const struct {
        int64_t seconds;
        int32_t nanos;
        int64_t expected_ms;
    } rows[] = {
        { 0, 0, 0 },  { 2, 500000000, 2500 },      { -1, 0, 0 },
        { 0, -5, 0 }, { INT64_MIN, INT32_MIN, 0 }, { INT64_MAX, INT32_MAX, REQUEST_DURATION_MAX_MS }
    };
    Nd__Duration duration = ND__DURATION__INIT;
    Nd__StopTaskRequest message = ND__STOP_TASK_REQUEST__INIT;
    message.task_id = bytes_of("x", 1);
    cr_assert(request_decode(REQUEST_STOP, pack(&message), &request, &err));
    cr_assert_eq(request.timeout_ms, REQUEST_STOP_DEFAULT_MS);
    message.timeout = &duration;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        duration.seconds = rows[i].seconds;
        duration.nanos = rows[i].nanos;
        cr_assert(request_decode(REQUEST_STOP, pack(&message), &request, &err));
        cr_assert_eq(request.timeout_ms, rows[i].expected_ms, "row %zu", i);
    }
}

Test(request, stops_by_any_signal_name_but_signals_by_text_only)
{
    char name[REQUEST_SIGNAL_MAX + 1];
    memset(name, 'S', sizeof(name));
    Nd__StopTaskRequest stop = ND__STOP_TASK_REQUEST__INIT;
    stop.task_id = bytes_of("x", 1);
    stop.signal = bytes_of(name, sizeof(name));
    cr_assert(request_decode(REQUEST_STOP, pack(&stop), &request, &err));
    cr_assert_str_eq(request.signal, REQUEST_SIGNAL_BAD);
    Nd__SignalTaskRequest signal = ND__SIGNAL_TASK_REQUEST__INIT;
    signal.task_id = bytes_of("x", 1);
    signal.signal = bytes_of(name, sizeof(name));
    cr_assert_not(request_decode(REQUEST_SIGNAL, pack(&signal), &request, &err));
    signal.signal = bytes_of(name, REQUEST_SIGNAL_MAX);
    cr_assert(request_decode(REQUEST_SIGNAL, pack(&signal), &request, &err));
}

Test(request, keeps_the_task_configuration_as_it_came)
{
    Nd__StartTaskRequest message = ND__START_TASK_REQUEST__INIT;
    message.task = bytes_of("\xff\0\x01", 3);
    cr_assert(request_decode(REQUEST_START, pack(&message), &request, &err));
    cr_assert(view_is_equal(buf_view(&request.config), view_of("\xff\0\x01", 3)));
}

Test(request, needs_a_handle_with_a_configuration_to_recover)
{
    Nd__TaskHandle handle = ND__TASK_HANDLE__INIT;
    Nd__RecoverTaskRequest message = ND__RECOVER_TASK_REQUEST__INIT;
    message.task_id = bytes_of("ignored", 7);
    cr_assert_not(request_decode(REQUEST_RECOVER, pack(&message), &request, &err));
    message.handle = &handle;
    cr_assert_not(request_decode(REQUEST_RECOVER, pack(&message), &request, &err));
    handle.config = bytes_of("\x0a\xff", 2);
    cr_assert_not(request_decode(REQUEST_RECOVER, pack(&message), &request, &err));
    handle.config = bytes_of("\x0a\x02id", 4);
    cr_assert(request_decode(REQUEST_RECOVER, pack(&message), &request, &err), "%s", err.msg);
    cr_assert_str_eq(request.task_id, "id");
}

Test(request, tells_the_final_configuration_and_counts_usable_cores)
{
    Nd__ClientTopologyCore cores[4], *list[4];
    for (int i = 0; i < 4; i++) {
        nd__client_topology_core__init(&cores[i]);
        list[i] = &cores[i];
    }
    cores[0].base_speed = 2000;
    cores[0].max_speed = 9000;
    cores[1].max_speed = 3000;
    cores[2].guess_speed = 1000;
    cores[3].base_speed = 9000;
    cores[3].disable = true;
    Nd__ClientTopology topology = ND__CLIENT_TOPOLOGY__INIT;
    topology.cores = list;
    topology.n_cores = 4;
    Nd__NomadDriverConfig driver = ND__NOMAD_DRIVER_CONFIG__INIT;
    driver.topology = &topology;
    Nd__NomadConfig nomad = ND__NOMAD_CONFIG__INIT;
    Nd__SetConfigRequest message = ND__SET_CONFIG_REQUEST__INIT;
    CLEANUP(config_request_fini) struct config_request config = { 0 };
    message.msgpack_config = bytes_of("\x80", 1);
    cr_assert(config_request_decode(pack(&message), &config, &err));
    cr_assert_not(config.is_final);
    config_request_fini(&config);
    message.nomad_config = &nomad;
    nomad.driver = &driver;
    cr_assert(config_request_decode(pack(&message), &config, &err));
    cr_assert(config.is_final);
    cr_assert_eq(config.core_mhz, 2000);
}

static bool exec_with(size_t count, ProtobufCBinaryData *words)
{
    Nd__ExecTaskRequest message = ND__EXEC_TASK_REQUEST__INIT;
    message.task_id = bytes_of("id", 2);
    message.n_command = count;
    message.command = words;
    request_fini(&request);
    return request_decode(REQUEST_EXEC, pack(&message), &request, &err);
}

Test(request, takes_a_command_as_bytes_but_without_a_nul)
{
    ProtobufCBinaryData words[] = { bytes_of("sh", 2), bytes_of("", 0), bytes_of("\xff\n", 2) };
    cr_assert(exec_with(3, words), "%s", err.msg);
    cr_expect_eq(request.command.count, 3);
    cr_expect_str_eq(request.command.list[1], "");
    cr_expect_str_eq(request.command.list[2], "\xff\n");
    cr_expect_null(request.command.list[3]);
    cr_expect_eq(request.timeout_ms, 0);
    words[2] = bytes_of("a\0b", 3);
    cr_assert_not(exec_with(3, words));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not(exec_with(0, words));
    cr_assert_not(exec_with(1, &words[1]), "an empty program");
}

Test(request, refuses_more_words_or_bytes_than_are_sensible)
{
    const size_t most = REQUEST_WORDS_MAX;
    ProtobufCBinaryData *words = mem_array(most + 1, sizeof(*words));
    Nd__ExecTaskRequest message = ND__EXEC_TASK_REQUEST__INIT;
    message.task_id = bytes_of("id", 2);
    message.command = words;
    for (size_t i = 0; i <= most; i++)
        words[i] = bytes_of("x", 1);
    for (size_t over = 0; over < 2; over++) {
        message.n_command = most + over;
        CLEANUP(buf_fini) struct buf bytes = { 0 };
        size_t len = nd__exec_task_request__get_packed_size(&message);
        bytes.len = nd__exec_task_request__pack(&message, buf_reserve(&bytes, len));
        cr_expect_eq(request_decode(REQUEST_EXEC, buf_view(&bytes), &request, &err), over == 0);
        request_fini(&request);
    }
    free(words);
    char *large = mem_array(1, REQUEST_WORD_BYTES_MAX + 1);
    memset(large, 'x', REQUEST_WORD_BYTES_MAX + 1);
    ProtobufCBinaryData word = bytes_of(large, REQUEST_WORD_BYTES_MAX + 1);
    message.n_command = 1;
    message.command = &word;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    size_t len = nd__exec_task_request__get_packed_size(&message);
    bytes.len = nd__exec_task_request__pack(&message, buf_reserve(&bytes, len));
    cr_assert_not(request_decode(REQUEST_EXEC, buf_view(&bytes), &request, &err));
    free(large);
}

Test(request, tells_the_parts_of_a_message_of_a_stream)
{
    struct exec_input_request got;
    ProtobufCBinaryData word = bytes_of("sh", 2);
    Nd__ExecTaskStreamingRequest message = ND__EXEC_TASK_STREAMING_REQUEST__INIT;
    Nd__ExecTaskStreamingRequest__Setup setup = ND__EXEC_TASK_STREAMING_REQUEST__SETUP__INIT;
    Nd__ExecTaskStreamingRequest__TerminalSize size =
        ND__EXEC_TASK_STREAMING_REQUEST__TERMINAL_SIZE__INIT;
    Nd__ExecTaskStreamingIOOperation input = ND__EXEC_TASK_STREAMING_IOOPERATION__INIT;
    cr_assert(exec_input_decode(pack(&message), &got, &err), "a heartbeat");
    cr_expect(!got.has_setup && !got.has_size && !got.ends_input && got.input.len == 0);
    size.height = 33;
    size.width = 70000;
    input.data = bytes_of("in", 2);
    input.close = true;
    message.tty_size = &size;
    message.stdin = &input;
    cr_assert(exec_input_decode(pack(&message), &got, &err), "%s", err.msg);
    cr_expect(got.has_size && got.rows == 33 && got.columns == UINT16_MAX && got.ends_input);
    cr_expect(view_is_equal(buf_view(&got.input), view_str("in")));
    exec_input_fini(&got);
    size.height = -1;
    setup.task_id = bytes_of("id", 2);
    setup.n_command = 1;
    setup.command = &word;
    setup.tty = true;
    message.setup = &setup;
    cr_assert(exec_input_decode(pack(&message), &got, &err), "%s", err.msg);
    cr_expect(got.has_setup && got.is_tty && got.rows == 0);
    cr_expect_str_eq(got.task_id, "id");
    cr_expect_str_eq(got.command.list[0], "sh");
    exec_input_fini(&got);
    setup.n_command = 0;
    cr_assert_not(exec_input_decode(pack(&message), &got, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not(exec_input_decode(view_of("\xff", 1), &got, &err));
}
