/* name.h - agent names as directories, one to one, and what a pack may be called.
 *
 * Private to this room. Pure. A name becomes a relative path of parts over [A-Za-z0-9_%+-], each at
 * most 201 bytes and never "." or ".."; all parts but the last end in "+". */
#pragma once
#include "common/base/buf.h"
#include "sidecar/store/store.h"

#define NAME_PART_BYTES ((size_t)200)
#define NAME_PATH_BYTES ((size_t)(3 * STORE_NAME_MAX + 32)) /* encoded, with slashes and NUL */

/** Letters, digits, "._-", 1..STORE_PACK_MAX bytes, no leading dot. Errors: INVALID. */
MUST_USE bool pack_name_check(const char *pack, struct err *err);

/** The directory of a checked name. */
void name_encode(const char *name, char out[NAME_PATH_BYTES]);

/** Appends the bytes that one directory part stands for; `*out_more` when another part follows.
 *  Errors: CORRUPT not written by name_encode. */
MUST_USE bool name_decode_part(const char *part, struct buf *out, bool *out_more, struct err *err);
