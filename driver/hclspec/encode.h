/* encode.h - a config block as the msgpack that Nomad would hand to the driver.
 *
 * Follows the driver's own schema: unknown keys, missing keys, wrong types and block counts are
 * errors with file, line and column; values convert as Nomad converts them. Pure. DESIGN.md,
 * section 3, lists what is not supported of the schema language. */
#pragma once
#include "common/base/buf.h"
#include "common/hcl/hcl.h"

struct spec;
struct vars;

/** Appends the encoding of `body` (a block; NULL is an empty one) under `spec`, an object. `vars`
 *  fill ${...}. Errors: INVALID with the place; a template without `vars` is one. */
MUST_USE bool config_encode(const struct spec *spec, const struct hcl *tree,
                            const struct hcl_node *body, const struct vars *vars, struct buf *out,
                            struct err *err);

/** The node of a key path such as "state.interval" in `body`, for messages of the driver; NULL when
 *  it is not there. */
const struct hcl_node *config_node_at(const struct hcl_node *body, const char *path);

/** The driver's own message `found` names a key ("task config: state.ttl: ..."): fails with INVALID
 *  at the place of that key, or of `body` (NULL: of the file). Returns false. */
bool config_fail_at(const struct hcl *tree, const struct hcl_node *body, const struct err *found,
                    struct err *err);
