#include "sidecar/api/error.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

Test(error, comes_back_with_kind_and_message)
{
    for (enum err_kind kind = ERR_NONE + 1; kind < ERR_KIND_COUNT; kind++) {
        CLEANUP(buf_fini) struct buf json = { 0 };
        struct err said, heard = { 0 };
        err_set(&said, kind, "agent \"%s\": is gone", "a/b");
        error_put(&json, &said);
        cr_assert_not(error_take(buf_view(&json), 500, &heard));
        cr_assert_eq(heard.kind, kind);
        cr_assert_str_eq(heard.msg, said.msg);
        cr_assert_geq(error_status(kind), 400);
    }
}

Test(error, what_another_try_may_mend_is_503)
{
    for (enum err_kind kind = ERR_NONE + 1; kind < ERR_KIND_COUNT; kind++)
        cr_expect_eq(error_status(kind) == 503, kind == ERR_UNAVAILABLE || kind == ERR_SYSTEM, "%s",
                     err_kind_name(kind));
}

Test(error, anything_else_is_corrupt)
{
    static const char *const texts[] = { "", "{}", "nope", "{\"error\":{\"kind\":\"X\"}}",
                                         "{\"error\":{\"kind\":\"ODD\",\"message\":\"\"}}" };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct err err = { 0 };
        cr_assert_not(error_take(view_str(texts[i]), 502, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT, "%s", texts[i]);
    }
}
