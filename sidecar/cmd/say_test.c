#include "sidecar/cmd/say.h"

#include "common/base/own.h"
#include "common/json/out.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

Test(say, sizes_have_one_place_and_the_nearest_unit)
{
    char text[SAY_SIZE_BYTES];
    say_size(0, text);
    cr_assert_str_eq(text, "0 B");
    say_size(1023, text);
    cr_assert_str_eq(text, "1023 B");
    say_size(1536, text);
    cr_assert_str_eq(text, "1.5 KiB");
    say_size((uint64_t)134 << 20, text);
    cr_assert_str_eq(text, "134.0 MiB");
    say_size(UINT64_MAX, text);
    cr_assert_not_null(strstr(text, "EiB"));
}

Test(say, time_is_utc)
{
    char text[SAY_TIME_BYTES];
    say_time(1764074359123, text);
    cr_assert_str_eq(text, "2025-11-25 12:39:19");
    say_time(0, text);
    cr_assert_str_eq(text, "1970-01-01 00:00:00");
}

Test(say, manifest_names_its_parent_only_if_there_is_one)
{
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct json_out json = json_out_to(&out);
    struct manifest m = { .id = { 2, { 1 } }, .cut = CUT_FUZZY, .epoch = 7 };
    json_out_object(&json, NULL);
    say_manifest(&json, &m);
    json_out_close(&json);
    const char *text = buf_borrow_str(&out);
    cr_assert_not_null(strstr(text, "\"parent\":null"));
    cr_assert_not_null(strstr(text, "\"cut\":\"fuzzy\""));
    cr_assert_not_null(strstr(text, "\"epoch\":7"));
}

Test(say, closed_stdout_is_an_error)
{
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct err err;
    buf_put_str(&out, "x");
    close(1);
    cr_assert_not(say(&out, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
}
