#include "driver/dev/timeline.h"

#include "common/base/fd.h"
#include "common/base/own.h"
#include "common/base/text.h"
#include "common/json/out.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#define TEXT_BYTES_MAX  2048
#define FIELD_BYTES_MAX 80

struct timeline timeline_open(const struct clock *clock, int fd, bool json)
{
    return (struct timeline){ clock, clock_boot(clock), fd, json, false };
}

int64_t timeline_ms(const struct timeline *t)
{
    return boot_diff_ms(clock_boot(t->clock), t->started);
}

static const char *event_name(enum timeline_event event)
{
#define TIMELINE_NAME(event, name) [TIMELINE_##event] = name,
    static const char *const names[] = { TIMELINE_EVENTS(TIMELINE_NAME) };
    return names[event];
}

bool timeline_field(const char *text, const char *name, char *out, size_t size)
{
    const size_t len = strlen(name);
    for (const char *at = strstr(text, name); at; at = strstr(at + len, name)) {
        const bool starts = at == text || !isalnum((unsigned char)at[-1]);
        if (!starts || at[len] != ' ' || !isalnum((unsigned char)at[len + 1]))
            continue;
        size_t n = 0;
        for (const char *c = at + len + 1;
             n + 1 < size && (isalnum((unsigned char)*c) || *c == '-');)
            out[n++] = *c++;
        out[n] = '\0';
        return true;
    }
    return false;
}

static void json_put(struct buf *out, const struct timeline *t, unsigned node,
                     enum timeline_event event, const char *text)
{
    struct json_out o = json_out_to(out);
    char name[16], field[FIELD_BYTES_MAX];
    (void)snprintf(name, sizeof name, "node-%u", node);
    json_out_object(&o, NULL);
    json_out_int(&o, "t_ms", timeline_ms(t));
    json_out_int(&o, "wall_ms", clock_wall(t->clock).ns / NS_PER_MS);
    json_out_text(&o, "node", node ? name : NULL);
    json_out_text(&o, "event", event_name(event));
    json_out_text(&o, "text", text);
    int64_t epoch;
    struct err unused;
    if (event == TIMELINE_TASK && timeline_field(text, "epoch", field, sizeof field) &&
        int_parse(view_str(field), 0, INT64_MAX, &epoch, &unused))
        json_out_int(&o, "epoch", epoch);
    if (event == TIMELINE_TASK && timeline_field(text, "checkpoint", field, sizeof field))
        json_out_text(&o, "checkpoint", field);
    json_out_close(&o);
    json_out_finish(&o);
}

static void text_put(struct buf *out, const struct timeline *t, unsigned node,
                     enum timeline_event event, const char *text)
{
    const int64_t ms = timeline_ms(t);
    buf_put_fmt(out, "%4lld.%03llds ", (long long)(ms / 1000), (long long)(ms % 1000));
    if (node)
        buf_put_fmt(out, "node-%u ", node);
    if (event == TIMELINE_STDOUT || event == TIMELINE_STDERR)
        buf_put_str(out, event == TIMELINE_STDOUT ? "| " : "! ");
    CLEANUP(buf_fini) struct buf clean = { 0 };
    utf8_put_clean(&clean, view_str(text));
    for (size_t i = 0; i < clean.len; i++) {
        const uint8_t c = clean.data[i];
        buf_put_u8(out, (c < 0x20 && c != '\t') || c == 0x7f ? '?' : c);
    }
}

void timeline_put(struct timeline *t, unsigned node, enum timeline_event event, const char *fmt,
                  ...)
{
    char text[TEXT_BYTES_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (t->is_broken)
        return;
    CLEANUP(buf_fini) struct buf line = { 0 };
    (t->json ? json_put : text_put)(&line, t, node, event, text);
    buf_put_str(&line, "\n");
    struct err err;
    if (!fd_write_all(t->fd, line.data, line.len, &err))
        t->is_broken = true;
}
