#include "common/json/doc.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/json/json.h"
#include "common/json/scan.h"

#include <assert.h>
#include <jansson.h>
#include <stdlib.h>

#define PATH_KEY_MAX ((size_t)256) /* bytes of one key in a path */

struct json {
    json_t *root;
};

/* The parser's text may quote the input, so only its kind is shown. */
static bool parse_failed(struct view text, const char *what, const json_error_t *why,
                         struct err *err)
{
    static const struct {
        enum json_error_code code;
        const char *text;
    } rows[] = {
        { json_error_duplicate_key, "key given twice" },
        { json_error_invalid_utf8, "not UTF-8" },
        { json_error_null_character, "holds a NUL character" },
        { json_error_premature_end_of_input, "ends too early" },
        { json_error_end_of_input_expected, "something follows the end" },
        { json_error_numeric_overflow, "number out of range" },
    };
    const char *reason = "not JSON";
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].code == json_error_code(why))
            reason = rows[i].text;
    char path[SCAN_PATH_BYTES];
    scan_path(text, why->position < 0 ? 0 : (size_t)why->position, path);
    return err_set(err, ERR_INVALID, "read %s: line %d: %s%s%s", what, why->line, path,
                   path[0] == '\0' ? "" : ": ", reason);
}

bool json_parse(struct view text, const char *what, size_t max_bytes, struct json **out,
                struct err *err)
{
    if (text.len > max_bytes)
        return err_set(err, ERR_INVALID, "read %s: %zu bytes, more than %zu", what, text.len,
                       max_bytes);
    if (text.len == 0)
        return err_set(err, ERR_INVALID, "read %s: empty", what);
    if (scan_depth(text, JSON_DEPTH_MAX) > JSON_DEPTH_MAX)
        return err_set(err, ERR_INVALID, "read %s: nested deeper than %d", what, JSON_DEPTH_MAX);
    json_error_t why;
    json_t *root = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES, &why);
    if (root == NULL)
        return parse_failed(text, what, &why, err);
    *out = mem_new(struct json);
    (*out)->root = root;
    return true;
}

void json_free(struct json *doc)
{
    if (doc == NULL)
        return;
    json_decref(doc->root);
    free(doc);
}

const struct json_t *json_borrow_root(const struct json *doc) { return doc->root; }

/* One step of a path: "key", ".key" or "[3]". False when the path is malformed or leads nowhere. */
static bool step(const json_t **at, const char **path)
{
    const char *p = *path;
    if (*p == '[') {
        const char *end = strchr(p, ']');
        int64_t index;
        struct err ignored;
        if (end == NULL ||
            !int_parse(view_of(p + 1, (size_t)(end - p - 1)), 0, INT32_MAX, &index, &ignored))
            return false;
        *path = end + 1;
        *at = json_array_get(*at, (size_t)index);
        return *at != NULL;
    }
    p += *p == '.';
    size_t len = strcspn(p, ".[");
    char key[PATH_KEY_MAX];
    if (len == 0 || len >= sizeof(key))
        return false;
    memcpy(key, p, len);
    key[len] = '\0';
    *path = p + len;
    *at = json_object_get(*at, key);
    return *at != NULL;
}

static const json_t *find(const struct json *doc, const char *path)
{
    const json_t *at = doc->root;
    while (*path != '\0')
        if (!step(&at, &path))
            return NULL;
    return at;
}

static bool find_kind(const struct json *doc, const char *path, bool (*is_right)(const json_t *),
                      const json_t **out, struct err *err)
{
    *out = find(doc, path);
    if (*out == NULL)
        return err_set(err, ERR_NOT_FOUND, "find \"%s\": nothing is there", path);
    if (!is_right(*out))
        return err_set(err, ERR_INVALID, "find \"%s\": another type", path);
    return true;
}

static bool is_text(const json_t *node) { return json_is_string(node); }
static bool is_int(const json_t *node) { return json_is_integer(node); }

bool json_borrow_text(const struct json *doc, const char *path, const char **out, struct err *err)
{
    const json_t *node;
    if (!find_kind(doc, path, is_text, &node, err))
        return false;
    *out = json_string_value(node);
    return true;
}

bool json_int_at(const struct json *doc, const char *path, int64_t *out, struct err *err)
{
    const json_t *node;
    if (!find_kind(doc, path, is_int, &node, err))
        return false;
    *out = json_integer_value(node);
    return true;
}
