#include "sidecar/store/file_root.h"

#include "common/base/refuse_test.h"
#include "sidecar/store/disk_test.h"

#include <criterion/criterion.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

static void probe_fails(const struct disk *d, const char *params, enum err_kind kind)
{
    CLEANUP(store_closep) struct store *store = disk_open(d, params);
    struct err err = { 0 };
    expect_kind(store_probe(store, soon(), &err), &err, kind);
    cr_assert_not_null(strstr(err.msg, d->root), "says which: %s", err.msg);
}

Test(file_root, missing_root_is_unavailable)
{
    DISK(d);
    probe_fails(&d, "", ERR_UNAVAILABLE);
}

Test(file_root, root_without_marker_is_unavailable)
{
    DISK(d);
    cr_assert_eq(mkdir(d.root, 0700), 0);
    probe_fails(&d, "", ERR_UNAVAILABLE);
    CLEANUP(store_closep) struct store *store = disk_open(&d, "");
    struct store_version version;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err err = { 0 };
    expect_kind(store_read(store, "a", soon(), &bytes, &version, &err), &err, ERR_UNAVAILABLE);
    expect_kind(store_create(store, "a", view_str("x"), soon(), &version, &err), &err,
                ERR_UNAVAILABLE);
    cr_assert_not(disk_has(&d, "agents"), "nothing was made");
}

Test(file_root, root_that_is_a_file_is_unavailable)
{
    DISK(d);
    struct err err = { 0 };
    cr_assert(file_publish(AT_FDCWD, d.root, view_str("x"), 0600, FILE_REPLACE, &err));
    probe_fails(&d, "", ERR_UNAVAILABLE);
    probe_fails(&d, "?create=true", ERR_UNAVAILABLE);
}

Test(file_root, create_makes_absent_and_empty_roots_only)
{
    DISK(d);
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *first = disk_open(&d, "?create=true");
    cr_assert(store_probe(first, soon(), &err), "%s", err.msg);
    cr_assert(disk_has(&d, FILE_MARKER));
    CLEANUP(store_closep) struct store *second = disk_open(&d, "");
    cr_assert(store_probe(second, soon(), &err), "%s", err.msg);
    cr_assert(dir_remove_tree(d.root, &err));
    cr_assert_eq(mkdir(d.root, 0700), 0);
    disk_write(&d, "lost+found", ""); /* of a fresh file system */
    CLEANUP(store_closep) struct store *third = disk_open(&d, "?create=true");
    cr_assert(store_probe(third, soon(), &err), "%s", err.msg);
    cr_assert(dir_remove_tree(d.root, &err));
    cr_assert_eq(mkdir(d.root, 0700), 0);
    disk_write(&d, "something", "");
    probe_fails(&d, "?create=true", ERR_UNAVAILABLE);
    cr_assert_not(disk_has(&d, FILE_MARKER));
}

/* "Empty" by names that begin with a dot, or a directory that lists with an error half-way: neither
 * is the proof that a new store needs. */
Test(file_root, hidden_files_are_content_and_leftovers_of_a_creator_are_not)
{
    DISK(d);
    struct err err = { 0 };
    cr_assert_eq(mkdir(d.root, 0700), 0);
    disk_write(&d, ".tmp-0123456789abcdef", "");
    disk_write(&d, ".snapshot", "");
    probe_fails(&d, "?create=true", ERR_UNAVAILABLE);
    cr_assert_not(disk_has(&d, FILE_MARKER));
    CLEANUP(str_freep) char *path = str_format("%s/.snapshot", d.root);
    cr_assert_eq(unlink(path), 0);
    CLEANUP(store_closep) struct store *store = disk_open(&d, "?create=true");
    cr_assert(store_probe(store, soon(), &err), "%s", err.msg);
}

static int probe_in_child(void *arg)
{
    struct err err = { 0 };
    struct store *store = disk_open(arg, "?create=true");
    return store_probe(store, soon(), &err) ? 0 : (int)err.kind;
}

Test(file_root, directory_that_does_not_list_is_not_empty)
{
    DISK(d);
    cr_assert_eq(mkdir(d.root, 0700), 0);
    disk_write(&d, "something", "");
    cr_assert_eq(refused(SYS_getdents64, EIO, probe_in_child, &d), ERR_UNAVAILABLE);
    cr_assert_not(disk_has(&d, FILE_MARKER));
}

