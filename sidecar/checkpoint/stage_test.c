#include "sidecar/checkpoint/stage.h"

#include "sidecar/checkpoint/fixture_test.h"

#include <grp.h>
#include <sys/wait.h>

static struct fixture f;
static struct stage stage;
static struct fd root;

static void begin(void)
{
    fixture_begin(&f);
    root = (struct fd){ open(f.state, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    stage = (struct stage){ .root_fd = root.raw };
}

static void end(void)
{
    fd_closep(&root);
    fixture_end(&f);
}

TestSuite(stage, .init = begin, .fini = end);

static struct tree_entry entry_of(enum tree_type type, const char *path)
{
    return (struct tree_entry){ .type = type,
                                .path = view_str(path),
                                .mode = 0640,
                                .uid = geteuid(),
                                .gid = getegid(),
                                .mtime_s = 1000000000,
                                .mtime_ns = 7 };
}

Test(stage, bytes_go_around_the_holes)
{
    CLEANUP(buf_fini) struct buf holes = { 0 };
    struct err err = { 0 };
    struct stage_file file;
    struct tree_entry entry = entry_of(TREE_FILE, "a");
    tree_put_hole(&holes, (struct tree_hole){ 0, 4 });
    tree_put_hole(&holes, (struct tree_hole){ 6, 2 });
    tree_put_hole(&holes, (struct tree_hole){ 10, 3 });
    entry.holes = buf_view(&holes);
    entry.size = 13;
    cr_assert(stage_open(&stage, &entry, &file, &err), "%s", err.msg);
    cr_assert(stage_write(&file, 1, view_str("bcd"), &err)); /* over a hole, out of order */
    cr_assert(stage_write(&file, 0, view_str("a"), &err));
    cr_assert_not(stage_write(&file, 3, view_str("xyzuvw"), &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert(stage_finish(&stage, &file, &err), "%s", err.msg);
    char bytes[14] = "";
    CLEANUP(fd_closep) struct fd fd = { openat(root.raw, "a", O_RDONLY | O_CLOEXEC) };
    cr_assert_eq(read(fd.raw, bytes, 14), 13);
    cr_assert_eq(memcmp(bytes, "\0\0\0\0ab\0\0c", 9), 0);
    struct stat st;
    cr_assert_eq(fstat(fd.raw, &st), 0);
    cr_assert(st.st_mtim.tv_sec == 1000000000 && st.st_mtim.tv_nsec == 7);
    cr_assert_eq(st.st_mode & 07777, 0640);
}

Test(stage, nothing_is_written_through_or_over_what_exists)
{
    struct err err = { 0 };
    struct stage_file file = { .fd = FD_NONE };
    cr_assert_eq(symlinkat("/tmp/somewhere-else", root.raw, "a"), 0);
    struct tree_entry entry = entry_of(TREE_FILE, "a");
    cr_assert_not(stage_open(&stage, &entry, &file, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    entry.type = TREE_DIR;
    cr_assert_not(stage_make(&stage, &entry, &err));
    cr_assert_not(stage_finish_dir(&stage, &entry, &err));
    entry.type = TREE_SYMLINK;
    entry.target = view_str("b");
    cr_assert_not(stage_make(&stage, &entry, &err));
    entry.type = TREE_HARDLINK;
    entry.target = view_str("absent");
    cr_assert_not(stage_make(&stage, &entry, &err));
    cr_assert_not_null(strstr(err.msg, "\"a\""), "%s", err.msg);
}

Test(stage, directory_gets_its_mode_at_the_end)
{
    struct err err = { 0 };
    struct tree_entry dir = entry_of(TREE_DIR, "d"), inner = entry_of(TREE_SYMLINK, "d/l");
    struct stat st;
    dir.mode = 0555;
    inner.target = view_str("x");
    cr_assert(stage_make(&stage, &dir, &err));
    cr_assert(stage_make(&stage, &inner, &err), "%s", err.msg);
    cr_assert(stage_finish_dir(&stage, &dir, &err), "%s", err.msg);
    cr_assert_eq(fstatat(root.raw, "d", &st, 0), 0);
    cr_assert(S_ISDIR(st.st_mode) && (st.st_mode & 07777) == 0555);
    cr_assert_eq(st.st_mtim.tv_sec, 1000000000);
}

static bool strip_as_ordinary_user(void)
{
    struct err err = { 0 };
    struct stage_file file;
    struct stat st;
    struct tree_entry entry = entry_of(TREE_FILE, "s");
    entry.mode = 04755;
    entry.uid = entry.gid = 0;
    return stage_open(&stage, &entry, &file, &err) && stage_finish(&stage, &file, &err) &&
           fstatat(root.raw, "s", &st, 0) == 0 && (st.st_mode & 07777) == 0755 &&
           stage.not_owned == 1;
}

/* Otherwise a program of root would come back as one of ours that everybody may run as us. */
Test(stage, set_id_bits_do_not_survive_another_owner)
{
    if (geteuid() != 0)
        cr_skip("needs root to become somebody else");
    cr_assert_eq(fchmod(root.raw, 0777), 0);
    pid_t child = fork();
    if (child == 0) {
        bool is_dropped = setgroups(0, NULL) == 0 && setgid(65534) == 0 && setuid(65534) == 0;
        _exit(is_dropped && strip_as_ordinary_user() ? 0 : 1);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %x", status);
}

static struct stat made(enum tree_type type, const char *path, uid_t uid, gid_t gid)
{
    struct err err = { 0 };
    struct stage_file file;
    struct stat st;
    struct tree_entry entry = entry_of(type, path);
    entry.mode = 04750;
    entry.uid = uid;
    entry.gid = gid;
    entry.target = view_str(type == TREE_SYMLINK ? "elsewhere" : "");
    if (type == TREE_FILE) {
        cr_assert(stage_open(&stage, &entry, &file, &err), "%s", err.msg);
        cr_assert(stage_finish(&stage, &file, &err), "%s", err.msg);
    } else {
        cr_assert(stage_make(&stage, &entry, &err), "%s", err.msg);
    }
    cr_assert_eq(fstatat(root.raw, path, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st;
}

Test(stage, what_the_owner_had_goes_to_the_heir_and_nothing_else)
{
    if (geteuid() != 0)
        cr_skip("needs root to give files away");
    stage.heir = (struct stage_heir){ true, 1001, 1002, 2001, 2002 };
    struct stat his = made(TREE_FILE, "his", 1001, 2001);
    cr_expect(his.st_uid == 1002 && his.st_gid == 2002);
    cr_expect_eq(his.st_mode & 07777, 0750); /* not a program of his that runs as another */
    struct stat other = made(TREE_FILE, "other", 5, 6);
    cr_expect(other.st_uid == 5 && other.st_gid == 6);
    cr_expect_eq(other.st_mode & 07777, 04750);
    struct stat link = made(TREE_SYMLINK, "link", 1001, 6);
    cr_expect(link.st_uid == 1002 && link.st_gid == 6);
}

Test(stage, set_id_bits_survive_the_owner)
{
    struct err err = { 0 };
    struct stage_file file;
    struct stat st;
    struct tree_entry entry = entry_of(TREE_FILE, "s");
    entry.mode = 04755;
    cr_assert(stage_open(&stage, &entry, &file, &err));
    cr_assert(stage_finish(&stage, &file, &err));
    cr_assert_eq(fstatat(root.raw, "s", &st, 0), 0);
    cr_assert_eq(st.st_mode & 07777, 04755);
    cr_assert_eq(stage.not_owned, 0);
}
