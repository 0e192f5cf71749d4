// rooms: driver/plugin
// First byte: which request; the rest: its bytes as they come from the agent.
#include "driver/plugin/request.h"

#include "common/base/own.h"
#include "driver/nomad/task_spec.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void task_request(enum request_kind kind, struct view bytes)
{
    struct err err;
    CLEANUP(request_fini) struct request request = { 0 };
    if (!request_decode(kind, bytes, &request, &err)) {
        assert(err.kind == ERR_INVALID && err.msg[0] != '\0');
        return;
    }
    assert(kind == REQUEST_START || request.task_id[0] != '\0');
    assert(kind != REQUEST_EXEC || request.command.list[0][0] != '\0');
    assert(request.timeout_ms >= 0 && request.timeout_ms <= REQUEST_DURATION_MAX_MS);
    assert(request.interval_ms >= 0 && request.interval_ms <= REQUEST_DURATION_MAX_MS);
    CLEANUP(task_spec_freep) struct task_spec *spec = NULL;
    if (kind == REQUEST_START)
        (void)!task_spec_decode(buf_view(&request.config), &spec, &err);
}

static void exec_input(struct view bytes)
{
    struct err err;
    CLEANUP(exec_input_fini) struct exec_input_request request = { 0 };
    if (!exec_input_decode(bytes, &request, &err)) {
        assert(err.kind == ERR_INVALID && err.msg[0] != '\0');
        return;
    }
    assert(request.has_setup == (request.command.count > 0));
    assert(!request.has_setup || request.command.list[0][0] != '\0');
}

static void config_request(struct view bytes)
{
    struct err err;
    CLEANUP(config_request_fini) struct config_request request = { 0 };
    if (!config_request_decode(bytes, &request, &err))
        assert(err.kind == ERR_INVALID);
    assert(request.core_mhz >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct view bytes = view_of(data + 1, size - 1);
    struct err err;
    if (data[0] < REQUEST_KIND_COUNT)
        task_request((enum request_kind)data[0], bytes);
    else if (data[0] == REQUEST_KIND_COUNT)
        config_request(bytes);
    else if (data[0] == REQUEST_KIND_COUNT + 1)
        exec_input(bytes);
    else
        (void)!health_request_decode(bytes, &err);
    return 0;
}
