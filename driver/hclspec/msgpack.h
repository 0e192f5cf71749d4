/* msgpack.h - the few msgpack shapes Nomad sends, written as it writes them.
 *
 * Shortest form of everything; numbers by the rules of hclspec: integers of 64 bits as integers,
 * exact fractions as float64, the rest as decimal text. Pure. */
#pragma once
#include "common/base/buf.h"

#define MSGPACK_NUMBER_MAX 64 /* bytes of a number as written */

/** One value each. */
void msgpack_put_nil(struct buf *out);
/** True or false. */
void msgpack_put_bool(struct buf *out, bool value);
/** The shortest of the integer forms. */
void msgpack_put_int(struct buf *out, int64_t value);
/** A str, never bin. */
void msgpack_put_text(struct buf *out, struct view text);
/** The head of a map or list; its items follow. */
void msgpack_put_map(struct buf *out, size_t count);
void msgpack_put_list(struct buf *out, size_t count);

/** A decimal number as written in HCL ("-1.50", "3e2"). Errors: INVALID not a number, longer than
 *  MSGPACK_NUMBER_MAX, or an exponent beyond three digits. */
MUST_USE bool msgpack_put_number(struct buf *out, const char *text, struct err *err);

/** Appends the number as Nomad shows it where a string is wanted: "1.50" is "1.5". Errors: as
 *  above. */
MUST_USE bool number_put_text(struct buf *out, const char *text, struct err *err);
