/* catalog.h - the entries of a tree, with what this machine knows about each.
 *
 * The encoded heads of entries in the tree's order, the chunks of files, and beside them what tells
 * whether an entry has changed since: inode, times, fingerprints of chunks. Compact: it stays in
 * memory between checkpoints. One owner, one thread. */
#pragma once
#include "sidecar/image/quick.h"
#include "sidecar/image/tree.h"

struct item {
    size_t head_at; /* in heads */
    uint32_t head_len;
    uint32_t ref_count;
    size_t first_ref;
    uint64_t ino, dev; /* 0: not known on this machine */
    int64_t mtime_ns, ctime_ns;
    uint64_t size;
    uint32_t skipped; /* directory: sockets, devices, FIFOs and excluded files directly in it */
    uint8_t type;     /* enum tree_type */
    bool is_racy;     /* changed so recently that an equal time proves nothing */
    bool has_quick;   /* file: the fingerprints of its chunks are known */
    bool has_holes;
    uint8_t trusted; /* file: checkpoints in a row that did not read all of it */
};

struct catalog { /* zeroed is empty */
    struct buf heads;
    struct item *items;
    size_t count, cap;
    struct chunk_ref *refs;
    uint64_t *quick; /* beside refs */
    size_t ref_count, ref_cap;
};

/** Releases everything; zeroed memory is fine. */
void catalog_fini(struct catalog *c);

/** Room for as much as `like` has: what follows moves nothing. */
void catalog_reserve(struct catalog *c, const struct catalog *like);

/** Appends an entry without chunks and returns its number; `facts` has all but head and refs. */
size_t catalog_add(struct catalog *c, const struct item *facts, const struct tree_entry *entry);
/** Replaces the head and facts of entry `at`, and empties its list of chunks, which then begins at
 *  the end of refs. */
void catalog_replace(struct catalog *c, size_t at, const struct item *facts,
                     const struct tree_entry *entry);
/** Takes entry `at` out; the numbers of later ones fall by one. */
void catalog_remove(struct catalog *c, size_t at);
/** True when every hard link names a file that is there. */
bool catalog_has_targets(const struct catalog *c);
/** Sets the size of file `at`, which has no holes, to what its chunks add up to. */
void catalog_resize(struct catalog *c, size_t at, uint64_t size);
/** Appends a copy of entry `at` of another catalog, chunks included; returns its number. */
size_t catalog_copy(struct catalog *c, const struct catalog *from, size_t at);

/** Room for one more chunk at the end of refs, as part of entry `at`, which must be the one that
 *  was added or replaced last; returns its position. */
size_t catalog_add_ref(struct catalog *c, size_t at);

/** The path of entry `at`, lent until the next change. */
struct view catalog_borrow_path(const struct catalog *c, size_t at);
/** The encoded head of entry `at`, lent until the next change. */
struct view catalog_borrow_head(const struct catalog *c, size_t at);
/** The entry of this path, or SIZE_MAX. */
size_t catalog_find(const struct catalog *c, struct view path);

/** True when both hold the same entries with the same chunks, wherever these lie. */
bool catalog_is_equal(const struct catalog *a, const struct catalog *b);

/** From a checked tree; nothing is known about this machine. Errors: CORRUPT. */
MUST_USE bool catalog_from_tree(struct view tree, struct catalog *out, struct err *err);

/** What it adds up to. */
struct tree_totals catalog_totals(const struct catalog *c);
