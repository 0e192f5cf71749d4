/* tree.h - the entries of a directory tree as one sequence of bytes, and back.
 *
 * Entries come in one fixed order (a directory before its content, names by byte value), so equal
 * trees have equal bytes. What differs between machines (inode numbers, change times) is not part
 * of it. Pure; names are any bytes but NUL. Format: proto/checkpoint.md, section 4. */
#pragma once
#include "sidecar/image/limits.h"
#include "sidecar/image/ref.h"

enum tree_type { TREE_DIR = 1, TREE_FILE = 2, TREE_SYMLINK = 3, TREE_HARDLINK = 4 };

/* One entry; views borrow from the encoded tree, or from whoever fills it. */
struct tree_entry {
    enum tree_type type;
    uint16_t mode; /* permission bits with set-id and sticky */
    uint32_t uid, gid;
    int64_t mtime_s;
    uint32_t mtime_ns;
    struct view path;   /* relative, parts joined by '/'; empty for the root */
    struct view target; /* symlink: its text; hard link: path of an earlier file */
    struct view xattrs; /* encoded by tree_put_xattr, ascending names */
    uint64_t size;      /* file: bytes, holes included */
    struct view holes;  /* file: encoded by tree_put_hole, ascending, not touching */
    struct view chunks; /* file: chunk_ref after chunk_ref, covering all but the holes */
};

/** Orders paths as the tree does: <0, 0, >0. '/' sorts before every other byte. */
int tree_path_compare(struct view a, struct view b);

/** Appends one name and value to an entry's attributes. */
void tree_put_xattr(struct buf *xattrs, struct view name, struct view value);
/** Takes the next attribute. Errors: CORRUPT. */
MUST_USE bool tree_take_xattr(struct cursor *xattrs, struct view *out_name, struct view *out_value,
                              struct err *err);

struct tree_hole {
    uint64_t offset, len;
};
/** Appends one hole. */
void tree_put_hole(struct buf *holes, struct tree_hole hole);
/** Takes the next hole. Errors: CORRUPT. */
MUST_USE bool tree_take_hole(struct cursor *holes, struct tree_hole *out, struct err *err);

/** Appends all of an entry but its chunks; what follows in a file's is tree_encode_chunks. */
void tree_encode_head(const struct tree_entry *entry, struct buf *out);
/** Appends the list of chunks that ends a file's entry. */
void tree_encode_chunks(const struct chunk_ref *refs, size_t count, struct buf *out);
/** Changes the size in the encoded head of a file that has no holes. */
void tree_resize_head(uint8_t *head, size_t head_len, uint64_t size);
/** The path, or the target, inside an encoded head, lent from it. */
struct view tree_borrow_path(struct view head);
struct view tree_borrow_target(struct view head);

/** Appends the entry. It must be in order and within the limits: the one who calls has checked. */
void tree_encode_entry(const struct tree_entry *entry, struct buf *out);

/** Takes the next entry and checks all that can be seen in it alone: limits, path form, holes in
 *  order, chunks covering the size exactly. Errors: CORRUPT. */
MUST_USE bool tree_decode_entry(struct cursor *c, struct tree_entry *out, struct err *err);

/* What a whole tree adds up to. */
struct tree_totals {
    uint64_t files, dirs, symlinks, hardlinks;
    uint64_t bytes; /* sizes of files, hard links not counted again */
    uint64_t chunks;
};

/** Checks a whole tree: the root first, ascending order, parents before children and directories,
 *  hard links to earlier files. Errors: CORRUPT. */
MUST_USE bool tree_check(struct view tree, struct tree_totals *out, struct err *err);

/** Puts one entry into a root hash (SUBKEY_ROOT_HASH): its head, and for a file what
 *  tree_encode_chunks made, without the places of the chunks: moving them changes nothing. */
void tree_hash_entry(struct keyed_hash *hash, struct view head, struct view chunks);

/** The root hash of a whole tree. Errors: CORRUPT. */
MUST_USE bool tree_root_hash(const struct agent_keys *keys, struct view tree,
                             uint8_t out[CRYPTO_HASH_BYTES], struct err *err);
