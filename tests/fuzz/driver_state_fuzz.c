// rooms: driver/nomad
// What decodes encodes to the same bytes.
#include "driver/nomad/driver_state.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct driver_state state;
    struct err err = { 0 };
    if (!driver_state_decode(view_of(data, size), &state, &err)) {
        assert(err.kind == ERR_INVALID || err.kind == ERR_CORRUPT);
        return 0;
    }
    struct buf again = { 0 };
    driver_state_encode(&state, &again);
    assert(view_is_equal(buf_view(&again), view_of(data, size)));
    buf_fini(&again);
    return 0;
}
