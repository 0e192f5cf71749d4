#include "sidecar/store/name.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

/* Encodes, checks every part, decodes part by part, compares. */
static void survives(const char *name)
{
    char path[NAME_PATH_BYTES];
    CLEANUP(buf_fini) struct buf back = { 0 };
    struct err err = { 0 };
    cr_assert(store_name_check(name, &err), "%s", err.msg);
    name_encode(name, path);
    bool more = true;
    for (char *at = path; more;) {
        size_t len = strcspn(at, "/");
        CLEANUP(str_freep) char *part = str_copy_n(at, len);
        cr_assert(len > 0 && len <= NAME_PART_BYTES + 1, "%s", part);
        cr_assert_eq(strspn(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789_%+-"),
                     len);
        cr_assert(name_decode_part(part, &back, &more, &err), "%s", err.msg);
        cr_assert_eq(more, at[len] == '/');
        at += len + 1;
    }
    cr_assert_str_eq(buf_borrow_str(&back), name);
}

Test(name, every_name_survives)
{
    static const char *const names[] = { "a",  "a/b/c",    "a%2Fb", "a+", "A b.c", "...",
                                         "-x", "\xc3\xa9", "~",     "%",  "+",     "tmp" };
    for (size_t i = 0; i < COUNT(names); i++)
        survives(names[i]);
    char name[STORE_NAME_MAX + 1];
    for (size_t len = 190; len <= STORE_NAME_MAX; len++) {
        memset(name, len % 2 != 0 ? 'a' : '~', len);
        name[len / 3] = '.';
        name[len] = '\0';
        survives(name);
    }
}

Test(name, different_names_have_different_directories)
{
    static const char *const pairs[][2] = {
        { "a/b", "a%2Fb" }, { "a+", "a" }, { "a.b", "a%2Eb" }, { "A", "a" }, { "a b", "a+b" }
    };
    for (size_t i = 0; i < COUNT(pairs); i++) {
        char one[NAME_PATH_BYTES], two[NAME_PATH_BYTES];
        name_encode(pairs[i][0], one);
        name_encode(pairs[i][1], two);
        cr_assert_str_neq(one, two);
    }
}

Test(name, foreign_directories_are_corrupt)
{
    static const char *const parts[] = { "",    "+",   "a.b", "a b", "%",   "%2",
                                         "%2f", "%41", "a+b", "%G0", "a++", "lost+found" };
    for (size_t i = 0; i < COUNT(parts); i++) {
        CLEANUP(buf_fini) struct buf out = { 0 };
        struct err err = { 0 };
        bool more;
        cr_assert_not(name_decode_part(parts[i], &out, &more, &err), "%s", parts[i]);
        cr_assert_eq(err.kind, ERR_CORRUPT);
    }
}

Test(name, pack_names_are_plain)
{
    static const char *const bad[] = { "", ".", "..", ".hidden", "a/b", "a b", "\xff", "a\n" };
    char longest[STORE_PACK_MAX + 2];
    struct err err = { 0 };
    for (size_t i = 0; i < COUNT(bad); i++) {
        cr_assert_not(pack_name_check(bad[i], &err), "%s", bad[i]);
        cr_assert_eq(err.kind, ERR_INVALID);
    }
    memset(longest, 'x', sizeof(longest));
    longest[STORE_PACK_MAX + 1] = '\0';
    cr_assert_not(pack_name_check(longest, &err));
    longest[STORE_PACK_MAX] = '\0';
    cr_assert(pack_name_check(longest, &err));
    cr_assert(pack_name_check("0001-a.B_c", &err));
}
