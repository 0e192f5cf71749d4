#include "common/base/file.h"

#include "common/base/own.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];

static void setup(void)
{
    strncat(dir, "/tmp/file-test-XXXXXX", sizeof(dir) - 1);
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
}

static void teardown(void)
{
    struct err err = { 0 };
    cr_assert(dir_remove_tree(dir, &err), "%s", err.msg);
}

TestSuite(file, .init = setup, .fini = teardown);

static int entries(void)
{
    int count = 0;
    DIR *d = opendir(dir);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count - 2;
}

Test(file, published_bytes_are_read_back_with_their_mode)
{
    struct err err = { 0 };
    struct buf got = { 0 };
    cr_assert(file_publish(AT_FDCWD, "a", view_str("one"), 0640, FILE_REPLACE, &err));
    cr_assert(file_publish(AT_FDCWD, "a", view_str("two"), 0600, FILE_REPLACE, &err));
    cr_assert(file_read(AT_FDCWD, "a", 100, &got, &err));
    cr_assert(view_is_equal(buf_view(&got), view_str("two")));
    struct stat st;
    cr_assert_eq(stat("a", &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert_eq(entries(), 1);
    buf_fini(&got);
}

Test(file, exclusive_refuses_an_existing_name_and_leaves_no_temporary)
{
    struct err err = { 0 };
    cr_assert(file_publish(AT_FDCWD, "a", view_str("1"), 0600, FILE_EXCLUSIVE, &err));
    cr_assert_not(file_publish(AT_FDCWD, "a", view_str("2"), 0600, FILE_EXCLUSIVE, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    cr_assert_eq(entries(), 1);
}

Test(file, absent_is_not_found_and_too_large_is_corrupt)
{
    struct err err = { 0 };
    struct buf got = { 0 };
    cr_assert_not(file_read(AT_FDCWD, "none", 10, &got, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert(file_publish(AT_FDCWD, "a", view_str("12345678901"), 0600, FILE_REPLACE, &err));
    cr_assert_not(file_read(AT_FDCWD, "a", 10, &got, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    buf_fini(&got);
}

Test(file, a_fifo_or_a_link_is_refused_and_never_blocks)
{
    struct err err = { 0 };
    struct buf got = { 0 };
    cr_assert_eq(mkfifo("fifo", 0600), 0);
    cr_assert_not(file_read(AT_FDCWD, "fifo", 10, &got, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_eq(symlink("/etc/passwd", "link"), 0);
    cr_assert_not(file_read(AT_FDCWD, "link", 10000, &got, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    buf_fini(&got);
}

Test(file, a_directory_that_is_gone_is_named)
{
    struct err err = { 0 };
    cr_assert_not(file_publish(AT_FDCWD, "no/a", view_str("1"), 0600, FILE_REPLACE, &err));
    cr_assert_eq(err.os_errno, ENOENT);
}

Test(file, trees_are_made_and_removed_without_following_links)
{
    struct err err = { 0 };
    cr_assert(dir_make("t/a/b", 0755, &err));
    cr_assert(dir_make("keep", 0755, &err));
    cr_assert(file_publish(AT_FDCWD, "keep/x", view_str("1"), 0600, FILE_REPLACE, &err));
    cr_assert_eq(symlink("../keep", "t/link"), 0);
    cr_assert_eq(chmod("t/a", 0), 0);
    cr_assert(dir_remove_tree("t", &err), "%s", err.msg);
    cr_assert(dir_remove_tree("t", &err), "%s", err.msg);
    struct buf got = { 0 };
    cr_assert(file_read(AT_FDCWD, "keep/x", 10, &got, &err));
    buf_fini(&got);
}

Test(file, a_file_in_the_way_of_a_directory_is_said)
{
    struct err err = { 0 };
    cr_assert(file_publish(AT_FDCWD, "f", view_str("1"), 0600, FILE_REPLACE, &err));
    cr_assert_not(dir_make("f", 0755, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}