Test(file_root, handle_that_saw_a_store_never_makes_another)
{
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    cr_assert(dir_remove_tree(d.root, &err));
    cr_assert_eq(mkdir(d.root, 0700), 0); /* as an unmount leaves it */
    expect_kind(store_probe(store, soon(), &err), &err, ERR_UNAVAILABLE);
    cr_assert_not(disk_has(&d, FILE_MARKER));
}

Test(file_root, swapped_root_is_unavailable)
{
    DISK(d);
    struct store_version version;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    cr_assert(dir_remove_tree(d.root, &err));
    CLEANUP(store_closep) struct store *other = disk_store(&d, &version);
    cr_assert_not_null(other);
    expect_kind(store_read(store, "a", soon(), &bytes, &version, &err), &err, ERR_UNAVAILABLE);
    cr_assert_not_null(strstr(err.msg, "another store"), "%s", err.msg);
}

Test(file_root, marker_that_is_not_ours_is_corrupt)
{
    static const char *const markers[] = {
        "",
        "x",
        "{\"agent_store\":2,\"id\":\"00000000000000000000000000000000\"}",
        "{\"agent_store\":1,\"id\":\"00\"}",
        "{\"agent_store\":1}",
    };
    DISK(d);
    cr_assert_eq(mkdir(d.root, 0700), 0);
    for (size_t i = 0; i < COUNT(markers); i++) {
        disk_write(&d, FILE_MARKER, markers[i]);
        probe_fails(&d, "", ERR_CORRUPT);
        probe_fails(&d, "?create=true", ERR_CORRUPT);
    }
}

Test(file_root, two_first_users_make_one_store)
{
    for (int round = 0; round < 20; round++) {
        DISK(d);
        int *good = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; i < 3; i++) {
            if (fork() != 0)
                continue;
            struct store *store = disk_open(&d, "?create=true");
            struct err err = { 0 };
            good[i] = store_probe(store, soon(), &err);
            _exit(0);
        }
        while (wait(NULL) > 0)
            continue;
        cr_assert(good[0] && good[1] && good[2]);
        munmap(good, 4096);
    }
}

Test(file_root, network_file_system_is_refused_unless_accepted)
{
    /* No such file system can be mounted in a test, so the check is asked about one that can be
     * told apart: /proc is none of them, and passes as far as the marker. */
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = NULL;
    cr_assert(store_open("file:///proc/self", NULL, &store, &err));
    expect_kind(store_probe(store, soon(), &err), &err, ERR_UNAVAILABLE);
    cr_assert_eq(file_network_name(0x6969) == NULL, false);
    cr_assert_str_eq(file_network_name(0x6969), "NFS");
    cr_assert_str_eq(file_network_name(0x65735546), "FUSE");
    cr_assert_str_eq(file_network_name(0xff534d42), "CIFS");
    cr_assert_null(file_network_name(0xef53));
    cr_assert_null(file_network_name(0x01021994)); /* tmpfs */
}

Test(file_root, directory_behind_a_symlink_is_refused)
{
    DISK(d);
    struct store_version version;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(str_freep) char *link = str_format("%s/agents/b", d.root);
    cr_assert_eq(symlink("a", link), 0);
    expect_kind(store_read(store, "b", soon(), &bytes, &version, &err), &err, ERR_UNAVAILABLE);
    expect_kind(store_create(store, "b", view_str("x"), soon(), &version, &err), &err,
                ERR_UNAVAILABLE);
}

static bool count_pack(void *arg, const struct pack_info *info, struct err *err)
{
    (void)info, (void)err;
    ++*(unsigned *)arg;
    return true;
}

/* Moved to another disk with a link left behind: what is not looked into is not empty. */
Test(file_root, agents_behind_a_symlink_are_not_absent)
{
    DISK(d);
    struct store_version version;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err err = { 0 };
    unsigned packs = 0;
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(str_freep) char *agents = str_format("%s/agents", d.root);
    CLEANUP(str_freep) char *moved = str_format("%s/moved", d.root);
    cr_assert(rename(agents, moved) == 0 && symlink("moved", agents) == 0);
    expect_kind(store_read(store, "a", soon(), &bytes, &version, &err), &err, ERR_UNAVAILABLE);
    expect_kind(store_pack_list(store, "a", soon(), count_pack, &packs, &err), &err,
                ERR_UNAVAILABLE);
}

