/* compare_test.h - for the tests of this room: two directory trees are the same, or the test fails.
 *
 * Type, mode, owner, time, size, links, content and attributes of every entry. */
#pragma once
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/own.h"

static inline int fixture_open_at(int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    cr_assert_geq(fd, 0, "open %s: %s", name, strerror(errno));
    return fd;
}

static inline void fixture_same_bytes(int a, int b, const char *name)
{
    static uint8_t left[65536], right[65536];
    struct err err = { 0 };
    size_t got_a = 0, got_b = 0;
    do {
        cr_assert(fd_read_full(a, left, sizeof(left), &got_a, &err), "%s", err.msg);
        cr_assert(fd_read_full(b, right, sizeof(right), &got_b, &err), "%s", err.msg);
        cr_assert_eq(got_a, got_b, "%s", name);
        cr_assert_eq(memcmp(left, right, got_a), 0, "content of %s", name);
    } while (got_a > 0);
}

static inline void fixture_same_xattrs(int a, int b, const char *name)
{
    char left[4096], right[4096], value_a[4096], value_b[4096];
    ssize_t len_a = flistxattr(a, left, sizeof(left)), len_b = flistxattr(b, right, sizeof(right));
    cr_assert_eq(len_a, len_b, "attributes of %s", name);
    for (const char *at = left; at < left + (len_a > 0 ? len_a : 0); at += strlen(at) + 1) {
        ssize_t size_a = fgetxattr(a, at, value_a, sizeof(value_a));
        cr_assert_eq(size_a, fgetxattr(b, at, value_b, sizeof(value_b)), "%s of %s", at, name);
        cr_assert(size_a < 0 || memcmp(value_a, value_b, (size_t)size_a) == 0);
    }
}

static inline size_t fixture_count(int dir)
{
    DIR *d = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    size_t count = 0;
    while (readdir(d) != NULL)
        count++;
    (void)closedir(d);
    return count - 2;
}

static inline void fixture_same_dir(int a, int b);

/* Type, mode, owner, time, size, links, content, attributes. */
static inline void fixture_same_entry(int a, int b, const char *name)
{
    struct stat x, y;
    cr_assert_eq(fstatat(a, name, &x, AT_SYMLINK_NOFOLLOW), 0, "%s", name);
    cr_assert_eq(fstatat(b, name, &y, AT_SYMLINK_NOFOLLOW), 0, "%s is missing", name);
    cr_assert_eq(x.st_mode, y.st_mode, "mode of %s: %o %o", name, x.st_mode, y.st_mode);
    cr_assert(x.st_uid == y.st_uid && x.st_gid == y.st_gid, "owner of %s", name);
    cr_assert(x.st_mtim.tv_sec == y.st_mtim.tv_sec && x.st_mtim.tv_nsec == y.st_mtim.tv_nsec,
              "time of %s", name);
    if (S_ISLNK(x.st_mode)) {
        char left[4096] = "", right[4096] = "";
        cr_assert_gt(readlinkat(a, name, left, sizeof(left) - 1), 0);
        cr_assert_gt(readlinkat(b, name, right, sizeof(right) - 1), 0);
        cr_assert_str_eq(left, right);
        return;
    }
    if (geteuid() != 0 && (x.st_mode & 0400) == 0)
        return; /* the test itself may not look */
    CLEANUP(fd_closep) struct fd left = { fixture_open_at(a, name) };
    CLEANUP(fd_closep) struct fd right = { fixture_open_at(b, name) };
    fixture_same_xattrs(left.raw, right.raw, name);
    if (S_ISDIR(x.st_mode)) {
        fixture_same_dir(left.raw, right.raw);
        return;
    }
    cr_assert_eq(x.st_size, y.st_size, "size of %s", name);
    cr_assert_eq(x.st_nlink, y.st_nlink, "names of %s", name);
    fixture_same_bytes(left.raw, right.raw, name);
}

static inline void fixture_same_dir(int a, int b)
{
    cr_assert_eq(fixture_count(a), fixture_count(b), "number of entries");
    DIR *d = fdopendir(openat(a, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (struct dirent *at = readdir(d); at != NULL; at = readdir(d))
        if (strcmp(at->d_name, ".") != 0 && strcmp(at->d_name, "..") != 0)
            fixture_same_entry(a, b, at->d_name);
    (void)closedir(d);
}

/* Both trees, root included, are the same. */
static inline void fixture_same(const char *a, const char *b)
{
    CLEANUP(fd_closep) struct fd left = { open(a, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    CLEANUP(fd_closep) struct fd right = { open(b, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    cr_assert_geq(left.raw, 0, "%s", a);
    cr_assert_geq(right.raw, 0, "%s", b);
    struct stat x, y;
    cr_assert_eq(fstat(left.raw, &x), 0);
    cr_assert_eq(fstat(right.raw, &y), 0);
    cr_assert_eq(x.st_mode, y.st_mode);
    cr_assert(x.st_mtim.tv_sec == y.st_mtim.tv_sec && x.st_mtim.tv_nsec == y.st_mtim.tv_nsec,
              "time of the root");
    fixture_same_dir(left.raw, right.raw);
}
