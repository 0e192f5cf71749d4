// rooms: driver/nomad
// The bytes of a TaskConfig message.
#include "driver/nomad/task_spec.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct task_spec *spec = NULL;
    struct err err = { 0 };
    if (!task_spec_decode(view_of(data, size), &spec, &err)) {
        assert(err.kind == ERR_INVALID && err.msg[0] != '\0' && !spec);
        return 0;
    }
    assert(spec->id[0] && spec->name[0] && spec->alloc_id[0] && spec->alloc_dir[0] == '/');
    assert(spec->env_count == 0 || spec->env.len > 0);
    (void)task_spec_env(spec, "PATH");
    task_spec_free(spec);
    return 0;
}
