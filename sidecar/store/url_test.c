#include "sidecar/store/url.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

static struct store_url good(const char *text)
{
    struct store_url url;
    struct err err = { 0 };
    cr_assert(store_url_parse(text, &url, &err), "%s: %s", text, err.msg);
    return url;
}

Test(url, parts_are_taken_apart_and_decoded)
{
    struct store_url url = good("FILE:///srv/a%20b/%c3%a9?create=true&network=false&x=%26");
    cr_assert_str_eq(url.scheme, "file");
    cr_assert_str_eq(url.place, "/srv/a b/\xc3\xa9");
    cr_assert_eq(url.param_count, 3);
    cr_assert_str_eq(url.params[0].key, "create");
    cr_assert_str_eq(url.params[2].value, "&");
    cr_assert_str_eq(good("mem:").place, "");
    cr_assert_str_eq(good("s3://bucket/prefix").place, "bucket/prefix");
}

Test(url, what_is_malformed_is_invalid)
{
    CLEANUP(buf_fini) struct buf longest = { 0 };
    buf_put_str(&longest, "file:///");
    while (longest.len < STORE_URL_MAX)
        buf_put_u8(&longest, 'a');
    const char *const texts[] = {
        "",
        "/srv/agents",
        ":///x",
        "averyveryverylongscheme://x",
        "file:///a%",
        "file:///a%2",
        "file:///a%zz",
        "file:///a%00b",
        "file:///a?create",
        "file:///a?a=1&a=2",
        "file:///a?a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1",
        "file:///\xff",
        buf_borrow_str(&longest),
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct store_url url;
        struct err err = { 0 };
        cr_assert_not(store_url_parse(texts[i], &url, &err), "%s", texts[i]);
        cr_assert_eq(err.kind, ERR_INVALID);
    }
}

Test(url, unknown_parameter_is_not_ignored)
{
    struct err err = { 0 };
    struct store_url url = good("file:///a?creat=true");
    cr_assert_not(store_url_check(&url, (const char *const[]){ "create", NULL }, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, "creat"));
    url = good("file:///a?create=true");
    cr_assert(store_url_check(&url, (const char *const[]){ "create", NULL }, &err));
}

Test(url, flags_are_true_or_false)
{
    bool flag = true;
    struct err err = { 0 };
    struct store_url url = good("file:///a?yes=true&no=false&odd=1");
    cr_assert(store_url_flag(&url, "absent", &flag, &err));
    cr_assert_not(flag);
    cr_assert(store_url_flag(&url, "yes", &flag, &err));
    cr_assert(flag);
    cr_assert(store_url_flag(&url, "no", &flag, &err));
    cr_assert_not(flag);
    cr_assert_not(store_url_flag(&url, "odd", &flag, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(url, value_of_a_parameter_is_lent)
{
    struct store_url url = good("file:///a?id=0a%30");
    cr_assert_str_eq(store_url_value(&url, "id"), "0a0");
    cr_assert_null(store_url_value(&url, "create"));
}
