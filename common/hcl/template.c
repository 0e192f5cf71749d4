#include "common/hcl/template.h"

#include <string.h>

static bool is_at(struct view text, size_t at, const char *what)
{
    const size_t len = strlen(what);
    return text.len - at >= len && memcmp(text.data + at, what, len) == 0;
}

static bool is_escape(struct view t, size_t at)
{
    return is_at(t, at, "$${") || is_at(t, at, "%%{");
}
static bool is_open(struct view t, size_t at) { return is_at(t, at, "${") || is_at(t, at, "%{"); }

/* Behind the brace that closes the template opened at `at`; 0 when none does. */
static size_t template_end(struct view t, size_t at)
{
    unsigned braces = 0;
    bool in_quotes = false;
    for (at += 1; at < t.len; at++) {
        const uint8_t c = t.data[at];
        if (in_quotes && c == '\\')
            at++;
        else if (c == '"')
            in_quotes = !in_quotes;
        else if (!in_quotes && c == '{')
            braces++;
        else if (!in_quotes && c == '}' && --braces == 0)
            return at + 1;
    }
    return 0;
}

static bool has_open(struct view raw, bool quoted)
{
    for (size_t i = 0; i < raw.len; i++) {
        if (is_escape(raw, i))
            i += 2;
        else if (is_open(raw, i))
            return true;
        else if (quoted && raw.data[i] == '\\')
            i++;
    }
    return false;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    const uint8_t low = c | 0x20;
    return low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

static size_t utf8_put(char *out, uint32_t code)
{
    static const struct {
        uint32_t below;
        uint8_t lead;
        size_t len;
    } forms[] = { { 0x80, 0, 1 }, { 0x800, 0xc0, 2 }, { 0x10000, 0xe0, 3 }, { 0x110000, 0xf0, 4 } };
    size_t f = 0;
    while (code >= forms[f].below)
        f++;
    for (size_t i = forms[f].len - 1; i > 0; i--, code >>= 6)
        out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(forms[f].lead | code);
    return forms[f].len;
}

static bool fault_set(struct hcl_template_fault *fault, size_t offset, const char *reason)
{
    *fault = (struct hcl_template_fault){ offset, reason };
    return false;
}

/* \uNNNN or \UNNNNNNNN at `*at`; moves it behind. */
static bool code_unescape(struct view raw, size_t *at, uint32_t *out,
                          struct hcl_template_fault *fault)
{
    const size_t digits = raw.data[*at + 1] == 'u' ? 4 : 8;
    uint32_t code = 0;
    for (size_t i = 0; i < digits; i++) {
        const size_t where = *at + 2 + i;
        const int digit = where < raw.len ? hex_digit(raw.data[where]) : -1;
        if (digit < 0)
            return fault_set(fault, *at,
                             digits == 4 ? "\\u needs four hex digits"
                                         : "\\U needs eight hex digits");
        code = code << 4 | (uint32_t)digit;
    }
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        return fault_set(fault, *at, "escape is not a character");
    *at += 2 + digits;
    *out = code;
    return true;
}

/* The backslash escape at `*at`; moves both behind. */
static bool backslash_undo(struct view raw, size_t *at, char **out, bool in_template,
                           struct hcl_template_fault *fault)
{
    static const char from[] = "nrt\"\\", to[] = "\n\r\t\"\\";
    const uint8_t c = *at + 1 < raw.len ? raw.data[*at + 1] : 0;
    const char *found = c ? strchr(from, c) : NULL;
    if (found) {
        *(*out)++ = to[found - from];
        *at += 2;
        return true;
    }
    if (c != 'u' && c != 'U')
        return fault_set(fault, *at, "unknown escape (known: \\n \\r \\t \\\" \\\\ \\u \\U)");
    const size_t start = *at;
    uint32_t code;
    if (!code_unescape(raw, at, &code, fault))
        return false;
    /* It would read as the start of a template later on. */
    if (in_template && (code == '$' || code == '%'))
        return fault_set(fault, start, "write $${ or %%{ instead of this escape");
    *out += utf8_put(*out, code);
    return true;
}

bool hcl_template_unescape(struct view raw, bool quoted, char *out, bool *has_template,
                           struct hcl_template_fault *fault)
{
    *has_template = has_open(raw, quoted);
    for (size_t i = 0; i < raw.len;) {
        size_t keep = 1;
        if (is_escape(raw, i)) {
            i += *has_template ? 0 : 1;
            keep = *has_template ? 3 : 2;
        } else if (is_open(raw, i)) {
            const size_t end = template_end(raw, i);
            keep = (end ? end : raw.len) - i;
        } else if (quoted && raw.data[i] == '\\') {
            if (!backslash_undo(raw, &i, &out, *has_template, fault))
                return false;
            continue;
        }
        memcpy(out, raw.data + i, keep);
        out += keep;
        i += keep;
    }
    *out = '\0';
    return true;
}

static struct view trimmed(struct view t)
{
    while (t.len && (t.data[0] == ' ' || t.data[0] == '\t' || t.data[0] == '\n'))
        t = view_of(t.data + 1, t.len - 1);
    while (t.len &&
           (t.data[t.len - 1] == ' ' || t.data[t.len - 1] == '\t' || t.data[t.len - 1] == '\n'))
        t.len--;
    return t;
}

static void part_take(struct view *rest, size_t len, struct view text, bool is_reference,
                      struct hcl_template_part *out)
{
    *out = (struct hcl_template_part){ is_reference, text };
    *rest = view_of(rest->data + len, rest->len - len);
}

bool hcl_template_next(struct view *rest, struct hcl_template_part *out,
                       struct hcl_template_fault *fault)
{
    *fault = (struct hcl_template_fault){ 0 };
    if (rest->len == 0)
        return false;
    if (is_escape(*rest, 0)) {
        part_take(rest, 3, view_of(rest->data + 1, 2), false, out);
        return true;
    }
    if (is_at(*rest, 0, "%{"))
        return fault_set(fault, 0, "%{ directives are not supported");
    if (is_at(*rest, 0, "${")) {
        const size_t end = template_end(*rest, 0);
        if (end == 0)
            return fault_set(fault, 0, "${ is never closed");
        part_take(rest, end, trimmed(view_of(rest->data + 2, end - 3)), true, out);
        return true;
    }
    size_t len = 1;
    while (len < rest->len && !is_escape(*rest, len) && !is_open(*rest, len))
        len++;
    part_take(rest, len, view_of(rest->data, len), false, out);
    return true;
}
