/* hcl.h - the literal subset of HCL2 as a tree, with line and column on every node.
 *
 * For configuration and job files. Pure: bytes in, tree out; it opens nothing, evaluates nothing
 * and looks up nothing. Blocks, attributes, strings, numbers, bools, null, lists, maps, heredocs
 * and comments; `${...}` and `%{...}` stay text for the caller. What is outside the subset is an
 * error with its place, never a guess. Messages never repeat a value: it may be a secret. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"

#define HCL_BYTES_MAX  (1U << 20) /* a job file is a few KiB; embedded templates are the largest */
#define HCL_NODES_MAX  65536U     /* bounds memory at about 8 MiB, whatever the text */
#define HCL_DEPTH_MAX  32U        /* blocks, lists and maps inside each other */
#define HCL_KEYS_MAX   1024U /* children of one body or map: finding doubles compares each pair */
#define HCL_LABELS_MAX 3U

enum hcl_kind { HCL_STRING, HCL_NUMBER, HCL_BOOL, HCL_NULL, HCL_LIST, HCL_MAP, HCL_BLOCK };

struct hcl_pos {
    uint32_t line, col; /* from 1; col counts bytes */
};

/** One value or block. Attributes and map entries are values with a key; a body is the children of
 *  a block, in the order of the text. Everything is lent by the tree. */
struct hcl_node {
    enum hcl_kind kind;
    bool is_true;          /* HCL_BOOL */
    bool has_template;     /* HCL_STRING: holds `${` or `%{`; then `text` is raw, `$${` included */
    struct hcl_pos at;     /* of the value; of the name for a block */
    struct hcl_pos key_at; /* of the key, or as `at` */
    const char *key;       /* attribute, map key or block name; NULL for a list item and the root */
    const char *text;      /* HCL_STRING without NUL, escapes undone; HCL_NUMBER as written */
    const char *labels[HCL_LABELS_MAX];
    unsigned label_count, child_count;
    const struct hcl_node *first, *next; /* children; next sibling */
};

struct hcl;

/** Parses all of `text`. `name` (copied) stands before each message: `job.hcl:3:7: ...`.
 *  Errors: INVALID, with line and column. */
MUST_USE bool hcl_parse(const char *name, struct view text, struct hcl **out, struct err *err);
void hcl_free(struct hcl *tree);
static inline void hcl_freep(struct hcl **tree)
{
    hcl_free(*tree);
    *tree = 0;
}

/** The file as one block without key; lent until hcl_free. */
const struct hcl_node *hcl_root(const struct hcl *tree);

/** "string", "number", ... for messages; a static string. */
const char *hcl_kind_name(enum hcl_kind kind);

/** Fails with INVALID: `name:line:col: ` and the message. The place is that of the node's value, or
 *  with hcl_fail_key that of its key. */
bool hcl_fail(const struct hcl *tree, const struct hcl_node *node, struct err *err, const char *fmt,
              ...) PRINTF(4, 5);
bool hcl_fail_key(const struct hcl *tree, const struct hcl_node *node, struct err *err,
                  const char *fmt, ...) PRINTF(4, 5);
