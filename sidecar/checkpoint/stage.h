/* stage.h - makes the entries of a tree in a fresh directory.
 *
 * Directories, links and empty files first, content by whoever has it, then owners, modes,
 * attributes and times, directories last and deepest first. Everything is relative to one directory
 * that nobody else writes to. */
#pragma once
#include "common/base/fd.h"
#include "sidecar/image/tree.h"

#include <sys/types.h>

/* Users differ from node to node: what the directory's owner had belongs to its present owner. */
struct stage_heir {
    bool is_set;
    uid_t was_uid, uid;
    gid_t was_gid, gid;
};

struct stage {
    int root_fd; /* borrowed */
    struct stage_heir heir;
    uint64_t not_owned;  /* entries whose owner could not be set */
    uint64_t not_marked; /* attributes that could not be set */
};

/* A file that is being filled. */
struct stage_file {
    struct fd fd;
    struct tree_entry entry; /* views into the tree */
};

/** Makes a directory (private for now), a symlink with all its facts, or a hard link. Errors:
 *  SYSTEM, naming the entry. */
MUST_USE bool stage_make(struct stage *s, const struct tree_entry *entry, struct err *err);

/** Makes an empty file of the right size. Errors: SYSTEM. */
MUST_USE bool stage_open(struct stage *s, const struct tree_entry *entry, struct stage_file *out,
                         struct err *err);
/** Writes bytes that begin `at` bytes into the data of the file, holes not counted. Any thread.
 *  Errors: SYSTEM; CORRUPT beyond the end. */
MUST_USE bool stage_write(const struct stage_file *file, uint64_t at, struct view bytes,
                          struct err *err);
/** Owner, mode, attributes, times; closes. What another inherits runs as nobody: without its set-id
 *  bits. Errors: SYSTEM. */
MUST_USE bool stage_finish(struct stage *s, struct stage_file *file, struct err *err);
/** The same for a directory, when nothing is made in it any more. Errors: SYSTEM. */
MUST_USE bool stage_finish_dir(struct stage *s, const struct tree_entry *entry, struct err *err);
