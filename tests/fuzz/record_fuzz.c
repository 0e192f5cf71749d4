// rooms: sidecar/lease
/* The record's decoder takes any bytes: a record that can be written again to the same bytes, or
 * CORRUPT. The tag is one that a fuzzer can make: the interesting bytes are behind it. */
#include "sidecar/lease/record.h"

#include "common/base/own.h"
#include "common/base/text.h"

#include <assert.h>

/* Any body passes whose tag is 32 times its length, mod 256. */
static bool easy_mac(void *arg, const struct record *record, struct view bytes,
                     uint8_t out[RECORD_MAC_BYTES], struct err *err)
{
    (void)arg, (void)record, (void)err;
    memset(out, (int)(bytes.len & 0xff), RECORD_MAC_BYTES);
    return true;
}

static void decode(struct view bytes)
{
    static const struct record_auth auth = { easy_mac, NULL };
    struct record record;
    struct err err = { 0 };
    if (!record_decode(bytes, "a/b", &auth, &record, &err)) {
        assert(err.kind == ERR_CORRUPT);
        assert(utf8_is_valid(view_str(err.msg)));
        return;
    }
    struct buf again = { 0 };
    struct record twice;
    assert(record_encode(&record, &auth, &again, &err));
    assert(record_decode(buf_view(&again), "a/b", &auth, &twice, &err));
    assert(memcmp(&record, &twice, sizeof(record)) == 0);
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    decode(view_of(data, size)); /* as it is */
    struct buf tagged = { 0 };   /* and as a body with its right tag */
    buf_put(&tagged, view_of(data, size));
    buf_put_str(&tagged, ",\"mac\":\"");
    for (int i = 0; i < RECORD_MAC_BYTES; i++)
        buf_put_fmt(&tagged, "%02x", (unsigned)(size & 0xff));
    buf_put_str(&tagged, "\"}");
    decode(buf_view(&tagged));
    buf_fini(&tagged);
    return 0;
}
