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
