/* scan.h - the text of an HCL file, read once from front to back with its place.
 *
 * Room-private: the lexical half of the parser. Every failure fills the scanner's error with
 * INVALID and `name:line:col: reason`, and returns false. */
#pragma once
#include "common/hcl/arena.h"
#include "common/hcl/hcl.h"

struct scan {
    const uint8_t *at, *end, *line_start;
    uint32_t line;
    const char *name;    /* borrowed */
    struct arena *arena; /* borrowed; texts go there */
    struct err *err;     /* borrowed */
};

static inline int scan_peek(const struct scan *s) { return s->at < s->end ? *s->at : -1; }
static inline struct hcl_pos scan_pos(const struct scan *s)
{
    return (struct hcl_pos){ s->line, (uint32_t)(s->at - s->line_start) + 1 };
}

/** Fails at `pos`. */
bool scan_fail(struct scan *s, struct hcl_pos pos, const char *fmt, ...) PRINTF(3, 4);

/** Fails unless the whole text is UTF-8 without NUL. Reads ahead; the place is not moved. */
MUST_USE bool scan_check_bytes(struct scan *s);

/** Skips blanks and comments, and with `lines` also line ends. A line comment stops before its
 *  line end. */
MUST_USE bool scan_blank(struct scan *s, bool lines);

/** Takes one byte; the caller has peeked and it is not a line end. */
static inline void scan_skip(struct scan *s) { s->at++; }

/** Takes an identifier (letters, digits, `_`, `-`); NULL when there is none here. */
const char *scan_name(struct scan *s);

/** Takes a number as written: sign, digits, fraction, exponent. */
MUST_USE bool scan_number(struct scan *s, const char **out);

/** Takes a quoted string or a heredoc that starts here. `*has_template` is true when a `${` or `%{`
 *  is in it; then the text keeps every template and `$${` as written. */
MUST_USE bool scan_quoted(struct scan *s, const char **out, bool *has_template);
MUST_USE bool scan_heredoc(struct scan *s, const char **out, bool *has_template);
