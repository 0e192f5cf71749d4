// rooms: common/json
/* The reader takes any bytes: a struct, or INVALID with a clean message. What was read as a
 * document can be searched, and text from it written and read back is the same. */
#include "common/json/doc.h"
#include "common/json/json.h"
#include "common/json/out.h"
#include "common/json/scan.h"

#include "common/base/own.h"
#include "common/base/text.h"

#include <assert.h>
#include <stdlib.h>

#define MAX_BYTES ((size_t)65536)

struct inner {
    char name[8];
    int64_t count;
};
struct shape {
    char name[16];
    int64_t number;
    bool flag, has_inner;
    uint8_t id[4];
    struct inner inner, items[3];
    size_t item_count;
};
static const struct json_field inner_rows[] = {
    JSON_TEXT_ROW(struct inner, "name", name, JSON_REQUIRED, 1),
    JSON_INT_ROW(struct inner, "count", count, JSON_NULL_OK, -5, 5),
};
static const struct json_table inner_table = JSON_TABLE(inner_rows);
static const struct json_field rows[] = {
    JSON_TEXT_ROW(struct shape, "name", name, 0, 0),
    JSON_INT_ROW(struct shape, "number", number, 0, INT64_MIN, INT64_MAX),
    JSON_BOOL_ROW(struct shape, "flag", flag, 0),
    JSON_HEX_ROW(struct shape, "id", id, 0),
    JSON_OBJECT_ROW(struct shape, "inner", inner, 0, &inner_table, has_inner),
    JSON_LIST_ROW(struct shape, "items", items, 0, &inner_table, item_count),
};
static const struct json_table table = JSON_TABLE(rows);

static void read_by_table(struct view text)
{
    struct shape *shape = calloc(1, sizeof(*shape)); /* of its own, so that overruns show */
    struct err err = { 0 };
    assert(shape != NULL);
    if (!json_read(text, "input", MAX_BYTES, &table, shape, &err)) {
        assert(err.kind == ERR_INVALID);
        assert(utf8_is_valid(view_str(err.msg)));
    }
    assert(shape->item_count <= 3);
    free(shape);
}

static void read_as_document(struct view text)
{
    struct json *doc = NULL;
    struct err err = { 0 };
    if (!json_parse(text, "input", MAX_BYTES, &doc, &err))
        return;
    static const char *const paths[] = { "", "[0]", "a", "name", "a.b[1]", "items[0].name" };
    for (size_t i = 0; i < COUNT(paths); i++) {
        const char *value;
        struct err ignored = { 0 };
        struct buf out = { 0 };
        struct json *again = NULL;
        if (json_borrow_text(doc, paths[i], &value, &ignored)) {
            struct json_out o = json_out_to(&out);
            json_out_list(&o, NULL);
            json_out_text(&o, NULL, value);
            json_out_close(&o);
            const char *back = NULL;
            assert(json_parse(buf_view(&out), "again", 8 * MAX_BYTES, &again, &ignored));
            assert(json_borrow_text(again, "[0]", &back, &ignored) && strcmp(back, value) == 0);
        }
        json_free(again);
        buf_fini(&out);
    }
    json_free(doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[SCAN_PATH_BYTES];
    struct view text = view_of(data, size);
    read_by_table(text);
    read_as_document(text);
    scan_path(text, size / 2, path);
    scan_path(text, size, path);
    assert(strlen(path) < sizeof(path));
    return 0;
}
