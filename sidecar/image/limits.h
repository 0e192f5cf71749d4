/* limits.h - every bound of the checkpoint format, with its reason (proto/checkpoint.md).
 *
 * Decoders refuse what is above; encoders refuse to make it. Pure constants. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#define MANIFEST_FORMAT 1
#define PACK_FORMAT     2 /* written; PACK_FORMAT_1 is read for ever */
#define PACK_FORMAT_1   1

/* Chunks of files: large enough for zstd, small enough that an edit stores little. */
#define CHUNK_MIN  ((size_t)16 << 10)
#define CHUNK_AVG  ((size_t)64 << 10)
#define CHUNK_MAX  ((size_t)256 << 10)
#define CHUNK_PAGE ((size_t)32 << 10) /* SQLite: fixed, so that a page touches one chunk */

/* Chunks of the tree: smaller, because a changed entry rewrites one of them. */
#define TREE_CHUNK_MIN ((size_t)4 << 10)
#define TREE_CHUNK_AVG ((size_t)16 << 10)
#define TREE_CHUNK_MAX ((size_t)64 << 10)

#define TREE_PATH_MAX   ((size_t)4095)      /* bytes of a path: what one system call takes */
#define TREE_DEPTH_MAX  200                 /* directories in a path: each is an open descriptor */
#define TREE_TARGET_MAX ((size_t)4096)      /* bytes of a symlink's target: the kernel's PATH_MAX */
#define TREE_XATTRS_MAX 64                  /* on one entry */
#define TREE_XATTR_MAX  ((size_t)65536)     /* bytes of one value: the kernel's XATTR_SIZE_MAX */
#define TREE_HOLES_MAX  4096                /* in one file; what follows is stored as zeros */
#define TREE_BYTES_MAX  ((size_t)1 << 30)   /* of an encoded tree: some million files */
#define TREE_SIZE_MAX   ((uint64_t)1 << 50) /* bytes of one file */
#define TREE_LEVELS_MAX 5                   /* of lists of chunks above the tree */
#define TREE_ROOT_REFS  64                  /* chunks named in the manifest itself */
#define TREE_LIST_MAX   ((size_t)64 << 20)  /* bytes of the list of one level */

#define PACK_FRONT_BYTES  32  /* of a header in every format, and all of it in format 1 */
#define PACK_HEADER_BYTES 124 /* front, wrapped data key, check sum */
#define PACK_FOOTER_BYTES 64
#define PACK_BLOCK_MAX    4096 /* entries in one block of a pack's index */
#define PACK_BYTES_MAX    ((uint64_t)1 << 46)
#define PACK_SEALED_MAX   (CHUNK_MAX + 4096) /* bytes of any sealed chunk: stored raw at worst */
#define PACK_PART_MAX     ((size_t)1 << 20)  /* bytes of a sealed index block or manifest */
/* What `plain_len` bytes are at most when sealed (sidecar/crypto/keys.h): raw, behind a mark. */
#define PACK_SEALED_BYTES(plain_len) ((plain_len) + 1 + CRYPTO_SEAL_BYTES)

#define MANIFEST_NAME_MAX   512
#define MANIFEST_TEXT_MAX   256  /* bytes of label or reason */
#define MANIFEST_DIGEST_MAX 128  /* bytes of a digest as hex */
#define MANIFEST_PACKS_MAX  8192 /* packs that one checkpoint needs */
