// rooms: sidecar/image
/* A tree that passes the check can be walked entry by entry, and each encodes to its own bytes. */
#include "sidecar/image/tree.h"

#include "common/base/own.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tree_totals totals;
    struct err err = { 0 };
    if (!tree_check(view_of(data, size), &totals, &err)) {
        assert(err.kind == ERR_CORRUPT);
        return 0;
    }
    CLEANUP(buf_fini) struct buf again = { 0 };
    struct cursor c = cursor_of(view_of(data, size), "tree");
    uint64_t count = 0;
    while (c.rest.len > 0) {
        struct tree_entry entry;
        bool good = tree_decode_entry(&c, &entry, &err);
        assert(good);
        tree_encode_entry(&entry, &again);
        count++;
    }
    assert(count == totals.files + totals.dirs + totals.symlinks + totals.hardlinks);
    assert(view_is_equal(view_of(data, size), buf_view(&again)));
    return 0;
}
