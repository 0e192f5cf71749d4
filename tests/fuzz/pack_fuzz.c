// rooms: sidecar/image
/* The first byte chooses: a header, a footer (the pack's size follows in 8 bytes) or an index block
 * (its offset follows). What decodes is encoded again to the same bytes. */
#include "sidecar/image/pack.h"

#include "common/base/own.h"

#include <assert.h>

static const struct pack_id id = { 42, { 1, 2, 3, 4, 5, 6, 7, 8 } };

static void try_header(struct view bytes)
{
    CLEANUP(buf_fini) struct buf again = { 0 };
    struct pack_header header;
    struct err err = { 0 };
    if (!pack_header_decode(bytes, id, &header, &err)) {
        assert(err.kind == ERR_CORRUPT);
        return;
    }
    if (header.format == PACK_FORMAT_1)
        return; /* no longer written */
    pack_header_encode(id, header.wrapped_key, &again);
    assert(view_is_equal(bytes, buf_view(&again)));
}

static void try_footer(struct view bytes, uint64_t pack_bytes)
{
    CLEANUP(buf_fini) struct buf again = { 0 };
    struct pack_footer footer;
    struct err err = { 0 };
    if (!pack_footer_decode(bytes, id, pack_bytes, &footer, &err)) {
        assert(err.kind == ERR_CORRUPT);
        return;
    }
    assert(footer.manifest_offset + footer.manifest_len + PACK_FOOTER_BYTES == pack_bytes);
    pack_footer_encode(&footer, &again);
    assert(view_is_equal(bytes, buf_view(&again)));
}

static void try_index(struct view bytes, uint64_t offset)
{
    CLEANUP(buf_fini) struct buf again = { 0 };
    CLEANUP(pack_index_fini) struct pack_index_block block = { 0 };
    struct err err = { 0 };
    if (!pack_index_decode(bytes, id, offset, &block, &err)) {
        assert(err.kind == ERR_CORRUPT);
        return;
    }
    for (size_t i = 0; i < block.count; i++)
        assert(block.entries[i].ref.offset + block.entries[i].ref.sealed_len <= offset);
    assert(block.before_offset == 0 || block.before_offset < offset);
    pack_index_encode(&block, &again);
    assert(view_is_equal(bytes, buf_view(&again)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cursor c = cursor_of(view_of(data, size), "input");
    struct err err = { 0 };
    uint8_t what;
    uint64_t number;
    if (!cursor_u8(&c, "what", &what, &err))
        return 0;
    if (what % 3 == 0) {
        try_header(c.rest);
        return 0;
    }
    if (!cursor_u64(&c, "number", &number, &err))
        return 0;
    if (what % 3 == 1)
        try_footer(c.rest, number);
    else
        try_index(c.rest, number);
    return 0;
}
