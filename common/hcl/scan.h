/* scan.h - the text of an HCL file, read once from front to back with its place.
 *
 * Room-private: the lexical half of the parser. Every failure fills the scanner's error with
 * INVALID and `name:line:col: reason`, and returns false. */
#pragma once
#include "common/hcl/arena.h"
#include "common/hcl/hcl.h"

struct hcl_scan {
    const uint8_t *at, *end, *line_start;
    uint32_t line;
    const char *name;        /* borrowed */
    struct hcl_arena *arena; /* borrowed; texts go there */
    struct err *err;         /* borrowed */
};

/** The next byte, not taken; -1 at the end. */
static inline int hcl_scan_peek(const struct hcl_scan *s) { return s->at < s->end ? *s->at : -1; }

/** Where the next byte stands. */
static inline struct hcl_pos hcl_scan_pos(const struct hcl_scan *s)
{
    return (struct hcl_pos){ s->line, (uint32_t)(s->at - s->line_start) + 1 };
}

/** Fails at `pos`. */
bool hcl_scan_fail(struct hcl_scan *s, struct hcl_pos pos, const char *fmt, ...) PRINTF(3, 4);

/** Fails unless the whole text is UTF-8 without NUL. Reads ahead; the place is not moved. */
MUST_USE bool hcl_scan_check_bytes(struct hcl_scan *s);

/** Skips blanks and comments, and with `lines` also line ends. A line comment stops before its
 *  line end. */
MUST_USE bool hcl_scan_blank(struct hcl_scan *s, bool lines);

/** Takes one byte; the caller has peeked and it is not a line end. */
static inline void hcl_scan_skip(struct hcl_scan *s) { s->at++; }

/** Takes an identifier (letters, digits, `_`, `-`); NULL when there is none here. */
const char *hcl_scan_name(struct hcl_scan *s);

/** Takes a number as written: sign, digits, fraction, exponent. */
MUST_USE bool hcl_scan_number(struct hcl_scan *s, const char **out);

/** Takes a quoted string or a heredoc that starts here. `*has_template` is true when a `${` or `%{`
 *  is in it; then the text keeps every template and `$${` as written. */
MUST_USE bool hcl_scan_quoted(struct hcl_scan *s, const char **out, bool *has_template);
MUST_USE bool hcl_scan_heredoc(struct hcl_scan *s, const char **out, bool *has_template);
