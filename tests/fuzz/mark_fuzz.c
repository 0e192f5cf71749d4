// rooms: sidecar/engine
/* The mark beside a state directory, of any bytes: read whole and written the same again, or
 * CORRUPT. */
#include "sidecar/engine/mark.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mark mark;
    struct err err = { 0 };
    struct buf again = { 0 };
    if (mark_decode(view_of(data, size), &mark, &err)) {
        mark_encode(&mark, &again);
        assert(view_is_equal(buf_view(&again), view_of(data, size)));
        buf_fini(&again);
    } else {
        assert(err.kind == ERR_CORRUPT);
    }
    return 0;
}
