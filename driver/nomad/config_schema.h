/* config_schema.h - a table of keys as the schema that Nomad checks jobs with, and as reference.
 *
 * Nomad's own check is what refuses unknown and misspelt keys in a job file, with their line. The
 * bytes are those of hclspec.Spec; packing them by hand keeps the recursive message, whose decoder
 * has no depth limit, out of the program. Pure. */
#pragma once
#include "common/base/buf.h"

struct config_table;

/** Appends the protobuf bytes of hclspec.Spec. */
void config_put_spec(const struct config_table *table, struct buf *out);

/** Appends the reference as a Markdown table, one line a key. */
void config_put_doc(const struct config_table *table, struct buf *out);

/** Appends the values of the decoded struct at `values` as HCL, defaults included; what is absent
 * is left out. Errors: INVALID a text that is not UTF-8. */
MUST_USE bool config_put_values(const struct config_table *table, const void *values,
                                struct buf *out, struct err *err);

/** Appends the sections with both of our tables. */
void config_put_page(struct buf *out);
