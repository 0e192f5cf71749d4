// rooms: common/shimwire
#include <assert.h>
#include <string.h>

#include "common/base/own.h"
#include "common/shimwire/launch.h"

static void decode(const uint8_t *data, size_t size)
{
    struct err err = { 0 };
    struct launch launch;
    if (!launch_decode(view_of(data, size), &launch, &err)) {
        assert(err.kind == ERR_CORRUPT);
        return;
    }
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    bool good = launch_encode(&launch, &bytes, &err);
    assert(good && bytes.len == size && memcmp(bytes.data, data, size) == 0);
}

/* As it stands, and once more with the checksum made right: else it hides all the rest. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(data, size);
    if (size < 8 || size > LAUNCH_BYTES_MAX)
        return 0;
    uint8_t bytes[LAUNCH_BYTES_MAX];
    memcpy(bytes, data, size);
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < size - 8; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(1099511628211);
    for (size_t i = 0; i < 8; i++)
        bytes[size - 8 + i] = (uint8_t)(sum >> (8 * i));
    decode(bytes, size);
    return 0;
}
