/* scan.h - walks a directory and says what is there and what may have changed.
 *
 * Entries that are surely unchanged are copied from the catalog before; the others are complete in
 * themselves except that the content of files is still to be read: their numbers come in a list.
 * Opens directories only, never follows a link, never enters another file system. */
#pragma once
#include <sys/stat.h>

#include "sidecar/image/catalog.h"
#include "sidecar/image/pack_set.h"

struct scan_spec {
    int root_fd;                  /* borrowed */
    const struct catalog *before; /* borrowed; may be empty */
    const char *const *exclude;   /* checked patterns */
    size_t exclude_count;
    bool may_trust_growth;        /* files of which only samples were read are fine as they are */
    const struct pack_set *leave; /* files with chunks in these packs count as changed; or NULL */
};

struct scan {
    struct catalog catalog;
    size_t *dirty; /* numbers of files to be read, ascending */
    size_t dirty_count, dirty_cap;
    uint64_t dirty_bytes;
    uint32_t skipped;
};

/** Releases; zeroed memory is fine. */
void scan_fini(struct scan *scan);

/** Fills `out` (zeroed). Entries that vanish meanwhile are left out. Errors: SYSTEM a directory
 *  cannot be read; INVALID a path or an attribute beyond the format's limits. Both name the path.
 */
MUST_USE bool scan_tree(const struct scan_spec *spec, struct scan *out, struct err *err);

/** The attributes of an open file or directory, encoded and in order; `path` is for messages. Those
 *  that belong to the machine are left out. Errors: SYSTEM; INVALID beyond the format's limits. */
MUST_USE bool scan_xattrs(int fd, struct view path, struct buf *out, struct err *err);

/** The wall clock as files' times see it, in ns: read it before the stat. */
int64_t scan_clock_ns(void);

/* Times of files move with the kernel's tick: 10 ms at worst. Twice that. */
#define SCAN_TICK_NS (INT64_C(20) * 1000 * 1000)

/** What stat says, as facts of an item. A change in the last `doubt_ns` before `at_ns` makes it
 * racy: what happens next may leave the same times. */
struct item scan_facts(const struct stat *st, int64_t at_ns, int64_t doubt_ns);

/** The part of an entry that stat says; path and content are left empty. */
struct tree_entry scan_entry(const struct stat *st, enum tree_type type);

/** True when `item` is what stat says and nothing can have changed unseen. */
bool scan_is_clean(const struct item *item, const struct stat *st);

/** `path` for a message: what is not UTF-8 replaced, cut to fit; NUL-terminated. */
const char *scan_show(struct view path, char out[128]);
