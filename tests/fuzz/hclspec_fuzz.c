// rooms: driver/hclspec driver/nomad common/hcl
/* Any bytes are a schema or INVALID; a schema encodes a fixed config or refuses it, and what it
 * encodes is one whole msgpack value. */
#include "common/hcl/hcl.h"
#include "driver/hclspec/encode.h"
#include "driver/hclspec/spec.h"
#include "driver/nomad/msgpack_bounds.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char config[] = "a = 1\nb = \"x\"\nc {\n a = [1, \"2\"]\n}\nc \"d\" { b = 1.5 }\n";
    struct spec *spec = NULL;
    struct hcl *tree = NULL;
    struct err err = { 0 };
    struct buf out = { 0 };
    if (!spec_decode(view_of(data, size), &spec, &err)) {
        assert(err.kind == ERR_INVALID);
        return 0;
    }
    assert(hcl_parse("f", view_str(config), &tree, &err));
    for (int pass = 0; pass < 2; pass++) {
        out.len = 0;
        const struct hcl_node *body = pass ? NULL : hcl_root(tree);
        if (!config_encode(spec, tree, body, NULL, &out, &err))
            assert(err.kind == ERR_INVALID);
        else
            assert(msgpack_bounds_check(buf_view(&out), &err) || err.kind == ERR_INVALID);
    }
    buf_fini(&out);
    hcl_free(tree);
    spec_free(spec);
    return 0;
}
