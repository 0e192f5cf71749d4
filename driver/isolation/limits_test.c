#include "driver/isolation/limits.h"

#include <criterion/criterion.h>
#include <sys/resource.h>

#include "common/base/own.h"

Test(limits, are_read_in_every_form)
{
    static const struct {
        const char *name, *value;
        struct isolation_limit want;
    } rows[] = {
        { "nofile", "1024", { RLIMIT_NOFILE, 1024, 1024 } },
        { "nproc", "10:20", { RLIMIT_NPROC, 10, 20 } },
        { "core", "unlimited", { RLIMIT_CORE, RLIM_INFINITY, RLIM_INFINITY } },
        { "stack", "0:unlimited", { RLIMIT_STACK, 0, RLIM_INFINITY } },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = { 0 };
        struct isolation_limit got = { 0 };
        cr_assert(
            isolation_limit_parse(view_str(rows[i].name), view_str(rows[i].value), &got, &err),
            "%s", err.msg);
        cr_expect_eq(got.number, rows[i].want.number);
        cr_expect_eq(got.soft, rows[i].want.soft);
        cr_expect_eq(got.hard, rows[i].want.hard);
        cr_expect_str_eq(isolation_limit_name(got.number), rows[i].name);
    }
    cr_expect_str_eq(isolation_limit_name(200), "limit");
}

Test(limits, of_another_form_are_refused)
{
    static const char *const rows[][2] = { { "files", "1" },     { "nofile", "" },
                                           { "nofile", "1:" },   { "nofile", "-1" },
                                           { "nofile", "2:1" },  { "nofile", "1:2:3" },
                                           { "nofile", "1 KB" }, { "", "1" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = { 0 };
        struct isolation_limit got = { 0 };
        cr_expect_not(isolation_limit_parse(view_str(rows[i][0]), view_str(rows[i][1]), &got, &err),
                      "%s=%s", rows[i][0], rows[i][1]);
        cr_expect_eq(err.kind, ERR_INVALID);
    }
}
