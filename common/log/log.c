#include "common/log/log.h"

#include "common/base/buf.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* A pipe takes up to PIPE_BUF bytes whole; a longer line could be torn by another writer. */
#define LINE_MAX_BYTES 4096
#define VALUE_MAX      1024

static const char *module_name = "agent";
static _Atomic enum log_level lowest_level = LOG_INFO;

static const char *const level_names[] = {
    [LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"
};

struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
};

void log_init(const char *module, enum log_level lowest)
{
    module_name = module;
    lowest_level = lowest;
}

void log_set_level(enum log_level lowest) { lowest_level = lowest; }

bool log_level_parse(const char *name, enum log_level *out, struct err *err)
{
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        if (strcmp(name, level_names[level]) == 0) {
            *out = (enum log_level)level;
            return true;
        }
    }
    return err_set(err, ERR_INVALID, "log level \"%s\": use debug, info, warn or error", name);
}

/* All of `bytes` or nothing, with room kept for the end of the line. */
static bool put(struct line *line, const char *bytes, size_t len)
{
    if (line->len + len + 3 > sizeof(line->text))
        return false;
    memcpy(line->text + line->len, bytes, len);
    line->len += len;
    return true;
}

static bool put_escaped(struct line *line, unsigned char c)
{
    char code[8];
    int len;
    if (c == '"' || c == '\\')
        len = snprintf(code, sizeof(code), "\\%c", c);
    else
        len = snprintf(code, sizeof(code), "\\u%04x", c);
    return put(line, code, (size_t)len);
}

/* Cleans by hand, not by utf8_put_clean: nothing here may allocate. */
static bool put_text(struct line *line, const char *text)
{
    size_t left = strnlen(text, VALUE_MAX);
    bool fits = put(line, "\"", 1);
    while (left > 0) {
        unsigned char c = (unsigned char)*text;
        size_t step = c < 0xc0 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
        if (c < 0x20 || c == '"' || c == '\\' || c == 0x7f) {
            fits = put_escaped(line, c) && fits;
        } else if (step > left || !utf8_is_valid(view_of(text, step))) {
            step = 1;
            fits = put(line, "\xef\xbf\xbd", 3) && fits;
        } else {
            fits = put(line, text, step) && fits;
        }
        text += step;
        left -= step;
    }
    return put(line, "\"", 1) && fits;
}

static bool put_value(struct line *line, const struct log_field *field)
{
    char number[32];
    switch (field->type) {
    case LOG_TEXT:
        return put_text(line, field->v.text == NULL ? "" : field->v.text);
    case LOG_NUMBER:
        (void)snprintf(number, sizeof(number), "%" PRId64, field->v.number);
        return put(line, number, strlen(number));
    case LOG_BOOL:
        return field->v.number ? put(line, "true", 4) : put(line, "false", 5);
    }
    return false;
}

/* A field that does not fit whole is left out: half of it would be broken JSON. */
static void put_field(struct line *line, const struct log_field *field)
{
    size_t before = line->len;
    if (!put(line, ",", 1) || !put_text(line, field->key) || !put(line, ":", 1) ||
        !put_value(line, field))
        line->len = before;
}

/* A blocked stderr would block every thread of the process, so a full pipe drops the line. */
static void deliver(const struct line *line)
{
    struct pollfd ready = { STDERR_FILENO, POLLOUT, 0 };
    if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) &&
        write(STDERR_FILENO, line->text, line->len) < 0)
        return; /* closed: there is nobody to tell */
}

void log_emit(enum log_level level, const char *text, const struct log_field *fields)
{
    if (level < lowest_level)
        return;
    struct line line = { .len = 0 };
    char at[WALL_TEXT_BYTES];
    wall_format(wall_now(), at);
    (void)put(&line, "{\"@timestamp\":", 14);
    (void)put_text(&line, at);
    (void)put(&line, ",\"@level\":", 10);
    (void)put_text(&line, level_names[level]);
    (void)put(&line, ",\"@module\":", 11);
    (void)put_text(&line, module_name);
    (void)put(&line, ",\"@message\":", 12);
    (void)put_text(&line, text);
    for (; fields->key != NULL; fields++)
        put_field(&line, fields);
    line.text[line.len++] = '}';
    line.text[line.len++] = '\n';
    deliver(&line);
}
