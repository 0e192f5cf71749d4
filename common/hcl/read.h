/* read.h - typed, checked reading of an HCL tree.
 *
 * Every function names the key and the place on failure (INVALID) and never the value. A string
 * that holds a template is refused here: a caller that interpolates does so on the node itself. */
#pragma once
#include "common/hcl/hcl.h"

/** The attribute `key` of a block or the entry of a map; NULL when absent. Never a block. */
const struct hcl_node *hcl_attr(const struct hcl_node *body, const char *key);

/** The first child block `name` of a body; NULL when there is none. */
const struct hcl_node *hcl_block(const struct hcl_node *body, const char *name);

/** The next sibling block of the same name; NULL at the end. */
const struct hcl_node *hcl_block_next(const struct hcl_node *block);

/** Each fails unless the value has that type; text is lent by the tree. */
MUST_USE bool hcl_read_text(const struct hcl *tree, const struct hcl_node *value, const char **out,
                            struct err *err);
/** An integer in [min, max], as a number or as a string of digits. */
MUST_USE bool hcl_read_int(const struct hcl *tree, const struct hcl_node *value, int64_t min,
                           int64_t max, int64_t *out, struct err *err);
/** A quoted duration ("15s", "7d") in [min_ms, max_ms]. A bare number is refused. */
MUST_USE bool hcl_read_ms(const struct hcl *tree, const struct hcl_node *value, int64_t min_ms,
                          int64_t max_ms, int64_t *out_ms, struct err *err);
/** Fails unless the value is a list of strings; read them by first/next and `text`. */
MUST_USE bool hcl_check_texts(const struct hcl *tree, const struct hcl_node *value,
                              struct err *err);

/** What may stand in a body. A list of these ends with a NULL name. */
struct hcl_rule {
    const char *name;
    bool is_block;
    unsigned labels; /* of a block: how many it must have */
    bool is_repeatable, is_required;
};

/** Checks a body against its rules: unknown keys (with the nearest known one), attribute in place
 *  of block and the reverse, label counts, repeated blocks, required keys. */
MUST_USE bool hcl_check(const struct hcl *tree, const struct hcl_node *body,
                        const struct hcl_rule *rules, struct err *err);

/** The rule whose name is nearest to `word`, if near enough to be a misspelling; else NULL. */
const char *hcl_suggest(const char *word, const struct hcl_rule *rules);
