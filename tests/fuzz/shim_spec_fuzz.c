// rooms: common/shimwire
#include <assert.h>
#include <string.h>

#include "common/base/own.h"
#include "common/shimwire/spec.h"

static size_t walk(const char *const *list)
{
    size_t total = 0;
    for (; list != NULL && *list != NULL; list++)
        total += strlen(*list);
    return total;
}

/* What decodes is walked to the last byte and encodes again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = { 0 };
    struct shim_spec spec;
    struct shim_spec_store *store = mem_new(struct shim_spec_store);
    if (shim_spec_decode(view_of(data, size), store, &spec, &err)) {
        CLEANUP(buf_fini) struct buf bytes = { 0 };
        size_t total = walk(spec.agent.argv) + walk(spec.agent.envp) + walk(spec.sidecar.argv) +
                       walk(spec.sidecar.envp) + walk(spec.agent_enters) +
                       walk(spec.sidecar_enters) + strlen(spec.cwd) + strlen(spec.cores);
        assert(total <= size);
        bool good = shim_spec_encode(&spec, &bytes, &err);
        assert(good);
    } else {
        assert(err.kind == ERR_CORRUPT);
    }
    free(store);
    return 0;
}
