#include "common/json/scan.h"

#include "common/base/own.h"
#include "common/json/json.h"

#include <stdio.h>

struct scan_level {
    bool is_list;
    bool wants_key; /* the next string is a key */
    size_t index;
    struct view key;
};
struct scan {
    struct view text;
    size_t at;
    unsigned depth;
    struct scan_level levels[JSON_DEPTH_MAX + 1];
};

unsigned scan_depth(struct view text, unsigned limit)
{
    unsigned depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.len && deepest <= limit; i++) {
        uint8_t c = text.data[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']') && depth > 0)
            depth--;
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

static struct scan_level *top(struct scan *s)
{
    return s->depth > 0 ? &s->levels[s->depth - 1] : NULL;
}

/* From the opening quote to after the closing one; an object's key is remembered. */
static void scan_string(struct scan *s, size_t end)
{
    size_t start = ++s->at;
    while (s->at < end && s->text.data[s->at] != '"')
        s->at += s->text.data[s->at] == '\\' ? 2 : 1;
    size_t stop = s->at < end ? s->at : end;
    struct scan_level *level = top(s);
    if (level != NULL && level->wants_key)
        level->key = view_of(s->text.data + start, stop - start);
    s->at = stop + 1;
}

static void scan_open(struct scan *s, bool is_list)
{
    if (s->depth < COUNT(s->levels))
        s->levels[s->depth++] = (struct scan_level){ .is_list = is_list, .wants_key = !is_list };
}

static void scan_mark(struct scan *s, uint8_t c)
{
    struct scan_level *level = top(s);
    if (c == '{' || c == '[')
        scan_open(s, c == '[');
    else if (level == NULL)
        return;
    else if (c == '}' || c == ']')
        s->depth--;
    else if (c == ',')
        *level = (struct scan_level){ level->is_list, !level->is_list, level->index + 1, { 0 } };
    else if (c == ':')
        level->wants_key = false;
}

static size_t put_key(struct view key, char *out, size_t room)
{
    size_t len = key.len < room ? key.len : room;
    for (size_t i = 0; i < len; i++)
        out[i] = key.data[i] > ' ' && key.data[i] < 0x7f ? (char)key.data[i] : '?';
    return len;
}

void scan_path(struct view text, size_t at, char out[SCAN_PATH_BYTES])
{
    struct scan s = { .text = text };
    size_t end = at < text.len ? at : text.len;
    while (s.at < end) {
        if (text.data[s.at] == '"')
            scan_string(&s, end);
        else
            scan_mark(&s, text.data[s.at++]);
    }
    size_t len = 0;
    for (unsigned i = 0; i < s.depth && len < SCAN_PATH_BYTES - 24; i++) {
        const struct scan_level *level = &s.levels[i];
        if (level->is_list)
            len += (size_t)snprintf(out + len, SCAN_PATH_BYTES - len, "[%zu]", level->index);
        else if (level->key.data != NULL) {
            if (len > 0)
                out[len++] = '.';
            len += put_key(level->key, out + len, SCAN_PATH_BYTES - 24 - len);
        }
    }
    out[len] = '\0';
}
