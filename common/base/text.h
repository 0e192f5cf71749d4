/* text.h - numbers, hex, durations and UTF-8 between text and values.
 *
 * For text from outside: every function takes a view, checks all of it and names what is wrong.
 * It does not trim, guess units or accept trailing characters. */
#pragma once
#include "common/base/buf.h"

/** Lower-case hex of `bytes` into `out`, which has room for 2 * bytes.len + 1. */
void hex_encode(struct view bytes, char *out);

/** Exactly `out_len` bytes from 2 * out_len hex digits of either case. Errors: INVALID. */
MUST_USE bool hex_decode(struct view text, uint8_t *out, size_t out_len, struct err *err);

/** A decimal integer with optional sign in [min, max]. Errors: INVALID, quoting the text. */
MUST_USE bool int_parse(struct view text, int64_t min, int64_t max, int64_t *out, struct err *err);

/** "250ms", "15s", "1.5h", "1h30m", "7d" to milliseconds; a bare number other than 0 has no unit
 *  and is refused. Errors: INVALID. Nomad's duration format plus d for days. */
MUST_USE bool duration_parse(struct view text, int64_t *out_ms, struct err *err);

/** True when every byte belongs to a shortest-form UTF-8 sequence and none is NUL. */
bool utf8_is_valid(struct view text);

/** Replaces each bad byte of the NUL-terminated `text` by '?', in place. Allocates nothing. */
void utf8_mend(char *text);

/** Appends `text` with each bad byte replaced by U+FFFD; for what goes to strict readers. */
void utf8_put_clean(struct buf *out, struct view text);
