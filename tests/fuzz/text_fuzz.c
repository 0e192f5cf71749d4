// rooms: common/base
/* Numbers, durations, hex and UTF-8 from any text: whole and in range, or INVALID. */
#include "common/base/text.h"

#include "common/base/own.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static void integers(struct view text)
{
    int64_t got, again;
    struct err err = { 0 };
    char back[32];
    if (!int_parse(text, INT64_MIN, INT64_MAX, &got, &err)) {
        assert(err.kind == ERR_INVALID && utf8_is_valid(view_str(err.msg)));
        return;
    }
    (void)snprintf(back, sizeof back, "%" PRId64, got);
    assert(int_parse(view_str(back), got, got, &again, &err) && again == got);
    assert(!int_parse(text, got < INT64_MAX ? got + 1 : got, INT64_MAX, &again, &err) ||
           got == INT64_MAX);
}

static void units(struct view text)
{
    int64_t got;
    struct err err = { 0 };
    if (duration_parse(text, &got, &err))
        assert(got >= 0);
    else
        assert(err.kind == ERR_INVALID);
}

static void hex(struct view text)
{
    uint8_t bytes[64];
    char back[2 * sizeof bytes + 1];
    struct err err = { 0 };
    size_t len = text.len / 2 < sizeof bytes ? text.len / 2 : sizeof bytes;
    if (!hex_decode(text, bytes, len, &err))
        return;
    assert(text.len == 2 * len);
    hex_encode(view_of(bytes, len), back);
    for (size_t i = 0; i < text.len; i++)
        assert((back[i] | 0x20) == (text.data[i] | 0x20));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct view text = view_of(data, size);
    CLEANUP(buf_fini) struct buf clean = { 0 };
    integers(text);
    units(text);
    hex(text);
    utf8_put_clean(&clean, text);
    assert(utf8_is_valid(buf_view(&clean)));
    assert(!utf8_is_valid(text) || view_is_equal(text, buf_view(&clean)));
    return 0;
}
