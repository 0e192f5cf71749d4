#include "common/hcl/arena.h"

#include "common/base/own.h"

#include <stdalign.h>
#include <stdint.h>
#include <string.h>

#define BLOCK_BYTES 16384U /* a job file with its tree fits in a few */

struct hcl_arena_block {
    struct hcl_arena_block *older;
    alignas(max_align_t) uint8_t bytes[];
};

void *hcl_arena_take(struct hcl_arena *arena, size_t len)
{
    const size_t step = alignof(max_align_t);
    const size_t need = (len + step - 1) / step * step;
    if (!arena->blocks || need > arena->size - arena->used) {
        const size_t size = need > BLOCK_BYTES ? need : BLOCK_BYTES;
        struct hcl_arena_block *block = mem_array(1, sizeof *block + size);
        block->older = arena->blocks;
        arena->blocks = block;
        arena->used = 0;
        arena->size = size;
    }
    void *got = arena->blocks->bytes + arena->used;
    arena->used += need;
    return got;
}

char *hcl_arena_text(struct hcl_arena *arena, const void *text, size_t len)
{
    char *copy = hcl_arena_take(arena, len + 1);
    if (len)
        memcpy(copy, text, len);
    return copy;
}

void hcl_arena_fini(struct hcl_arena *arena)
{
    while (arena->blocks) {
        struct hcl_arena_block *older = arena->blocks->older;
        free(arena->blocks);
        arena->blocks = older;
    }
    *arena = (struct hcl_arena){ 0 };
}
