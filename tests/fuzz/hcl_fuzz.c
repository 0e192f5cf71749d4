// rooms: common/hcl
/* The parser takes any bytes: a tree, or INVALID with a place. A tree can be walked and written. */
#include "common/hcl/hcl.h"
#include "common/hcl/template.h"
#include "common/hcl/write.h"

#include <assert.h>

static void walk(const struct hcl_node *node)
{
    for (const struct hcl_node *n = node->first; n; n = n->next) {
        if (n->kind == HCL_STRING) {
            struct buf out = { 0 };
            struct err err;
            assert(hcl_put_text(&out, view_str(n->text), &err));
            buf_fini(&out);
            struct view rest = view_str(n->text);
            struct hcl_template_part part;
            struct hcl_template_fault fault;
            while (hcl_template_next(&rest, &part, &fault))
                assert(part.text.len <= strlen(n->text));
        }
        walk(n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hcl *tree = NULL;
    struct err err = { 0 };
    if (hcl_parse("f", view_of(data, size), &tree, &err)) {
        walk(hcl_root(tree));
        hcl_free(tree);
    } else {
        assert(err.kind == ERR_INVALID && strncmp(err.msg, "f:", 2) == 0);
    }
    return 0;
}
