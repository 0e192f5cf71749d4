// rooms: sidecar/image
/* What decodes is encoded again to the same bytes. */
#include "sidecar/image/manifest.h"

#include "common/base/own.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(manifest_fini) struct manifest m = { 0 };
    struct err err = { 0 };
    if (!manifest_decode(view_of(data, size), &m, &err)) {
        assert(err.kind == ERR_CORRUPT);
        return 0;
    }
    CLEANUP(buf_fini) struct buf again = { 0 };
    struct pack_id id;
    manifest_encode(&m, &again);
    assert(view_is_equal(view_of(data, size), buf_view(&again)));
    bool is_found = manifest_pack(&m, m.packs[0].sequence, &id, &err);
    assert(is_found && pack_id_is_equal(id, m.packs[0]));
    return 0;
}
