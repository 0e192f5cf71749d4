/* disk_test.h - a directory for the tests of the file backend, and calls that must go one way. */
#pragma once
#include "common/base/file.h"
#include "common/base/own.h"
#include "sidecar/store/file_root.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

struct disk {
    char dir[64], root[96];
};

static inline struct disk disk_new(void)
{
    struct disk d = { .dir = "/tmp/store-file-XXXXXX" };
    cr_assert_not_null(mkdtemp(d.dir));
    (void)snprintf(d.root, sizeof(d.root), "%s/store", d.dir);
    return d;
}

static inline void disk_fini(struct disk *d)
{
    struct err err = { 0 };
    cr_assert(dir_remove_tree(d->dir, &err), "%s", err.msg);
}
#define DISK(d) CLEANUP(disk_fini) struct disk d = disk_new()

static inline struct store *disk_open(const struct disk *d, const char *params)
{
    CLEANUP(str_freep) char *url = str_format("file://%s%s", d->root, params);
    struct store *store = NULL;
    struct err err = { 0 };
    cr_assert(store_open(url, NULL, &store, &err), "%s", err.msg);
    return store;
}

static inline struct deadline soon(void) { return deadline_after(boot_now(), 10000, 0); }

/* A made store with the record "one" of agent "a". */
static inline struct store *disk_store(const struct disk *d, struct store_version *version)
{
    struct store *store = disk_open(d, "?create=true");
    struct err err = { 0 };
    cr_assert(store_create(store, "a", view_str("one"), soon(), version, &err), "%s", err.msg);
    return store;
}

static inline void expect_kind(bool good, const struct err *err, enum err_kind kind)
{
    cr_assert_not(good);
    cr_assert_eq(err->kind, kind, "%s: %s", err_kind_name(err->kind), err->msg);
}

static inline void disk_write(const struct disk *d, const char *below, const char *text)
{
    CLEANUP(str_freep) char *path = str_format("%s/%s", d->root, below);
    struct err err = { 0 };
    cr_assert(file_publish(AT_FDCWD, path, view_str(text), 0600, FILE_REPLACE, &err), "%s",
              err.msg);
}

static inline bool disk_has(const struct disk *d, const char *below)
{
    CLEANUP(str_freep) char *path = str_format("%s/%s", d->root, below);
    struct stat st;
    return lstat(path, &st) == 0;
}
