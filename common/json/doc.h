/* doc.h - a JSON document of unknown shape, searched by path.
 *
 * For tools and tests that show or look up what others wrote. As strict as json.h about syntax.
 * Programs that decide something read by table instead. */
#pragma once
#include <stdint.h>

#include "common/base/buf.h"

struct json;
struct json_t; /* the parser's own; used only inside this room */

/** Parses with the same strictness; the caller owns the result. Errors: INVALID. */
MUST_USE bool json_parse(struct view text, const char *what, size_t max_bytes, struct json **out,
                         struct err *err);
void json_free(struct json *doc);
static inline void json_freep(struct json **doc)
{
    json_free(*doc);
    *doc = NULL;
}

/** The text or integer at a path such as "tasks[0].name". Text is lent until json_free.
 *  Errors: NOT_FOUND when the path leads nowhere, INVALID when something else is there. */
MUST_USE bool json_borrow_text(const struct json *doc, const char *path, const char **out,
                               struct err *err);
MUST_USE bool json_int_at(const struct json *doc, const char *path, int64_t *out, struct err *err);

/** The parsed root, for the table reader of this room; lent until json_free. */
const struct json_t *json_borrow_root(const struct json *doc);
