/* store.h - where an agent's record and its packs live: one interface, several backends.
 *
 * A *register* holds one small record per agent and swaps it by compare; *packs* are immutable
 * objects. Every call blocks until done or until its deadline (boot clock), so it is made on worker
 * threads or in the command line only, never on the loop. One handle serves one call at a time;
 * lease and checkpoint each open their own handle and may use them at the same instant. Backends
 * never retry and never guess: whoever owns the policy does. Limits and errors: DESIGN.md. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/deadline.h"

#define STORE_NAME_MAX    512 /* bytes of an agent's name; see store_name_check */
#define STORE_PACK_MAX    128 /* bytes of a pack's name: [A-Za-z0-9._-], no leading dot */
#define STORE_RECORD_MAX  ((size_t)16384) /* bytes of a record; Nomad variables hold 64 KiB */
#define STORE_URL_MAX     1024
#define STORE_VERSION_MAX 64

struct store;

/* What `replace` compares: opaque, never ordered, never reused for other bytes. */
struct store_version {
    char text[STORE_VERSION_MAX]; /* NUL-terminated */
};

enum store_feature {
    STORE_REGISTER = 1, /* store_read, store_create, store_replace */
    STORE_PACKS = 2,    /* store_pack_* */
    STORE_WATCH = 4,    /* store_watch wakes on a change rather than polling */
    STORE_AGE = 8       /* store_age */
};

/* What a node remembers of the stores it met, so that a path that is not mounted, or holds another
 * disk, is never taken for a new store: docs/decisions/004. */
struct store_memory {
    const char *dir; /* of the notes; made with the first one */
    bool is_fixed;   /* for who only reads: nothing is noted, and no store is ever made */
};
/** The directory for notes that belongs to a key file; the caller's. */
char *store_memory_beside(const char *key_file);

/** Opens the store of a URL: "file:///srv/agents", "file:///mnt/x?create=true&network=true",
 *  "file:///srv/agents?id=<32 hex digits>", "mem:" (private to this handle). `memory` is copied;
 *  NULL remembers nothing. Does not prove that it answers. Errors: INVALID, naming the part. */
MUST_USE bool store_open(const char *url, const struct store_memory *memory, struct store **out,
                         struct err *err);
/** No call may be under way and no writer open. NULL is fine. */
void store_close(struct store *store);
static inline void store_closep(struct store **store)
{
    store_close(*store);
    *store = NULL;
}

/** The URL as opened, for messages; holds no secret. Lent until close. */
const char *store_borrow_url(const struct store *store);
/** True when the backend has all of these features. */
bool store_has(const struct store *store, unsigned features);

/** Proves that the store answers, is one of ours and is not read-only; makes it when the URL allows
 *  that. Every other call checks the first two again. Errors: UNAVAILABLE, DENIED, CORRUPT (another
 *  format). */
MUST_USE bool store_probe(struct store *store, struct deadline until, struct err *err);

/** True for 1..STORE_NAME_MAX bytes of printable UTF-8 without "//", without leading or trailing
 *  slash and without "." or ".." as a part. Errors: INVALID. */
MUST_USE bool store_name_check(const char *name, struct err *err);

/* Register. UNAVAILABLE from create or replace means *outcome unknown*: read back and compare. */

/** Appends the record to `out` and fills its version; linearizable. Errors: NOT_FOUND only when the
 *  store answered that there is none; CORRUPT when larger than STORE_RECORD_MAX; UNAVAILABLE. */
MUST_USE bool store_read(struct store *store, const char *name, struct deadline until,
                         struct buf *out, struct store_version *out_version, struct err *err);
/** Writes the first record. Errors: CONFLICT there is one already; INVALID too large;
 *  UNAVAILABLE; DENIED. */
MUST_USE bool store_create(struct store *store, const char *name, struct view record,
                           struct deadline until, struct store_version *out_version,
                           struct err *err);
/** Replaces the record if its version is still `expected`. Errors: CONFLICT it is not, or there is
 *  none any more; INVALID; UNAVAILABLE; DENIED. */
