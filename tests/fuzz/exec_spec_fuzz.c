// rooms: common/shimwire
#include <assert.h>
#include <string.h>

#include "common/base/own.h"
#include "common/shimwire/exec_spec.h"

/* What decodes encodes to the same bytes. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = { 0 };
    struct exec_spec spec;
    struct shim_spec_store *store = mem_new(struct shim_spec_store);
    if (exec_spec_decode(view_of(data, size), store, &spec, &err)) {
        CLEANUP(buf_fini) struct buf bytes = { 0 };
        bool good = exec_spec_encode(&spec, &bytes, &err);
        assert(good && bytes.len == size && memcmp(bytes.data, data, size) == 0);
    } else {
        assert(err.kind == ERR_CORRUPT);
    }
    free(store);
    return 0;
}
