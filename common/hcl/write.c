#include "common/hcl/write.h"

#include "common/base/own.h"
#include "common/base/text.h"

/* How a byte is written when not as itself; NULL for itself. */
static const char *escape_of(const struct view text, size_t at)
{
    const uint8_t c = text.data[at];
    const bool opens = at + 1 < text.len && text.data[at + 1] == '{';
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    case '$':
        return opens ? "$$" : NULL;
    case '%':
        return opens ? "%%" : NULL;
    }
    return NULL;
}

bool hcl_put_text(struct buf *out, struct view text, struct err *err)
{
    if (!utf8_is_valid(text))
        return err_set(err, ERR_INVALID, "write text as HCL: it is not UTF-8");
    buf_put_str(out, "\"");
    for (size_t i = 0; i < text.len; i++) {
        const char *escape = escape_of(text, i);
        if (escape)
            buf_put_str(out, escape);
        else if (text.data[i] < 0x20 || text.data[i] == 0x7f)
            buf_put_fmt(out, "\\u%04x", text.data[i]);
        else
            buf_put_u8(out, text.data[i]);
    }
    buf_put_str(out, "\"");
    return true;
}

bool hcl_put_attr(struct buf *out, unsigned indent, const char *key, const char *text,
                  struct err *err)
{
    CLEANUP(buf_fini) struct buf quoted = { 0 };
    if (!hcl_put_text(&quoted, view_str(text), err))
        return err_wrap(err, "%s", key);
    buf_put_fmt(out, "%*s%s = %s\n", (int)indent * 2, "", key, buf_borrow_str(&quoted));
    return true;
}
