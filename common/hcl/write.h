/* write.h - values as HCL text, so that hcl_parse gives the same value back.
 *
 * Used to hand a configuration from one program to another. Templates are escaped: what is written
 * is a literal, and nothing in it is ever interpolated again. */
#pragma once
#include "common/base/buf.h"

/** Appends `text` as one quoted literal on one line. Errors: INVALID when it is not UTF-8 or has a
 *  NUL; `out` is unchanged then. */
MUST_USE bool hcl_put_text(struct buf *out, struct view text, struct err *err);

/** Appends `indent` levels, `key = ` and the quoted text, and ends the line. Errors: as above. */
MUST_USE bool hcl_put_attr(struct buf *out, unsigned indent, const char *key, const char *text,
                           struct err *err);
