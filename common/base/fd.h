/* fd.h - a descriptor with one owner.
 *
 * `struct fd` owns, a plain `int` borrows; passing the struct by value hands it over. Every
 * descriptor is born close-on-exec. Zeroed memory is not an empty fd: use FD_NONE. */
#pragma once
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

#include "common/base/err.h"

struct fd {
    int raw;
};
#define FD_NONE ((struct fd){ -1 })

/** False for FD_NONE and after a take or a close. */
static inline bool fd_is_open(struct fd f) { return f.raw >= 0; }

/** The caller owns the result; `f` is empty afterwards. */
static inline struct fd fd_take(struct fd *f)
{
    struct fd got = *f;
    *f = FD_NONE;
    return got;
}

/** Closes and forgets; keeps errno. */
static inline void fd_closep(struct fd *f)
{
    int kept_errno = errno;
    if (f->raw >= 0)
        (void)close(f->raw); /* once: after EINTR Linux has released it already */
    f->raw = -1;
    errno = kept_errno;
}

/** Writes all of `bytes` or fails with SYSTEM (EAGAIN included: for blocking descriptors). */
MUST_USE bool fd_write_all(int fd, const void *bytes, size_t len, struct err *err);

/** Reads until `len` bytes or end of file; `*out_len` is what came. Errors: SYSTEM. */
MUST_USE bool fd_read_full(int fd, void *bytes, size_t len, size_t *out_len, struct err *err);

/** Sets or clears O_NONBLOCK. Errors: SYSTEM. */
MUST_USE bool fd_set_nonblock(int fd, bool on, struct err *err);

/** An anonymous file with these bytes, sealed against every change, readable from offset 0.
 *  `name` is for /proc only. Errors: SYSTEM. Kernel doc: memfd_create(2). */
MUST_USE bool fd_sealed(const char *name, const void *bytes, size_t len, struct fd *out,
                        struct err *err);

/** True when `fd` is a memfd with all of SEAL, SHRINK, GROW and WRITE sealed. */
bool fd_is_sealed(int fd);
