#include "common/hcl/scan.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/hcl/template.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEMPLATE_DEPTH_MAX 32 /* quotes and braces inside each other in one string */
#define NUMBER_BYTES_MAX   64 /* no number in a configuration needs more digits */

bool hcl_scan_fail(struct hcl_scan *s, struct hcl_pos pos, const char *fmt, ...)
{
    char reason[160];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(reason, sizeof reason, fmt, args);
    va_end(args);
    return err_set(s->err, ERR_INVALID, "%s:%u:%u: %s", s->name, pos.line, pos.col, reason);
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }
static bool is_letter(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_name(int c) { return is_letter(c) || is_digit(c) || c == '-'; }

static bool ahead_is(const struct hcl_scan *s, const char *text)
{
    const size_t len = strlen(text);
    return (size_t)(s->end - s->at) >= len && memcmp(s->at, text, len) == 0;
}

static void line_end_take(struct hcl_scan *s)
{
    s->at++;
    s->line++;
    s->line_start = s->at;
}

static size_t sequence_bytes(uint8_t lead)
{
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

bool hcl_scan_check_bytes(struct hcl_scan *s)
{
    if (utf8_is_valid(view_of(s->at, (size_t)(s->end - s->at))))
        return true;
    struct hcl_scan look = *s;
    while (look.at < look.end) {
        const size_t len = sequence_bytes(*look.at);
        const size_t left = (size_t)(look.end - look.at);
        if (len > left || !utf8_is_valid(view_of(look.at, len)))
            break;
        if (*look.at == '\n')
            line_end_take(&look);
        else
            look.at += len;
    }
    return hcl_scan_fail(s, hcl_scan_pos(&look), "a byte that is not UTF-8 text");
}

static bool comment_take(struct hcl_scan *s)
{
    const struct hcl_pos start = hcl_scan_pos(s);
    s->at += 2;
    while (!ahead_is(s, "*/")) {
        if (s->at == s->end)
            return hcl_scan_fail(s, start, "comment is never closed");
        if (*s->at == '\n')
            line_end_take(s);
        else
            s->at++;
    }
    s->at += 2;
    return true;
}

bool hcl_scan_blank(struct hcl_scan *s, bool lines)
{
    for (;;) {
        const int c = hcl_scan_peek(s);
        if (c == '\n' && lines) {
            line_end_take(s);
        } else if (c == ' ' || c == '\t' || (c == '\r' && ahead_is(s, "\r\n"))) {
            s->at++;
        } else if (c == '#' || ahead_is(s, "//")) {
            while (hcl_scan_peek(s) >= 0 && *s->at != '\n')
                s->at++;
        } else if (ahead_is(s, "/*")) {
            if (!comment_take(s))
                return false;
        } else {
            return true;
        }
    }
}

const char *hcl_scan_name(struct hcl_scan *s)
{
    const uint8_t *start = s->at;
    if (!is_letter(hcl_scan_peek(s)))
        return NULL;
    while (is_name(hcl_scan_peek(s)))
        s->at++;
    return hcl_arena_text(s->arena, start, (size_t)(s->at - start));
}

static unsigned digits_take(struct hcl_scan *s)
{
    const uint8_t *start = s->at;
    while (is_digit(hcl_scan_peek(s)))
        s->at++;
    return (unsigned)(s->at - start);
}

bool hcl_scan_number(struct hcl_scan *s, const char **out)
{
    const struct hcl_pos pos = hcl_scan_pos(s);
    const uint8_t *start = s->at;
    if (hcl_scan_peek(s) == '-')
        s->at++;
    bool ok = digits_take(s) > 0;
    if (ok && hcl_scan_peek(s) == '.') {
        s->at++;
        ok = digits_take(s) > 0;
    }
    if (ok && (hcl_scan_peek(s) == 'e' || hcl_scan_peek(s) == 'E')) {
        s->at++;
        if (hcl_scan_peek(s) == '+' || hcl_scan_peek(s) == '-')
            s->at++;
        ok = digits_take(s) > 0;
    }
    if (!ok || is_name(hcl_scan_peek(s)) || hcl_scan_peek(s) == '.')
        return hcl_scan_fail(s, pos, "not a number (durations and sizes are quoted: \"15s\")");
    if (s->at - start > NUMBER_BYTES_MAX)
        return hcl_scan_fail(s, pos, "number has more than %d characters", NUMBER_BYTES_MAX);
    *out = hcl_arena_text(s->arena, start, (size_t)(s->at - start));
    return true;
}

/* Where the string that starts at the quote ends; the quote that ends it is `*out_end`. */
static bool quoted_span(struct hcl_scan *s, const uint8_t **out_end)
{
    const struct hcl_pos start = hcl_scan_pos(s);
    char open[TEMPLATE_DEPTH_MAX] = { '"' };
    unsigned depth = 1;
    struct hcl_scan look = *s;
    for (look.at++; depth > 0; look.at++) {
        const int c = hcl_scan_peek(&look);
        if (c < 0 || c == '\n')
            return hcl_scan_fail(s, start, "string is not closed on its line");
        const bool in_text = open[depth - 1] == '"';
        char opens = 0;
        if (c == '"' && in_text)
            depth--;
        else if (c == '}' && !in_text)
            depth--;
        else if (c == '\\' && in_text && look.at + 1 < look.end && look.at[1] != '\n')
            look.at++;
        else if (in_text && (ahead_is(&look, "$${") || ahead_is(&look, "%%{")))
            look.at += 2;
        else if (in_text && (ahead_is(&look, "${") || ahead_is(&look, "%{")))
            opens = *look.at++ ? '{' : 0;
        else if (!in_text && (c == '"' || c == '{'))
            opens = (char)c;
        if (opens && depth == TEMPLATE_DEPTH_MAX)
            return hcl_scan_fail(s, start, "template is nested more than %d deep",
                                 TEMPLATE_DEPTH_MAX);
        if (opens)
            open[depth++] = opens;
    }
    *out_end = look.at - 1;
    return true;
}

bool hcl_scan_quoted(struct hcl_scan *s, const char **out, bool *has_template)
{
    const uint8_t *end = NULL;
    if (!quoted_span(s, &end))
        return false;
    struct hcl_pos start = hcl_scan_pos(s);
    const struct view raw = view_of(s->at + 1, (size_t)(end - s->at) - 1);
    char *text = hcl_arena_take(s->arena, raw.len + 1);
    struct hcl_template_fault fault;
    if (!hcl_template_unescape(raw, true, text, has_template, &fault)) {
        start.col += 1 + (uint32_t)fault.offset;
        return hcl_scan_fail(s, start, "%s", fault.reason);
    }
    *out = text;
    s->at = end + 1;
    return true;
}

struct line {
    const uint8_t *start, *text, *end, *next; /* text: after the indent; end: before the line end */
};

static struct line line_at(const struct hcl_scan *s, const uint8_t *at)
{
    struct line l = { .start = at, .text = at };
    const uint8_t *stop = memchr(at, '\n', (size_t)(s->end - at));
    l.end = stop ? stop : s->end;
    l.next = stop ? stop + 1 : s->end;
    while (l.text < l.end && (*l.text == ' ' || *l.text == '\t'))
        l.text++;
    return l;
}

static bool line_is_blank(struct line l)
{
    return l.text == l.end || (*l.text == '\r' && l.text + 1 == l.end);
}

static bool line_is_marker(struct line l, const char *marker)
{
    const uint8_t *end = l.end;
    while (end > l.text && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    return view_is_equal(view_of(l.text, (size_t)(end - l.text)), view_str(marker));
}

/* The lines from `start` to `stop` less the indent that all lines with text share. */
static void dedented_put(struct buf *out, const struct hcl_scan *s, const uint8_t *start,
                         const uint8_t *stop)
{
    size_t shared = SIZE_MAX;
    for (struct line l = line_at(s, start); l.start < stop; l = line_at(s, l.next))
        if (!line_is_blank(l) && (size_t)(l.text - l.start) < shared)
            shared = (size_t)(l.text - l.start);
    for (struct line l = line_at(s, start); l.start < stop; l = line_at(s, l.next)) {
        const size_t cut = line_is_blank(l) ? 0 : shared;
        buf_put(out, view_of(l.start + cut, (size_t)(l.next - l.start) - cut));
    }
}

/* Takes lines up to the marker's; `*out_end` is where that line starts. */
static bool heredoc_take(struct hcl_scan *s, const char *marker, struct hcl_pos start,
                         const uint8_t **out_end)
{
    for (;;) {
        const struct line l = line_at(s, s->at);
        if (line_is_marker(l, marker)) {
            *out_end = l.start;
            s->at = l.end;
            return true;
        }
        if (l.next == s->end)
            return hcl_scan_fail(s, start, "heredoc is never closed by a line with its marker");
        s->at = l.end;
        line_end_take(s);
    }
}

bool hcl_scan_heredoc(struct hcl_scan *s, const char **out, bool *has_template)
{
    const struct hcl_pos start = hcl_scan_pos(s);
    s->at += 2;
    const bool dedent = hcl_scan_peek(s) == '-';
    if (dedent)
        s->at++;
    const char *marker = hcl_scan_name(s);
    if (ahead_is(s, "\r\n"))
        s->at++;
    if (!marker || hcl_scan_peek(s) != '\n')
        return hcl_scan_fail(s, start, "heredoc needs a marker and a line end after <<");
    line_end_take(s);
    const uint8_t *first = s->at, *end = NULL;
    if (!heredoc_take(s, marker, start, &end))
        return false;
    CLEANUP(buf_fini) struct buf lines = { 0 };
    if (dedent)
        dedented_put(&lines, s, first, end);
    else
        buf_put(&lines, view_of(first, (size_t)(end - first)));
    char *text = hcl_arena_take(s->arena, lines.len + 1);
    struct hcl_template_fault fault;
    if (!hcl_template_unescape(buf_view(&lines), false, text, has_template, &fault))
        return hcl_scan_fail(s, start, "%s", fault.reason);
    *out = text;
    return true;
}
