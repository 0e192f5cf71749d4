// rooms: driver/isolation
#include <assert.h>
#include <string.h>

#include "driver/isolation/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct isolation_plan plan;
    struct err err = { 0 };
    struct buf bytes = { 0 };
    if (!isolation_decode(view_of(data, size), &plan, &err)) {
        assert(err.kind == ERR_CORRUPT);
        return 0;
    }
    isolation_encode(&plan, &bytes);
    assert(size == 0 || data[0] == 1 || (size == bytes.len && memcmp(bytes.data, data, size) == 0));
    buf_fini(&bytes);
    return 0;
}
