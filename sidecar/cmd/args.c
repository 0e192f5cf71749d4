#include "sidecar/cmd/args.h"

#include "common/base/own.h"
#include "common/base/text.h"

#define ARG_ROW(member, option, value, doc) { option, value, doc, offsetof(struct args, member) },
static const struct {
    const char *name, *value, *doc;
    size_t offset;
} rows[] = { ARG_OPTIONS(ARG_ROW) };

static const char **member_of(struct args *args, size_t i)
{
    return (const char **)(void *)((char *)args + rows[i].offset);
}

static size_t common_prefix(const char *a, const char *b, size_t len)
{
    size_t n = 0;
    while (n < len && b[n] != '\0' && a[n] == b[n])
        n++;
    return n;
}

/* The option that shares the longest beginning, if it is at least two letters. */
static const char *suggest(const struct command *command, const char *name, size_t len)
{
    const char *best = NULL;
    size_t best_len = 1;
    for (size_t i = 0; i < COUNT(rows); i++) {
        size_t same = common_prefix(name, rows[i].name, len);
        if ((command->options & 1U << i) != 0 && same > best_len) {
            best = rows[i].name;
            best_len = same;
        }
    }
    return best;
}

static bool unknown(const struct command *command, const char *name, size_t len, struct err *err)
{
    const char *near = suggest(command, name, len);
    if (near != NULL)
        return err_set(err, ERR_INVALID, "read options: unknown option \"-%.*s\", perhaps \"-%s\"",
                       (int)len, name, near);
    return err_set(err, ERR_INVALID, "read options: unknown option \"-%.*s\", see -help", (int)len,
                   name);
}

/* One option at argv[*at]; `*at` is then at its last word. */
static bool read_option(const struct command *command, char *const *argv, int *at, struct args *out,
                        struct err *err)
{
    const char *name = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
    const char *equals = strchr(name, '=');
    size_t len = equals != NULL ? (size_t)(equals - name) : strlen(name), i = 0;
    while (i < COUNT(rows) &&
           (strlen(rows[i].name) != len || strncmp(rows[i].name, name, len) != 0))
        i++;
    if (i == COUNT(rows) || (command->options & 1U << i) == 0)
        return unknown(command, name, len, err);
    const char **member = member_of(out, i);
    if (*member != NULL)
        return err_set(err, ERR_INVALID, "read options: \"-%s\" is given twice", rows[i].name);
    if (rows[i].value == NULL) {
        *member = "true";
        return equals == NULL ||
               err_set(err, ERR_INVALID, "read options: \"-%s\" takes no value", rows[i].name);
    }
    *member = equals != NULL ? equals + 1 : argv[++*at];
    if (*member == NULL || **member == '\0')
        return err_set(err, ERR_INVALID, "read options: \"-%s\" needs a value: %s", rows[i].name,
                       rows[i].value);
    return true;
}

static bool is_help(const char *word)
{
    return strcmp(word, "-h") == 0 || strcmp(word, "-help") == 0 || strcmp(word, "--help") == 0;
}

bool args_read(const struct command *command, char *const *argv, struct args *out, struct err *err)
{
    *out = (struct args){ 0 };
    int at = 0;
    for (; argv[at] != NULL && argv[at][0] == '-' && argv[at][1] != '\0'; at++) {
        if (is_help(argv[at])) {
            out->is_help = true;
            return true;
        }
        if (strcmp(argv[at], "--") == 0) {
            at++;
            break;
        }
        if (!read_option(command, argv, &at, out, err))
            return false;
    }
    out->rest = argv + at;
    while (out->rest[out->rest_count] != NULL)
        out->rest_count++;
    if (command->rest == NULL && out->rest_count > 0)
        return err_set(err, ERR_INVALID, "read options: unexpected word \"%.80s\"", out->rest[0]);
    return true;
}

void args_put_help(struct buf *out, const char *program, const struct command *command)
{
    buf_put_fmt(out, "Usage: %s %s [options]%s%s\n\n  %s.\n\nOptions:\n", program, command->name,
                command->rest != NULL ? " " : "", command->rest != NULL ? command->rest : "",
                command->summary);
    for (size_t i = 0; i < COUNT(rows); i++) {
        if ((command->options & 1U << i) == 0)
            continue;
        CLEANUP(str_freep)
        char *left = str_format("-%s%s%s", rows[i].name, rows[i].value != NULL ? "=" : "",
                                rows[i].value != NULL ? rows[i].value : "");
        buf_put_fmt(out, "  %-22s %s\n", left, rows[i].doc);
    }
}

bool args_timeout_ms(const struct args *args, int64_t otherwise, int64_t *out_ms, struct err *err)
{
    *out_ms = otherwise;
    if (args->timeout == NULL)
        return true;
    if (!duration_parse(view_str(args->timeout), out_ms, err))
        return err_wrap(err, "option \"-timeout\"");
    return *out_ms > 0 || err_set(err, ERR_INVALID, "option \"-timeout\": must be above 0");
}
