/* arena.h - memory that is given back all at once, for the nodes and texts of one tree.
 *
 * Room-private. Nothing is freed singly; addresses stay valid until hcl_arena_fini. */
#pragma once
#include <stddef.h>

struct hcl_arena_block;
struct hcl_arena { /* zeroed is empty */
    struct hcl_arena_block *blocks;
    size_t used, size; /* of the newest block */
};

/** `len` zeroed bytes, aligned for any type. */
void *hcl_arena_take(struct hcl_arena *arena, size_t len);

/** A copy of `len` bytes of `text` with a NUL behind. */
char *hcl_arena_text(struct hcl_arena *arena, const void *text, size_t len);

/** Frees everything; `arena` is empty and usable afterwards. */
void hcl_arena_fini(struct hcl_arena *arena);
