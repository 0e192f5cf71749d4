#include "common/json/doc.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

#define TEXT                                                                                 \
    "{\"tasks\":[{\"name\":\"a\",\"pid\":7},{\"name\":\"b\",\"up\":true,\"tags\":[1,2,3]}]," \
    "\"none\":null,\"a.b\":1}"

static struct json *parse(const char *text)
{
    struct json *doc = NULL;
    struct err err = { 0 };
    cr_assert(json_parse(view_str(text), "it", 4096, &doc, &err), "%s", err.msg);
    return doc;
}

Test(doc, values_are_found_by_path)
{
    CLEANUP(json_freep) struct json *doc = parse(TEXT);
    const char *text;
    int64_t number;
    struct err err = { 0 };
    cr_assert(json_borrow_text(doc, "tasks[1].name", &text, &err), "%s", err.msg);
    cr_assert_str_eq(text, "b");
    cr_assert(json_int_at(doc, "tasks[0].pid", &number, &err), "%s", err.msg);
    cr_assert_eq(number, 7);
    cr_assert(json_int_at(doc, "tasks[1].tags[2]", &number, &err), "%s", err.msg);
    cr_assert_eq(number, 3);
}

Test(doc, path_that_leads_nowhere_is_not_found)
{
    static const char *const paths[] = { "x",        "tasks[2]",  "tasks.name", "tasks[0",
                                         "tasks[x]", "tasks[0].", "none.x",     "." };
    CLEANUP(json_freep) struct json *doc = parse(TEXT);
    for (size_t i = 0; i < COUNT(paths); i++) {
        const char *text;
        struct err err = { 0 };
        cr_assert_not(json_borrow_text(doc, paths[i], &text, &err), "%s", paths[i]);
        cr_assert_eq(err.kind, ERR_NOT_FOUND, "%s: %s", paths[i], err.msg);
    }
}

Test(doc, value_of_another_type_is_invalid)
{
    CLEANUP(json_freep) struct json *doc = parse(TEXT);
    const char *text;
    int64_t number;
    struct err err = { 0 };
    cr_assert_not(json_borrow_text(doc, "tasks[0].pid", &text, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not(json_int_at(doc, "tasks[0].name", &number, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not(json_int_at(doc, "none", &number, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(doc, root_may_be_a_list_and_is_as_strict)
{
    CLEANUP(json_freep) struct json *doc = parse("[1]");
    struct json *none = NULL;
    struct err err = { 0 };
    int64_t number;
    cr_assert(json_int_at(doc, "[0]", &number, &err), "%s", err.msg);
    cr_assert_not(json_parse(view_str("[{\"a\":1,\"a\":2}]"), "it", 4096, &none, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, "[0].a"), "%s", err.msg);
    json_free(NULL);
}
