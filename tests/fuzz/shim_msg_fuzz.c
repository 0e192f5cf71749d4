// rooms: common/shimwire
#include <assert.h>
#include <string.h>

#include "common/shimwire/msg.h"

/* The first byte chooses the direction; what decodes must encode to something that decodes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned directions[] = { SHIM_SIDECAR_SENDS, SHIM_TELLS_SIDECAR,
                                           SHIM_DRIVER_SENDS, SHIM_TELLS_DRIVER, SHIM_EXEC_TELLS };
    struct err err = { 0 };
    struct shim_msg msg, again;
    if (size == 0)
        return 0;
    unsigned direction = directions[data[0] % 5];
    if (!shim_msg_decode(view_of(data + 1, size - 1), direction, &msg, &err)) {
        assert(err.kind == ERR_CORRUPT || err.kind == ERR_DENIED || err.kind == ERR_NOT_FOUND);
        return 0;
    }
    uint8_t bytes[SHIM_MSG_MAX], second[SHIM_MSG_MAX];
    size_t len = shim_msg_encode(&msg, bytes);
    bool good = shim_msg_decode(view_of(bytes, len), direction, &again, &err);
    assert(good);
    assert(shim_msg_encode(&again, second) == len && memcmp(bytes, second, len) == 0);
    return 0;
}
