#include "common/json/json.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/json/doc.h"

#include <assert.h>
#include <jansson.h>
#include <stdio.h>

#define PATH_BYTES ((size_t)160)

/* Where the reader is: a list from the innermost key outwards, on the stack. */
struct where {
    const struct where *up;
    const char *key; /* NULL: `index` of a list */
    size_t index;
};
struct reader {
    const char *what;
    struct err *err;
};

static size_t where_print(const struct where *at, char *out)
{
    if (at == NULL)
        return 0;
    size_t len = where_print(at->up, out);
    if (len >= PATH_BYTES - 1)
        return len;
    int more = at->key == NULL
                   ? snprintf(out + len, PATH_BYTES - len, "[%zu]", at->index)
                   : snprintf(out + len, PATH_BYTES - len, "%s%s", len > 0 ? "." : "", at->key);
    len += (size_t)more;
    return len < PATH_BYTES ? len : PATH_BYTES - 1;
}

/* Keys from outside may hold anything that is UTF-8. */
static bool refuse(const struct reader *r, const struct where *at, const char *why)
{
    char path[PATH_BYTES] = "";
    (void)where_print(at, path);
    for (char *p = path; *p != '\0'; p++)
        if (*p < ' ' || *p == 0x7f)
            *p = '?';
    return err_set(r->err, ERR_INVALID, "read %s: %s%s%s", r->what, path,
                   path[0] == '\0' ? "" : ": ", why);
}

static bool read_object(const struct reader *r, const struct where *at, const json_t *node,
                        const struct json_table *table, uint8_t *out);

static bool read_text(const struct reader *r, const struct where *at, const json_t *node,
                      const struct json_field *f, uint8_t *out)
{
    if (!json_is_string(node))
        return refuse(r, at, "must be a string");
    size_t len = json_string_length(node);
    size_t most = f->max > 0 ? (size_t)f->max : f->size - 1;
    assert(most < f->size);
    char why[64];
    (void)snprintf(why, sizeof(why), "must have %lld to %zu bytes", (long long)f->min, most);
    if (len < (size_t)f->min || len > most)
        return refuse(r, at, why);
    memcpy(out, json_string_value(node), len);
    memset(out + len, 0, f->size - len);
    return true;
}

static bool read_int(const struct reader *r, const struct where *at, const json_t *node,
                     const struct json_field *f, uint8_t *out)
{
    if (!json_is_integer(node))
        return refuse(r, at, "must be an integer");
    int64_t value = json_integer_value(node);
    char why[96];
    (void)snprintf(why, sizeof(why), "must be between %lld and %lld", (long long)f->min,
                   (long long)f->max);
    if (value < f->min || value > f->max)
        return refuse(r, at, why);
    memcpy(out, &value, sizeof(value));
    return true;
}

static bool read_bool(const struct reader *r, const struct where *at, const json_t *node,
                      const struct json_field *f, uint8_t *out)
{
    (void)f;
    bool value = json_is_true(node);
    if (!json_is_boolean(node))
        return refuse(r, at, "must be true or false");
    memcpy(out, &value, sizeof(value));
    return true;
}

static bool read_hex(const struct reader *r, const struct where *at, const json_t *node,
                     const struct json_field *f, uint8_t *out)
{
    char why[64];
    (void)snprintf(why, sizeof(why), "must be %zu lower-case hex digits", 2 * f->size);
    if (!json_is_string(node) || json_string_length(node) != 2 * f->size)
        return refuse(r, at, why);
    const char *text = json_string_value(node);
    struct err ignored;
    if (strspn(text, "0123456789abcdef") != 2 * f->size ||
        !hex_decode(view_str(text), out, f->size, &ignored))
        return refuse(r, at, why);
    return true;
}

static bool read_nested(const struct reader *r, const struct where *at, const json_t *node,
                        const struct json_field *f, uint8_t *out)
{
    return read_object(r, at, node, f->table, out);
}

/* The count is stored by the caller's row, so `out` is the first item here. */
static bool read_list(const struct reader *r, const struct where *at, const json_t *node,
                      const struct json_field *f, uint8_t *out)
{
    if (!json_is_array(node))
        return refuse(r, at, "must be a list");
    char why[64];
    (void)snprintf(why, sizeof(why), "must have at most %zu items", f->size);
    if (json_array_size(node) > f->size)
        return refuse(r, at, why);
    for (size_t i = 0; i < json_array_size(node); i++) {
        struct where item = { .up = at, .index = i };
        if (!read_object(r, &item, json_array_get(node, i), f->table, out + i * f->stride))
            return false;
    }
    return true;
}

typedef bool read_fn(const struct reader *r, const struct where *at, const json_t *node,
                     const struct json_field *f, uint8_t *out);
static read_fn *const readers[] = {
    [JSON_KIND_TEXT] = read_text, [JSON_KIND_INT] = read_int,       [JSON_KIND_BOOL] = read_bool,
    [JSON_KIND_HEX] = read_hex,   [JSON_KIND_OBJECT] = read_nested, [JSON_KIND_LIST] = read_list,
};

static bool read_field(const struct reader *r, const struct where *at, const json_t *object,
                       const struct json_field *f, uint8_t *out)
{
    const json_t *node = json_object_get(object, f->key);
    struct where here = { .up = at, .key = f->key };
    if (json_is_null(node) && (f->flags & JSON_NULL_OK) != 0)
        node = NULL;
    if (node == NULL)
        return (f->flags & JSON_REQUIRED) == 0 || refuse(r, &here, "is missing");
    if (!readers[f->kind](r, &here, node, f, out + f->offset))
        return false;
    size_t count = json_array_size(node);
    bool has = true;
    if (f->kind == JSON_KIND_LIST)
        memcpy(out + f->count_at, &count, sizeof(count));
    if (f->has_at != JSON_NOWHERE)
        memcpy(out + f->has_at, &has, sizeof(has));
    return true;
}

static bool is_known(const struct json_table *table, const char *key)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->fields[i].key, key) == 0)
            return true;
    return false;
}

static bool read_object(const struct reader *r, const struct where *at, const json_t *node,
                        const struct json_table *table, uint8_t *out)
{
    if (!json_is_object(node))
        return refuse(r, at, "must be an object");
    const char *key;
    json_t *member;
    /* The parser's iterator is not const; nothing is changed by it. */
    json_object_foreach((json_t *)(uintptr_t)node, key, member)
    {
        struct where here = { .up = at, .key = key };
        if (!is_known(table, key))
            return refuse(r, &here, "unknown key");
    }
    for (size_t i = 0; i < table->count; i++)
        if (!read_field(r, at, node, &table->fields[i], out))
            return false;
    return true;
}

bool json_read(struct view text, const char *what, size_t max_bytes, const struct json_table *table,
               void *out, struct err *err)
{
    CLEANUP(json_freep) struct json *doc = NULL;
    if (!json_parse(text, what, max_bytes, &doc, err))
        return false;
    struct reader r = { what, err };
    return read_object(&r, NULL, json_borrow_root(doc), table, out);
}
