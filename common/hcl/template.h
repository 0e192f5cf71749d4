/* template.h - text with `${...}` in it: undo the escapes, or split it into literals and
 * references.
 *
 * The parser keeps templates as text; who may interpolate (agent-dev) splits them here. Knows no
 * variables and evaluates nothing. */
#pragma once
#include <stddef.h>

#include "common/base/buf.h"

struct hcl_template_fault {
    size_t offset;      /* into the raw text */
    const char *reason; /* static */
};

/** Writes `raw` with its escapes undone to `out` (room for raw.len + 1) and ends it with NUL.
 *  Backslash escapes count only with `quoted`. Without a template, `$${` becomes `${`; with one,
 *  `*has_template` is true and templates and `$${` stay as written, for hcl_template_next. */
MUST_USE bool hcl_template_unescape(struct view raw, bool quoted, char *out, bool *has_template,
                                    struct hcl_template_fault *fault);

struct hcl_template_part {
    bool is_reference; /* `text` is what stands between `${` and `}`, blanks trimmed */
    struct view text;  /* borrowed from the input; a literal has its escapes undone */
};

/** Takes the next part from the front of `*rest`; false at the end and on a fault. A fault (a
 *  `%{` directive, an unclosed `${`) sets fault->reason; otherwise it is NULL. */
MUST_USE bool hcl_template_next(struct view *rest, struct hcl_template_part *out,
                                struct hcl_template_fault *fault);
