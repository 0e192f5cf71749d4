/* arena.h - memory that is given back all at once, for the nodes and texts of one tree.
 *
 * Room-private. Nothing is freed singly; addresses stay valid until arena_fini. */
#pragma once
#include <stddef.h>

struct arena_block;
struct arena { /* zeroed is empty */
    struct arena_block *blocks;
    size_t used, size; /* of the newest block */
};

/** `len` zeroed bytes, aligned for any type. */
void *arena_take(struct arena *arena, size_t len);

/** A copy of `len` bytes of `text` with a NUL behind. */
char *arena_text(struct arena *arena, const void *text, size_t len);

/** Frees everything; `arena` is empty and usable afterwards. */
void arena_fini(struct arena *arena);
