/* pen.h - little-endian bytes into storage of a fixed size, without an allocator.
 *
 * For the encoders of this room, which the shim uses. The caller knows the size beforehand: running
 * over the end is a bug and asserted. Also the one text rule of the wire, and the checksum. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

struct pen {
    uint8_t *at;
    size_t left;
};

/** Each appends and moves on. */
void pen_u8(struct pen *pen, uint8_t value);
void pen_u16(struct pen *pen, uint16_t value);
void pen_u32(struct pen *pen, uint32_t value);
void pen_u64(struct pen *pen, uint64_t value);
void pen_raw(struct pen *pen, const void *bytes, size_t len);

/** `text` as clean UTF-8 into `out` (max + 1 bytes, zero padded), cut at a character after at most
 *  `max` bytes; what is not UTF-8, and control characters, become '?'. Returns the length. */
size_t text_clean(char *out, size_t max, struct view text);

#define FNV_START UINT64_C(14695981039346656037)

/** FNV-1a, 64 bits, started from `hash` (FNV_START for the first piece). Finds damage, not forgery.
 */
uint64_t fnv_add(uint64_t hash, struct view bytes);
