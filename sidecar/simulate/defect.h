/* defect.h - a rule of the lease that is left out on purpose, to see that the checker notices.
 *
 * The lease's own code stays as it is: what it is told is bent so that it acts as if it did not
 * look. MARGIN: the deadline leaves no time for the kill. NONCE: whatever is read back is taken for
 * the write whose fate is unknown. EPOCH: a holder that reads a foreign record goes on as if it
 * were its own. */
#pragma once
#include <stdbool.h>

#include "sidecar/lease/machine.h"

/* clang-format off */
#define DEFECTS(X)                                                                                 \
    X(NONE, "none") X(MARGIN, "margin") X(NONCE, "nonce") X(EPOCH, "epoch")
/* clang-format on */
#define DEFECT_ENUM(id, name) DEFECT_##id,
enum defect { DEFECTS(DEFECT_ENUM) DEFECT_COUNT };

/** "margin" and so on. Errors: INVALID, naming what there is. */
MUST_USE bool defect_parse(const char *name, enum defect *out, struct err *err);
const char *defect_name(enum defect defect);

/** What machine `m` is told of a record that was read, instead of the truth. */
void defect_bend(enum defect defect, struct machine *m, const struct store_version *version,
                 struct record *record);
