// rooms: common/shimwire
#include <assert.h>
#include <string.h>

#include "common/shimwire/exit_record.h"

/* As it stands, and once more with the checksum made right: else it hides all the rest. */
static void decode(const uint8_t *data, size_t size)
{
    struct err err = { 0 };
    struct exit_record rec;
    uint8_t bytes[EXIT_RECORD_BYTES];
    if (!exit_record_decode(view_of(data, size), &rec, &err)) {
        assert(err.kind == ERR_CORRUPT);
        return;
    }
    (void)exit_record_status(&rec);
    assert(exit_cause_name(rec.cause) != NULL);
    exit_record_encode(&rec, bytes);
    bool good = exit_record_decode(view_of(bytes, sizeof(bytes)), &rec, &err);
    assert(good);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(data, size);
    if (size != EXIT_RECORD_BYTES)
        return 0;
    uint8_t bytes[EXIT_RECORD_BYTES];
    memcpy(bytes, data, size);
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < size - 8; i++)
        sum = (sum ^ bytes[i]) * UINT64_C(1099511628211);
    for (int i = 0; i < 8; i++)
        bytes[size - 8 + (size_t)i] = (uint8_t)(sum >> (8 * i));
    decode(bytes, size);
    return 0;
}
