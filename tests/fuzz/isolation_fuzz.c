// rooms: driver/isolation
#include <assert.h>
#include <string.h>

#include "driver/isolation/plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = { 0 };
    struct isolation_plan plan;
    uint8_t bytes[ISOLATION_BYTES];
    if (!isolation_decode(view_of(data, size), &plan, &err)) {
        assert(err.kind == ERR_CORRUPT);
        return 0;
    }
    isolation_encode(&plan, bytes);
    assert(size == 0 || (size == sizeof(bytes) && memcmp(bytes, data, size) == 0));
    return 0;
}
