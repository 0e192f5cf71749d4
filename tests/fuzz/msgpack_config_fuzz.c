// rooms: driver/nomad
// First byte: even a task's config, odd the plugin's; the rest: msgpack as Nomad sends it.
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_config.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void task_side(struct view bytes)
{
    struct task_config config;
    struct err err = { 0 };
    if (!task_config_decode(bytes, &config, &err)) {
        assert(err.kind == ERR_INVALID && err.msg[0] != '\0');
        return;
    }
    assert(config.command && config.command[0] != '\0');
    assert(!config.has_state || config.state.path);
    assert(!config.has_lease || config.has_state);
    const int64_t ttl = config.lease.ttl_ms; /* 0: the node's */
    assert(ttl == 0 || (ttl >= 1000 && ttl <= 3600000));
    task_config_fini(&config);
}

static void plugin_side(struct view bytes)
{
    struct plugin_config config;
    struct str_list unknown = { 0 };
    struct err err = { 0 };
    if (plugin_config_decode(bytes, &config, &unknown, &err)) {
        assert(config.state_dir[0] == '/' && config.run_dir[0] == '/' && config.key_file);
        plugin_config_fini(&config);
    } else {
        assert(err.kind == ERR_INVALID && err.msg[0] != '\0');
    }
    str_list_fini(&unknown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const struct view bytes = view_of(data + 1, size - 1);
    if (data[0] & 1)
        plugin_side(bytes);
    else
        task_side(bytes);
    return 0;
}
