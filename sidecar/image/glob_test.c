#include "sidecar/image/glob.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

Test(glob, patterns_match_what_people_expect)
{
    static const struct {
        const char *pattern, *path;
        bool is_match;
    } rows[] = {
        { "*.tmp", "a.tmp", true },
        { "*.tmp", "d/e/a.tmp", true },
        { "*.tmp", "a.tmp/b", false },
        { "*.tmp", "a.tmpx", false },
        { "*.tmp", ".tmp", true },
        { "cache/**", "cache", false },
        { "cache/**", "cache/a", true },
        { "cache/**", "cache/a/b/c", true },
        { "cache/**", "x/cache/a", false },
        { "**/cache/**", "x/cache/a", true },
        { "a/*/c", "a/b/c", true },
        { "a/*/c", "a/b/b/c", false },
        { "a/**/c", "a/b/b/c", true },
        { "?.txt", "a.txt", true },
        { "?.txt", "ab.txt", false },
        { "a?b/c", "a/b/c", false },
        { "*", "anything", true },
        { "*", "a/b", true },
        { "a*b*c", "aXbXbXc", true },
        { "a*b*c", "aXbXbX", false },
        { "**", "a/b", true },
        { "node_modules", "x/node_modules", true },
        { "node_modules", "x/node_modules/y", false },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        cr_assert_eq(glob_is_match(rows[i].pattern, view_str(rows[i].path)), rows[i].is_match,
                     "%s %s", rows[i].pattern, rows[i].path);
}

Test(glob, names_are_bytes)
{
    cr_assert(glob_is_match("a?c", view_of("a\nc", 3)));
    cr_assert(glob_is_match("*\xff", view_of("\xfe\xff", 2)));
    cr_assert_not(glob_is_match("a", view_of(NULL, 0)));
}

Test(glob, hard_patterns_end_quickly)
{
    CLEANUP(buf_fini) struct buf path = { 0 };
    char pattern[GLOB_PATTERN_MAX + 1] = "";
    for (size_t i = 0; i + 2 < GLOB_PATTERN_MAX; i += 2)
        memcpy(pattern + i, "*a", 3);
    for (int i = 0; i < 4000; i++)
        buf_put_str(&path, "a");
    buf_put_str(&path, "b");
    cr_assert_not(glob_is_match(pattern, buf_view(&path)));
}

Test(glob, patterns_that_mean_nothing_are_refused)
{
    static const char *const bad[] = { "", "/a", "a/", "a//b", "./a", "a/../b", ".." };
    struct err err = { 0 };
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_assert_not(glob_check(bad[i], &err), "%s", bad[i]);
        cr_assert_eq(err.kind, ERR_INVALID);
    }
    char longest[GLOB_PATTERN_MAX + 2];
    memset(longest, 'a', sizeof(longest));
    longest[GLOB_PATTERN_MAX + 1] = '\0';
    cr_assert_not(glob_check(longest, &err));
    longest[GLOB_PATTERN_MAX] = '\0';
    cr_assert(glob_check(longest, &err));
    cr_assert(glob_check("...", &err));
    cr_assert(glob_check("cache/**", &err));
}
