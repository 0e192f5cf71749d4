/* secret.h - bytes that cannot be printed, copied or dumped.
 *
 * They lie between guard pages, locked in memory where the limit allows, left out of core dumps,
 * unreadable outside secret_use, and wiped when freed. There is no conversion to a string and no
 * way into struct err or a log field. Any thread may use a secret; one thread frees it. */
#pragma once
#include <stddef.h>

#include "common/base/buf.h"

#define SECRET_MAX ((size_t)4 << 20) /* bytes of one secret: an environment is the largest */

struct secret;

typedef bool secret_use_fn(const unsigned char *bytes, size_t len, void *arg, struct err *err);
typedef bool secret_fill_fn(unsigned char *bytes, size_t len, void *arg, struct err *err);

/** A secret of `len` random bytes. */
struct secret *secret_random(size_t len);

/** Moves `len` bytes (at most SECRET_MAX, asserted) into a secret; the source is wiped. */
struct secret *secret_take_bytes(void *bytes, size_t len);

/** A secret of `len` zeroed bytes that `fill` writes. Errors: those of `fill`, and INVALID when
 *  `len` is larger than SECRET_MAX. */
MUST_USE bool secret_make(size_t len, secret_fill_fn *fill, void *arg, struct secret **out,
                          struct err *err);

/** Reads a regular file straight into a secret, from an open descriptor (borrowed) whose owner and
 *  mode the caller has checked; `path` is for messages. Errors: INVALID not a regular file; CORRUPT
 *  larger than `max`; SYSTEM. */
MUST_USE bool secret_read_fd(int fd, const char *path, size_t max, struct secret **out,
                             struct err *err);

/** Runs `use` with the bytes; they are unreadable again when the last user has returned. Legal
 *  inside itself and on several threads at once: inside an outer use it costs nothing. Errors:
 *  those of `use`. */
MUST_USE bool secret_use(const struct secret *s, secret_use_fn *use, void *arg, struct err *err);

/** Number of bytes. */
size_t secret_len(const struct secret *s);

/** Overwrites bytes in a way that the compiler keeps. */
void secret_wipe(void *bytes, size_t len);

/** Wipes and frees; nobody may be using it (asserted). NULL is fine. */
void secret_free(struct secret *s);
static inline void secret_freep(struct secret **s)
{
    secret_free(*s);
    *s = NULL;
}
