#include "sidecar/checkpoint/restore.h"

#include "sidecar/checkpoint/fixture_test.h"

#include <grp.h>
#include <sys/mount.h>
#include <sys/wait.h>

static struct fixture f;
static void begin(void) { fixture_begin(&f); }
static void end(void) { fixture_end(&f); }
TestSuite(restore, .init = begin, .fini = end);

static struct restore_report report;

static void save_and_compare(void)
{
    struct err err = { 0 };
    (void)fixture_save(&f);
    cr_assert(fixture_restore_to(&f, f.head, f.out, &report, &err), "%s", err.msg);
    fixture_same(f.state, f.out);
}

static size_t entries_in(const char *path)
{
    CLEANUP(fd_closep) struct fd dir = { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    cr_assert_geq(dir.raw, 0);
    return fixture_count(dir.raw);
}

/* A random tree below `dir`: names of any bytes, all modes, links, holes, attributes. */
struct garden {
    uint64_t random;
    char last_file[256]; /* for hard links, relative to the state directory */
    unsigned left;
};

static void any_name(struct garden *g, char *out)
{
    static const char odd[] = "ab\n\xff\xc3.~ *?[\\'\"-\t\x01z";
    size_t len = 1 + fixture_random(&g->random) % 12;
    for (size_t i = 0; i < len; i++)
        out[i] = odd[fixture_random(&g->random) % (sizeof(odd) - 1)];
    (void)snprintf(out + len, 16, "%u", g->left);
}

static void plant_file(struct garden *g, int dir, const char *name)
{
    static uint8_t bytes[300000];
    struct err err = { 0 };
    CLEANUP(fd_closep)
    struct fd fd = { openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) };
    cr_assert_geq(fd.raw, 0);
    size_t len = fixture_random(&g->random) % 4 == 0 ? fixture_random(&g->random) % sizeof(bytes)
                                                     : fixture_random(&g->random) % 2000;
    fixture_noise(bytes, len, g->random);
    cr_assert(fd_write_all(fd.raw, bytes, len, &err));
    if (fixture_random(&g->random) % 5 == 0) { /* a hole in the middle or at the end */
        cr_assert_eq(lseek(fd.raw, (off_t)(fixture_random(&g->random) % 1000000), SEEK_END) < 0, 0);
        if (fixture_random(&g->random) % 2 == 0)
            cr_assert(fd_write_all(fd.raw, bytes, 100, &err));
        else
            cr_assert_eq(ftruncate(fd.raw, lseek(fd.raw, 0, SEEK_CUR)), 0);
    }
    if (fixture_random(&g->random) % 4 == 0)
        cr_assert_eq(fsetxattr(fd.raw, "user.note", bytes, len % 200, 0), 0);
    struct timespec times[2] = { { 0 },
                                 { (time_t)(fixture_random(&g->random) % 2000000000), 123456789 } };
    cr_assert_eq(futimens(fd.raw, times), 0);
    cr_assert_eq(fchmod(fd.raw, (mode_t)(fixture_random(&g->random) % 01000)), 0);
}