MUST_USE bool store_replace(struct store *store, const char *name,
                            const struct store_version *expected, struct view record,
                            struct deadline until, struct store_version *out_version,
                            struct err *err);
/** Returns when the record may differ from `seen` or at `until`, whichever is first: the caller
 *  reads again in any case. Early returns are allowed. Errors: UNAVAILABLE, DENIED. */
MUST_USE bool store_watch(struct store *store, const char *name, const struct store_version *seen,
                          struct deadline until, struct err *err);
/** Milliseconds since the last change by the store's own clock (STORE_AGE). May shorten a wait for
 *  people; never lengthens a lease. Errors: INVALID when the backend has none; as store_read. */
MUST_USE bool store_age(struct store *store, const char *name, struct deadline until,
                        int64_t *out_ms, struct err *err);

/** True when both name the same write. */
static inline bool store_version_is_equal(const struct store_version *a,
                                          const struct store_version *b)
{
    return strcmp(a->text, b->text) == 0;
}

/* Packs: immutable; seen by readers whole or not at all. */

struct pack_writer;

/** Starts a pack; nothing is visible before commit. One writer at a time on a handle; other calls
 *  on the handle stay legal meanwhile. Errors: INVALID, UNAVAILABLE, DENIED, SYSTEM (ENOSPC...). */
MUST_USE bool store_pack_create(struct store *store, const char *name, const char *pack,
                                struct deadline until, struct pack_writer **out, struct err *err);
/** Appends. After a failure only abandon is legal. Errors: UNAVAILABLE, SYSTEM. */
MUST_USE bool pack_put(struct pack_writer *writer, struct view bytes, struct deadline until,
                       struct err *err);
/** Makes the pack durable and visible; the writer is gone in any case and `*writer` NULL. Errors:
 *  CONFLICT a pack of that name exists and stays as it is; UNAVAILABLE it may exist or not;
 *  SYSTEM it does not. */
MUST_USE bool pack_commit(struct pack_writer **writer, struct deadline until, struct err *err);
/** Drops what was written. NULL is fine. */
void pack_abandon(struct pack_writer *writer);
static inline void pack_abandonp(struct pack_writer **writer)
{
    pack_abandon(*writer);
    *writer = NULL;
}

/** Size in bytes. Errors: NOT_FOUND the store answered; UNAVAILABLE. */
MUST_USE bool store_pack_size(struct store *store, const char *name, const char *pack,
                              struct deadline until, uint64_t *out_bytes, struct err *err);
/* Bytes of a pack and where they go. */
struct pack_range {
    uint64_t offset;
    size_t len;
    uint8_t *out; /* `len` bytes, the caller's */
};
/** Reads exactly the range. Errors: NOT_FOUND; CORRUPT the pack ends before; UNAVAILABLE. */
MUST_USE bool store_pack_read(struct store *store, const char *name, const char *pack,
                              struct pack_range range, struct deadline until, struct err *err);

struct pack_info {
    const char *pack; /* lent during the call */
    uint64_t size_bytes;
};
typedef bool pack_list_fn(void *arg, const struct pack_info *info, struct err *err);
/** Calls `each` for every committed pack in ascending byte order of names; stops and returns its
 *  failure. An agent without packs has none: success. Never a partial list: a cut listing is
 *  UNAVAILABLE (F-39). `each` may call the store. Errors: UNAVAILABLE; those of `each`. */
MUST_USE bool store_pack_list(struct store *store, const char *name, struct deadline until,
                              pack_list_fn *each, void *arg, struct err *err);
/** Removes a pack; absent is fine. Errors: UNAVAILABLE, DENIED. */
MUST_USE bool store_pack_remove(struct store *store, const char *name, const char *pack,
                                struct deadline until, struct err *err);

typedef bool store_name_fn(void *arg, const char *name, struct err *err);
/** Calls `each` for every agent that has a record or packs here, in ascending order. Errors:
 *  UNAVAILABLE; those of `each`. */
MUST_USE bool store_list_names(struct store *store, struct deadline until, store_name_fn *each,
                               void *arg, struct err *err);
