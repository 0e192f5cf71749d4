#include "driver/hclspec/vars.h"

#include "common/base/own.h"
#include "common/hcl/template.h"

#include <stdlib.h>

#define REFERENCE_BYTES_MAX 200

void vars_set(struct vars *vars, const char *room, const char *name, const char *value)
{
    CLEANUP(str_freep) char *full = str_format("%s.%s", room, name);
    size_t i = 0;
    while (i < vars->count && strcmp(vars->items[i].name, full) != 0)
        i++;
    if (i == vars->count) {
        vars->items = mem_resize(vars->items, vars->count + 1, sizeof *vars->items);
        vars->items[vars->count++] = (struct var){ STEAL(full), NULL };
    }
    free(vars->items[i].value);
    vars->items[i].value = str_copy(value);
}

static const char *value_of(const struct vars *vars, const char *full)
{
    for (size_t i = 0; i < vars->count; i++)
        if (strcmp(vars->items[i].name, full) == 0)
            return vars->items[i].value;
    return NULL;
}

const char *vars_find(const struct vars *vars, const char *room, const char *name)
{
    CLEANUP(str_freep) char *full = str_format("%s.%s", room, name);
    return value_of(vars, full);
}

void vars_fini(struct vars *vars)
{
    for (size_t i = 0; i < vars->count; i++) {
        free(vars->items[i].name);
        free(vars->items[i].value);
    }
    free(vars->items);
    *vars = (struct vars){ 0 };
}

static bool is_name(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* `env["X"]` and `env.X` as "env.X", `NOMAD_X` as "env.NOMAD_X"; false when it is an expression. */
static bool reference_normalise(struct view text, char *out, size_t size)
{
    size_t at = 0, len = 0;
    if (text.len + 5 >= size)
        return false;
    if (text.len > 6 && memcmp(text.data, "NOMAD_", 6) == 0)
        len = (size_t)(stpcpy(out, "env.") - out);
    while (at < text.len) {
        const uint8_t c = text.data[at];
        const uint8_t *close = NULL;
        if (c == '[' && at + 1 < text.len && text.data[at + 1] == '"')
            close = memmem(text.data + at + 2, text.len - at - 2, "\"]", 2);
        if (close) {
            out[len++] = '.';
            for (at += 2; text.data + at < close; at++)
                out[len++] = (char)text.data[at];
            at += 2;
        } else if (is_name(c) || c == '.') {
            out[len++] = (char)c;
            at++;
        } else {
            return false;
        }
    }
    out[len] = '\0';
    return len > 0;
}

static bool is_nomads(const char *name)
{
    static const char *const rooms[] = { "env.", "meta.", "node.", "attr." };
    for (size_t i = 0; i < COUNT(rooms); i++)
        if (strncmp(name, rooms[i], strlen(rooms[i])) == 0)
            return true;
    return false;
}

/* `vars` NULL: keep references as they are. */
static bool part_put(const struct vars *vars, const struct hcl *tree, const struct hcl_node *text,
                     struct view reference, struct buf *out, struct err *err)
{
    char name[REFERENCE_BYTES_MAX];
    const int shown = (int)(reference.len > 80 ? 80 : reference.len);
    if (!reference_normalise(reference, name, sizeof name))
        return hcl_fail(tree, text, err,
                        "${%.*s}: functions and expressions are not supported; for a literal "
                        "write $${",
                        shown, (const char *)reference.data);
    if (!is_nomads(name))
        return hcl_fail(tree, text, err, "${%.*s}: unknown reference; for a literal write $${",
                        shown, (const char *)reference.data);
    if (!vars) {
        buf_put_fmt(out, "${%.*s}", (int)reference.len, (const char *)reference.data);
        return true;
    }
    const char *value = value_of(vars, name);
    if (!value)
        return hcl_fail(tree, text, err, "${%.*s} is not set here%s", shown,
                        (const char *)reference.data,
                        strncmp(name, "meta.", 5) == 0 ? ": add it to meta" : "");
    buf_put_str(out, value);
    return true;
}

static bool expand(const struct vars *vars, const struct hcl *tree, const struct hcl_node *text,
                   struct buf *out, struct err *err)
{
    struct view rest = view_str(text->text);
    struct hcl_template_part part;
    struct hcl_template_fault fault = { 0 };
    if (!text->has_template) {
        buf_put(out, rest);
        return true;
    }
    while (hcl_template_next(&rest, &part, &fault)) {
        if (!part.is_reference)
            buf_put(out, part.text);
        else if (!part_put(vars, tree, text, part.text, out, err))
            return false;
    }
    return !fault.reason || hcl_fail(tree, text, err, "%s", fault.reason);
}

bool vars_expand(const struct vars *vars, const struct hcl *tree, const struct hcl_node *text,
                 struct buf *out, struct err *err)
{
    return expand(vars, tree, text, out, err);
}

bool vars_keep(const struct hcl *tree, const struct hcl_node *text, struct buf *out,
               struct err *err)
{
    return expand(NULL, tree, text, out, err);
}