static void plant(struct garden *g, int dir, unsigned depth)
{
    while (g->left > 0) {
        char name[64];
        g->left--;
        any_name(g, name);
        switch (fixture_random(&g->random) % 8) {
        case 0:
        case 1: {
            if (depth == 5)
                return;
            cr_assert_eq(mkdirat(dir, name, 0700), 0);
            CLEANUP(fd_closep)
            struct fd sub = { openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
            plant(g, sub.raw, depth + 1);
            cr_assert_eq(fchmod(sub.raw, (mode_t)(fixture_random(&g->random) % 01000)), 0);
            break;
        }
        case 2:
            cr_assert_eq(symlinkat(name, dir, name), 0);
            break;
        case 3:
            return;
        default:
            plant_file(g, dir, name);
            if (fixture_random(&g->random) % 6 == 0) {
                char other[80];
                (void)snprintf(other, sizeof(other), "%s-link", name);
                cr_assert_eq(linkat(dir, name, dir, other, 0), 0);
            }
        }
    }
}

static void grow_garden(uint64_t seed)
{
    struct garden g = { .random = seed * 0x9e3779b97f4a7c15u + 7, .left = 60 };
    CLEANUP(fd_closep) struct fd root = { open(f.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    while (g.left > 0)
        plant(&g, root.raw, 0);
}

Test(restore, random_trees_come_back_as_root)
{
    struct err err = { 0 };
    if (geteuid() != 0)
        cr_skip("as root: modes 000 are readable");
    for (uint64_t seed = 1; seed <= 12; seed++) {
        grow_garden(seed);
        save_and_compare();
        cr_assert_eq(report.not_owned, 0);
        cr_assert(dir_remove_tree(f.state, &err));
        cr_assert_eq(mkdir(f.state, 0755), 0);
    }
}

/* Makes what the user may not read readable, as an agent's own files are. */
static void make_readable(const char *path)
{
    CLEANUP(str_freep) char *command = str_format("chmod -R u+rX '%s'", path);
    cr_assert_eq(system(command), 0);
}

static void compare_gardens(uint64_t seeds)
{
    struct err err = { 0 };
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        grow_garden(seed);
        make_readable(f.state);
        save_and_compare();
        make_readable(f.state);
        cr_assert(dir_remove_tree(f.state, &err), "%s", err.msg);
        cr_assert_eq(mkdir(f.state, 0755), 0);
    }
}

/* In a child, since the way back to root is closed. */
Test(restore, random_trees_come_back_as_an_ordinary_user)
{
    if (geteuid() != 0) {
        compare_gardens(8);
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        bool is_dropped = setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0;
        cr_assert(is_dropped);
        fixture_begin(&f);
        compare_gardens(8);
        fixture_end(&f);
        _exit(0);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

/* proto/golden: two packs made by format 1 with the data key 00 01 ... 1f. */
#define GOLDEN_FIRST  "00000001-0f24466925ab79fa"
#define GOLDEN_SECOND "00000002-79296dbf68e8c5d3"

static void put_golden(const char *pack)
{
    struct err err = { 0 };
    struct pack_writer *writer = NULL;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(str_freep)
    char *path = str_format("%.*s/proto/golden/%s", (int)(strstr(__FILE__, "/sidecar/") - __FILE__),
                            __FILE__, pack);
    cr_assert(file_read(AT_FDCWD, path, 100000, &bytes, &err), "%s", err.msg);
    cr_assert(store_pack_create(f.store, FIXTURE_NAME, pack, fixture_soon(), &writer, &err));
    cr_assert(pack_put(writer, buf_view(&bytes), fixture_soon(), &err));
    cr_assert(pack_commit(&writer, fixture_soon(), &err), "%s", err.msg);
}

Test(restore, checkpoints_of_the_past_come_back)
{
    struct err err = { 0 };
    struct stat a, b;
    CLEANUP(buf_fini) struct buf notes = { 0 };
    CLEANUP(fd_closep) struct fd out = FD_NONE;
    put_golden(GOLDEN_FIRST);
    put_golden(GOLDEN_SECOND);
    cr_assert(fixture_restore_to(&f, GOLDEN_SECOND, f.out, &report, &err), "%s", err.msg);
    out = (struct fd){ open(f.out, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    cr_assert(file_read(out.raw, "notes.txt", 100, &notes, &err), "%s", err.msg);
    cr_assert(view_is_equal(buf_view(&notes), view_str("first state\nsecond state\n")));
    cr_assert_eq(fstatat(out.raw, "d/deep.bin", &a, 0), 0);
    cr_assert_eq(fstatat(out.raw, "z", &b, 0), 0);
    cr_assert(a.st_ino == b.st_ino && a.st_size == 3000);
    cr_assert_eq(fstatat(out.raw, "link", &b, 0), 0);
    cr_assert(fixture_restore_to(&f, GOLDEN_FIRST, f.out, &report, &err), "%s", err.msg);
}

Test(restore, old_tree_is_replaced_whole)
{
    struct err err = { 0 };
    fixture_write(&f, "new", "1", 1);
    (void)fixture_save(&f);
    cr_assert_eq(mkdir(f.out, 0500), 0);
    CLEANUP(str_freep) char *old = str_format("%s/old", f.out);
    cr_assert_eq(symlink("/etc/passwd", old), 0);
    cr_assert(fixture_restore_to(&f, f.head, f.out, &report, &err), "%s", err.msg);
    fixture_same(f.state, f.out);
    cr_assert_not(report.is_old_kept);
    cr_assert_eq(entries_in(f.dir), 3); /* state, store, out: nothing is left beside */
}

Test(restore, leftovers_of_a_killed_restore_are_removed)
{
    struct err err = { 0 };
    (void)fixture_save(&f);
    CLEANUP(str_freep) char *left = str_format("%s/.out.restoring-0011223344556677", f.dir);
    CLEANUP(str_freep) char *inside = str_format("%s/a/b", left);
    CLEANUP(str_freep) char *other = str_format("%s/.outer.restoring-0011223344556677", f.dir);
    cr_assert(dir_make(inside, 0700, &err));
    cr_assert(dir_make(other, 0700, &err));
    cr_assert_eq(chmod(left, 0), 0);
    cr_assert(fixture_restore_to(&f, f.head, f.out, &report, &err), "%s", err.msg);
    cr_assert_neq(access(left, F_OK), 0);
    cr_assert_eq(access(other, F_OK), 0); /* another target's */
}

Test(restore, target_must_be_a_directory_of_its_own)
{
    struct err err = { 0 };
    struct checkpoint_source source = fixture_source(&f);
    struct restore_spec spec = { .target = f.out, .until = fixture_soon(), .id = f.head };
    (void)fixture_save(&f);
    cr_assert_eq(symlink("state", f.out), 0);
    cr_assert_not(checkpoint_restore(&source, &spec, &report, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_eq(unlink(f.out), 0);
    spec.target = "/";
    cr_assert_not(checkpoint_restore(&source, &spec, &report, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    spec.target = f.state;
    spec.is_new_only = true;
    cr_assert_not(checkpoint_restore(&source, &spec, &report, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    cr_assert_eq(entries_in(f.dir), 2);
}

static bool is_owned(const char *dir, const char *name, uid_t uid, gid_t gid)
{
    struct stat st;
    CLEANUP(str_freep) char *path = str_format("%s/%s", dir, name);
    return lstat(path, &st) == 0 && st.st_uid == uid && st.st_gid == gid;
}

/* An agent of Nomad's pool of users has another number on each node. */
Test(restore, the_owner_of_the_directory_inherits)
{
    struct err err = { 0 };
    if (geteuid() != 0)
        cr_skip("needs root to give files away");
    fixture_write(&f, "his", "1", 1);
    fixture_write(&f, "other", "2", 1);
    CLEANUP(fd_closep) struct fd state = { open(f.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    cr_assert_eq(fchown(state.raw, 1001, 2001), 0);
    cr_assert_eq(fchownat(state.raw, "his", 1001, 2001, 0), 0);
    cr_assert_eq(fchownat(state.raw, "other", 5, 2001, 0), 0);
    (void)fixture_save(&f);
    cr_assert(fixture_restore_to(&f, f.head, f.out, &report, &err), "%s", err.msg);
    cr_expect(is_owned(f.out, ".", 1001, 2001), "nobody's directory: as it was");
    cr_assert_eq(chown(f.out, 1002, 2002), 0);
    cr_assert(fixture_restore_to(&f, f.head, f.out, &report, &err), "%s", err.msg);
    cr_expect(is_owned(f.out, ".", 1002, 2002));
    cr_expect(is_owned(f.out, "his", 1002, 2002));
    cr_expect(is_owned(f.out, "other", 5, 2002));
    cr_assert(dir_remove_tree(f.out, &err));
}

/* What was inherited is the heir's in the checkpoints that follow, too, and so for the next heir.
 * The last file is long: what was restored before it is no longer young when the tree is compared.
 */
Test(restore, what_was_inherited_is_saved_as_the_heirs)
{
    struct err err = { 0 };
    if (geteuid() != 0)
        cr_skip("needs root to give files away");
    const char *const names[] = { ".", "a", "dir", "dir/b", "link", "long" };
    CLEANUP(fd_closep) struct fd state = { open(f.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    fixture_write(&f, "a", "1", 1);
    cr_assert_eq(mkdirat(state.raw, "dir", 0700), 0);
    fixture_write(&f, "dir/b", "2", 1);
    cr_assert_eq(symlinkat("a", state.raw, "link"), 0);
    fixture_write_noise(&f, "long", (size_t)32 << 20, 1);
    for (size_t i = 0; i < COUNT(names); i++)
        cr_assert_eq(fchownat(state.raw, names[i], 1001, 2001, AT_SYMLINK_NOFOLLOW), 0);
    (void)fixture_save(&f);
    checkpoint_free(f.cp);
    cr_assert_eq(chown(f.state, 1002, 2002), 0);
    fixture_open(&f, NULL, 0);
    for (size_t i = 0; i < COUNT(names); i++)
        cr_expect(is_owned(f.state, names[i], 1002, 2002), "%s after the restore", names[i]);
    fixture_write(&f, "a", "3", 1);
    cr_assert(fixture_save(&f));
    cr_assert(fixture_restore_to(&f, f.head, f.out, &report, &err), "%s", err.msg);
    for (size_t i = 0; i < COUNT(names); i++)
        cr_expect(is_owned(f.out, names[i], 1002, 2002), "%s as it was saved", names[i]);
    cr_assert(dir_remove_tree(f.out, &err));
}

Test(restore, later_epoch_is_fenced)
{
    struct err err = { 0 };
    struct checkpoint_source source = fixture_source(&f);
    (void)fixture_save(&f);
    struct restore_spec spec = {
        .id = f.head, .target = f.out, .until = fixture_soon(), .epoch_max = 6
    };
    cr_assert_not(checkpoint_restore(&source, &spec, &report, &err));
    cr_assert_eq(err.kind, ERR_FENCED);
    cr_assert_neq(access(f.out, F_OK), 0);
}

Test(restore, unknown_and_malformed_ids_are_refused)
{
    struct err err = { 0 };
    (void)fixture_save(&f);
    cr_assert_not(fixture_restore_to(&f, "00000009-0011223344556677", f.out, &report, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert_not(fixture_restore_to(&f, "../../etc", f.out, &report, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_eq(entries_in(f.dir), 2);
}

Test(restore, another_agents_key_opens_nothing)
{
    struct err err = { 0 };
    (void)fixture_save(&f);
    struct agent_keys *ours = f.keys;
    f.keys = fixture_keys(9);
    cr_assert_not(fixture_restore_to(&f, f.head, f.out, &report, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    agent_keys_free(f.keys);
    f.keys = ours;
    cr_assert_eq(entries_in(f.dir), 2);
}

/* A tmpfs of `bytes`, or a skip where that is not permitted. */
static void mount_small(const char *path, const char *options)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        cr_assert_fail("mkdir");
    if (mount("tmpfs", path, "tmpfs", 0, options) < 0)
        cr_skip("needs CAP_SYS_ADMIN for a tmpfs");
}

Test(restore, full_disk_leaves_the_old_tree_and_nothing_beside)
{
    struct err err = { 0 };
    CLEANUP(str_freep) char *small = str_format("%s/small", f.dir);
    CLEANUP(str_freep) char *target = str_format("%s/target", small);
    CLEANUP(str_freep) char *kept = str_format("%s/target/kept", small);
    fixture_write_noise(&f, "big", 8000000, 1);
    (void)fixture_save(&f);
    mount_small(small, "size=4m");
    cr_assert(dir_make(kept, 0755, &err));
    cr_assert_not(fixture_restore_to(&f, f.head, target, &report, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    cr_assert_eq(err.os_errno, ENOSPC, "%s", err.msg);
    cr_assert_eq(entries_in(small), 1);
    cr_assert_eq(access(kept, F_OK), 0);
    cr_assert_eq(umount(small), 0);
}

/* statvfs says there is room, but inodes run out on the way. */
Test(restore, failure_in_the_middle_leaves_nothing_beside)
{
    struct err err = { 0 };
    CLEANUP(str_freep) char *small = str_format("%s/small", f.dir);
    CLEANUP(str_freep) char *target = str_format("%s/target", small);
    for (int i = 0; i < 60; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "f%02d", i);
        fixture_write_noise(&f, name, 20000, (uint64_t)i);
    }
    (void)fixture_save(&f);
    mount_small(small, "size=64m,nr_inodes=40");
    cr_assert_not(fixture_restore_to(&f, f.head, target, &report, &err));
    cr_assert_eq(err.os_errno, ENOSPC, "%s", err.msg);
    cr_assert_eq(entries_in(small), 0);
    cr_assert_eq(umount(small), 0);
}

Test(restore, mount_point_is_refused)
{
    struct err err = { 0 };
    (void)fixture_save(&f);
    mount_small(f.out, "size=1m");
    cr_assert_not(fixture_restore_to(&f, f.head, f.out, &report, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, "mount point"));
    cr_assert_eq(umount(f.out), 0);
}

Test(restore, past_deadline_is_unavailable)
{
    struct err err = { 0 };
    struct checkpoint_source source = fixture_source(&f);
    (void)fixture_save(&f);
    struct restore_spec spec = { .id = f.head, .target = f.out };
    cr_assert_not(checkpoint_restore(&source, &spec, &report, &err));
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
    cr_assert_neq(access(f.out, F_OK), 0);
}
