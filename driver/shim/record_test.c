#include "driver/shim/record.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/file.h"
#include "common/base/own.h"

static size_t entries(const char *dir)
{
    size_t count = 0;
    DIR *list = opendir(dir);
    for (const struct dirent *at = readdir(list); at != NULL; at = readdir(list))
        count += at->d_name[0] != '.' || strlen(at->d_name) > 2;
    (void)closedir(list);
    return count;
}

Test(record, is_whole_and_alone_in_its_directory)
{
    struct err err = { 0 };
    char dir[] = "/tmp/shim-record-XXXXXX", path[64];
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/exit", dir);
    struct shim_record where;
    struct exit_record rec = { .cause = EXIT_EXITED, .exit_code = 7 }, got;
    cr_assert(shim_record_open(&where, path, &err), "%s", err.msg);
    cr_assert(shim_record_publish(&where, &rec, &err), "%s", err.msg);
    rec.exit_code = 8; /* of a second run in the same place */
    cr_assert(shim_record_publish(&where, &rec, &err), "%s", err.msg);
    cr_expect_eq(entries(dir), 1);
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert(file_read(AT_FDCWD, path, EXIT_RECORD_BYTES, &bytes, &err), "%s", err.msg);
    cr_assert(exit_record_decode(buf_view(&bytes), &got, &err), "%s", err.msg);
    cr_expect_eq(got.exit_code, 8);
    shim_record_fini(&where);
    cr_assert(dir_remove_tree(dir, &err));
}

Test(record, lands_where_it_was_meant_to_after_a_move)
{
    struct err err = { 0 };
    char dir[] = "/tmp/shim-record-XXXXXX", path[64], moved[64];
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/exit", dir);
    (void)snprintf(moved, sizeof(moved), "%s.moved", dir);
    struct shim_record where;
    struct exit_record rec = { .cause = EXIT_EXITED };
    cr_assert(shim_record_open(&where, path, &err));
    cr_assert_eq(rename(dir, moved), 0);
    cr_assert(shim_record_publish(&where, &rec, &err));
    cr_expect_eq(entries(moved), 1);
    shim_record_fini(&where);
    cr_assert(dir_remove_tree(moved, &err));
}

Test(record, that_is_not_wanted_is_not_found)
{
    struct err err = { 0 };
    struct shim_record where;
    struct exit_record rec = { .cause = EXIT_EXITED };
    cr_assert(shim_record_open(&where, "", &err));
    cr_assert_not(shim_record_publish(&where, &rec, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    shim_record_fini(&where);
}

Test(record, without_its_directory_or_a_name_is_refused)
{
    struct err err = { 0 };
    struct shim_record where;
    cr_assert_not(shim_record_open(&where, "/does/not/exist/exit", &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    char path[400] = "/tmp/";
    memset(path + 5, 'x', sizeof(path) - 6);
    path[sizeof(path) - 1] = '\0';
    cr_assert_not(shim_record_open(&where, path, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not(shim_record_open(&where, "/tmp/", &err));
}

Test(record, that_cannot_be_renamed_leaves_no_temporary)
{
    struct err err = { 0 };
    char dir[] = "/tmp/shim-record-XXXXXX", path[64];
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/exit", dir);
    cr_assert_eq(mkdir(path, 0700), 0); /* in the way */
    struct shim_record where;
    struct exit_record rec = { .cause = EXIT_EXITED };
    cr_assert(shim_record_open(&where, path, &err));
    cr_assert_not(shim_record_publish(&where, &rec, &err));
    cr_expect_eq(err.kind, ERR_SYSTEM);
    cr_expect_eq(entries(dir), 1);
    shim_record_fini(&where);
    cr_assert(dir_remove_tree(dir, &err));
}
