/* file_root.h - the directory of a file store, found and proved anew in every call.
 *
 * Private to the file backend. A root without our marker is never an empty store; it is a store
 * that is not there (unmounted, mistyped). Everything below it is reached by descriptor. */
#pragma once
#include "common/base/deadline.h"
#include "common/base/fd.h"
#include "sidecar/store/backend.h"
#include "sidecar/store/known.h"

#include <sys/types.h>

#define FILE_MARKER "agent-store"
#define FILE_LOCK   "lock"  /* in an agent's directory */
#define FILE_TEMP   ".tmp-" /* how names begin that file_publish makes on the way */

/* The directories that a handle makes; each is made durable once. */
enum file_dir { FILE_DIR_AGENT, FILE_DIR_TEMP, FILE_DIR_PACKS, FILE_DIR_COUNT };
struct file_place {
    bool is_known;
    dev_t dev;
    ino_t ino;
};

struct file_store {
    struct store base;
    char root[STORE_URL_MAX];
    bool may_create, may_network;
    struct known known;
    bool has_id; /* of the URL, or of the store met first; another one at this path is refused */
    uint8_t id[STORE_ID_BYTES];
    struct file_place made[FILE_DIR_COUNT];
};

/** Opens the root and checks marker, id and file system; makes the store when allowed, which is
 *  never where this node remembers one, and remembers it. Errors: UNAVAILABLE not there, or not the
 *  one that was; CORRUPT marker or note; INVALID network file system; DENIED, also to the note. */
MUST_USE bool file_root_open(struct file_store *store, struct fd *out, struct err *err);

enum file_make { FILE_EXISTING, FILE_MAKE };
/** Opens the directory `path` below `dir_fd`, never through a symlink; with FILE_MAKE missing parts
 *  are made, and every parent is synced, whoever made the part. Errors: NOT_FOUND (FILE_EXISTING),
 *  DENIED, UNAVAILABLE. */
MUST_USE bool file_dir_open(int dir_fd, const char *path, enum file_make make, struct fd *out,
                            struct err *err);
/** The same with FILE_MAKE, but syncs nothing when this handle has done so for this very directory.
 *  Errors: DENIED, UNAVAILABLE. */
MUST_USE bool file_dir_make(struct file_store *store, enum file_dir which, int dir_fd,
                            const char *path, struct fd *out, struct err *err);

/** The directory of an agent in an open store. Errors: as file_dir_open. */
MUST_USE bool file_agent_open(struct file_store *store, const char *name, enum file_make make,
                              struct fd *out, struct err *err);

/** Waits for an exclusive flock until the deadline. Errors: UNAVAILABLE. */
MUST_USE bool file_lock(int fd, struct deadline until, struct err *err);
/** Opens (or makes) the file "lock" in an agent's directory and locks it; it is the one that later
 *  comers find there, also when somebody removed it meanwhile. Errors: UNAVAILABLE, DENIED. */
MUST_USE bool file_agent_lock(int agent_dir, struct deadline until, struct fd *out,
                              struct err *err);

/** Fills `err` by errno with the kind of this backend's table: DENIED, NOT_FOUND, or `other`. */
bool file_failed(struct err *err, int os_errno, enum err_kind other, const char *fmt, ...)
    PRINTF(4, 5);

/** The name of a network or user-space file system by its statfs magic, or NULL. */
const char *file_network_name(unsigned long magic);
