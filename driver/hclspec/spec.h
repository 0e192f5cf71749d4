/* spec.h - a driver's configuration schema (hclspec.Spec) as a tree.
 *
 * Read by hand from the plugin's reply: the message is recursive, and a generated decoder would
 * follow it as deep as a broken plugin likes. Pure. Shapes and rules: DESIGN.md, section 3. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"

#define SPEC_DEPTH_MAX  16   /* ours has 3 levels, the deepest known driver 6 */
#define SPEC_NODES_MAX  1024 /* keys of all blocks together */
#define SPEC_LABELS_MAX 4
#define SPEC_TEXT_MAX   4096 /* of a name, a type or a default */

/* kind, field number in the message */
#define SPEC_KINDS(X) \
    X(OBJECT, 1)      \
    X(ARRAY, 2)       \
    X(ATTR, 3)        \
    X(BLOCK_VALUE, 4) \
    X(BLOCK_ATTRS, 5) \
    X(BLOCK_LIST, 6)  \
    X(BLOCK_SET, 7)   \
    X(BLOCK_MAP, 8)   \
    X(DEFAULT, 9)     \
    X(LITERAL, 10)
#define SPEC_ENUM(kind, number) SPEC_##kind = number,
enum spec_kind { SPEC_NONE, SPEC_KINDS(SPEC_ENUM) SPEC_KIND_END };

struct spec { /* owns */
    enum spec_kind kind;
    char *key;  /* in the object above; NULL elsewhere */
    char *name; /* of the attribute or block; the key when the message has none */
    char *type; /* ATTR, BLOCK_ATTRS: "string", "list(string)", ... */
    char *text; /* LITERAL: HCL source */
    bool is_required;
    uint64_t min_items, max_items; /* 0: no limit */
    unsigned label_count;          /* BLOCK_MAP */
    struct spec **children;        /* OBJECT (sorted by key), ARRAY: members; DEFAULT: primary and
                                      default; blocks: the nested one */
    size_t child_count;
};

/** Decodes a Spec message; the caller owns `*out`. Errors: INVALID malformed, too deep, too large,
 *  or against the rules (no kind, an attribute without type, a block without nested spec, an
 *  attribute without name that is not directly in an object). */
MUST_USE bool spec_decode(struct view message, struct spec **out, struct err *err);
void spec_free(struct spec *spec);
static inline void spec_freep(struct spec **spec)
{
    spec_free(*spec);
    *spec = 0;
}

/** "object", "block_list", ...; a static string. */
const char *spec_kind_name(enum spec_kind kind);
