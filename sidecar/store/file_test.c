#include "sidecar/store/file.h"

#include "sidecar/store/disk_test.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <sys/mount.h>

/* The contract suite is in tests/contract/file_test.c; here is what only directories can get wrong.
 */

static bool note_name(void *arg, const char *name, struct err *err)
{
    (void)err;
    buf_put_fmt(arg, "%s;", name);
    return true;
}

static void expect_names(struct store *store, const char *names)
{
    CLEANUP(buf_fini) struct buf seen = { 0 };
    struct err err = { 0 };
    cr_assert(store_list_names(store, soon(), note_name, &seen, &err), "%s", err.msg);
    cr_assert_str_eq(buf_borrow_str(&seen), names);
}

Test(file, foreign_entries_are_not_agents)
{
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    static const char *const dirs[] = { "agents/lost+found/x", "agents/%zz", "agents/.hidden",
                                        "agents/empty", "agents/half+/empty" };
    for (size_t i = 0; i < COUNT(dirs); i++) {
        CLEANUP(str_freep) char *path = str_format("%s/%s", d.root, dirs[i]);
        cr_assert(dir_make(path, 0700, &err), "%s", err.msg);
    }
    disk_write(&d, "agents/file", "x");
    expect_names(store, "a;");
}

Test(file, directories_that_go_too_deep_are_left_out)
{
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(buf_fini) struct buf deep = { 0 };
    buf_put_fmt(&deep, "%s/agents", d.root);
    for (int i = 0; i < 60; i++)
        buf_put_str(&deep, "/x+");
    buf_put_str(&deep, "/y");
    cr_assert(dir_make(buf_borrow_str(&deep), 0700, &err), "%s", err.msg);
    expect_names(store, "a;");
}

Test(file, store_made_by_one_handle_is_open_to_others)
{
    DISK(d);
    struct store_version version, again;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *first = disk_store(&d, &version);
    CLEANUP(store_closep) struct store *second = disk_open(&d, "?network=true");
    cr_assert_neq(first, second);
    cr_assert(store_read(second, "a", soon(), &bytes, &again, &err), "%s", err.msg);
    cr_assert(store_version_is_equal(&version, &again));
    cr_assert(store_watch(second, "a", &again, deadline_after(boot_now(), 10, 0), &err));
}

Test(file, everything_is_private_to_its_owner)
{
    static const char *const paths[] = { "",         FILE_MARKER,       "agents",
                                         "agents/a", "agents/a/record", "agents/a/lock" };
    DISK(d);
    struct store_version version;
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    cr_assert_not_null(store);
    for (size_t i = 0; i < COUNT(paths); i++) {
        CLEANUP(str_freep) char *path = str_format("%s/%s", d.root, paths[i]);
        struct stat st;
        cr_assert_eq(stat(path, &st), 0);
        cr_assert_eq(st.st_mode & 077, 0, "%s", path);
    }
}

Test(file, probe_of_a_read_only_store_is_denied)
{
    DISK(d);
    struct err err = { 0 };
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        cr_skip_test("mounts need root");
    cr_assert(mkdir(d.root, 0700) == 0 && mount("none", d.root, "tmpfs", 0, NULL) == 0);
    CLEANUP(store_closep) struct store *store = disk_open(&d, "?create=true");
    cr_assert(store_probe(store, soon(), &err), "%s", err.msg);
    cr_assert_eq(mount(NULL, d.root, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
    expect_kind(store_probe(store, soon(), &err), &err, ERR_DENIED);
    cr_assert_eq(err.os_errno, EROFS);
    cr_assert_eq(umount(d.root), 0);
    expect_kind(store_probe(store, soon(), &err), &err, ERR_UNAVAILABLE);
}