static int create_in_child(void *arg)
{
    struct store_version version;
    struct err err = { 0 };
    return store_create(arg, "b", view_str("x"), soon(), &version, &err) ? 0 : (int)err.kind;
}

/* A directory whose maker was killed, or could not sync, is not durable because it is there. */
Test(file_root, directory_that_cannot_be_made_durable_is_taken_back_and_never_trusted)
{
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    cr_assert_eq(refused(SYS_fsync, EIO, create_in_child, store), ERR_UNAVAILABLE);
    cr_assert_not(disk_has(&d, "agents/b"), "taken back");
    CLEANUP(str_freep) char *left = str_format("%s/agents/b", d.root);
    cr_assert_eq(mkdir(left, 0700), 0);
    cr_assert_eq(refused(SYS_fsync, EIO, create_in_child, store), ERR_UNAVAILABLE);
    cr_assert(store_create(store, "b", view_str("x"), soon(), &version, &err), "%s", err.msg);
}

struct making {
    struct file_store *store;
    int root;
};

static int make_in_child(void *arg)
{
    struct making *m = arg;
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd dir = FD_NONE;
    bool good = file_dir_make(m->store, FILE_DIR_AGENT, m->root, "x/y", &dir, &err);
    return good ? 0 : (int)err.kind;
}

Test(file_root, handle_syncs_the_parents_of_a_directory_once)
{
    DISK(d);
    struct err err = { 0 };
    struct file_store store = { 0 };
    CLEANUP(fd_closep) struct fd dir = FD_NONE;
    CLEANUP(fd_closep) struct fd root = { open(d.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    struct making m = { &store, root.raw };
    CLEANUP(str_freep) char *made = str_format("%s/x/y", d.dir);
    CLEANUP(str_freep) char *away = str_format("%s/x/z", d.dir);
    cr_assert(dir_make(made, 0700, &err), "%s", err.msg);
    cr_assert_eq(refused(SYS_fsync, EIO, make_in_child, &m), ERR_UNAVAILABLE, "others' work");
    cr_assert(file_dir_make(&store, FILE_DIR_AGENT, root.raw, "x/y", &dir, &err), "%s", err.msg);
    cr_assert_eq(refused(SYS_fsync, EIO, make_in_child, &m), 0, "known to be durable");
    cr_assert(rename(made, away) == 0 && mkdir(made, 0700) == 0);
    cr_assert_eq(refused(SYS_fsync, EIO, make_in_child, &m), ERR_UNAVAILABLE, "another directory");
}

Test(file_root, lock_is_waited_for_until_the_deadline)
{
    DISK(d);
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd mine = { open(d.dir, O_RDONLY | O_CLOEXEC) };
    CLEANUP(fd_closep) struct fd other = { open(d.dir, O_RDONLY | O_CLOEXEC) };
    cr_assert_eq(flock(other.raw, LOCK_EX), 0);
    struct boot before = boot_now();
    expect_kind(file_lock(mine.raw, deadline_after(before, 50, 0), &err), &err, ERR_UNAVAILABLE);
    cr_assert_geq(boot_diff_ms(boot_now(), before), 49);
    fd_closep(&other);
    cr_assert(file_lock(mine.raw, soon(), &err), "%s", err.msg);
}

Test(file_root, errno_becomes_a_kind_by_table)
{
    static const struct {
        int os_errno;
        enum err_kind kind;
    } rows[] = { { ENOENT, ERR_NOT_FOUND },
                 { EACCES, ERR_DENIED },
                 { EROFS, ERR_DENIED },
                 { EIO, ERR_UNAVAILABLE },
                 { ESTALE, ERR_UNAVAILABLE } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = { 0 };
        cr_assert_not(file_failed(&err, rows[i].os_errno, ERR_UNAVAILABLE, "try"));
        cr_assert_eq(err.kind, rows[i].kind);
        cr_assert_eq(err.os_errno, rows[i].os_errno);
    }
}
