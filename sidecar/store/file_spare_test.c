#include "sidecar/store/file_spare.h"

#include "sidecar/store/disk_test.h"

#include <criterion/criterion.h>
#include <sched.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#define SPACE ((size_t)8192)

static int dir_of(const struct disk *d)
{
    int dir = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(dir, 0);
    return dir;
}

static bool publish(int dir, bool is_new, const char *text, struct err *err)
{
    return file_spare_publish(dir, "x", is_new, view_str(text), SPACE, soon(), err);
}

static void expect_x(int dir, const char *text)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err err = { 0 };
    cr_assert(file_spare_read(dir, "x", SPACE, soon(), &bytes, &err), "%s", err.msg);
    cr_assert_eq(bytes.len, SPACE);
    cr_assert_str_eq((const char *)bytes.data, text);
}

static struct stat stat_of(int dir, const char *name)
{
    struct stat st = { 0 };
    cr_assert_eq(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st;
}

Test(file_spare, two_files_change_places)
{
    DISK(d);
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd dir = { dir_of(&d) };
    cr_assert(publish(dir.raw, true, "one", &err), "%s", err.msg);
    expect_x(dir.raw, "one");
    ino_t first = stat_of(dir.raw, "x").st_ino, second = stat_of(dir.raw, FILE_SPARE).st_ino;
    cr_assert(publish(dir.raw, false, "a longer two", &err), "%s", err.msg);
    expect_x(dir.raw, "a longer two");
    cr_assert_eq(stat_of(dir.raw, "x").st_ino, second);
    cr_assert(publish(dir.raw, false, "3", &err), "%s", err.msg);
    expect_x(dir.raw, "3");
    cr_assert_eq(stat_of(dir.raw, "x").st_ino, first);
    cr_assert_eq(stat_of(dir.raw, "x").st_mode & 0777, 0600);
    cr_assert_geq(stat_of(dir.raw, FILE_SPARE).st_blocks * 512, (blkcnt_t)SPACE, "taken, no hole");
}

/* A file system of our own, in a mount namespace of our own. */
static bool small_disk(const struct disk *d)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", d->dir, "tmpfs", 0, "size=256k") == 0;
}

static void fill_up(int dir)
{
    static const char block[4096] = { 'f' };
    CLEANUP(fd_closep)
    struct fd file = { openat(dir, "full", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) };
    while (write(file.raw, block, sizeof(block)) > 0)
        continue;
    cr_assert_eq(errno, ENOSPC);
}

Test(file_spare, full_disk_takes_publication_after_publication)
{
    DISK(d);
    if (!small_disk(&d))
        cr_skip_test("mounts are not permitted");
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd dir = { dir_of(&d) };
    cr_assert(publish(dir.raw, true, "0", &err), "%s", err.msg);
    fill_up(dir.raw);
    for (int i = 1; i < 50; i++) {
        CLEANUP(str_freep) char *text = str_format("%0*d", i * 100, i);
        cr_assert(publish(dir.raw, false, text, &err), "%d: %s", i, err.msg);
        expect_x(dir.raw, text);
    }
    cr_assert_eq(umount2(d.dir, MNT_DETACH), 0);
}

Test(file_spare, first_publication_needs_room_for_both)
{
    DISK(d);
    if (!small_disk(&d))
        cr_skip_test("mounts are not permitted");
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd dir = { dir_of(&d) };
    fill_up(dir.raw);
    CLEANUP(fd_closep) struct fd full = { openat(dir.raw, "full", O_WRONLY | O_CLOEXEC) };
    cr_assert_eq(ftruncate(full.raw, 256 * 1024 - (off_t)SPACE - 4096), 0);
    expect_kind(publish(dir.raw, true, "one", &err), &err, ERR_UNAVAILABLE);
    cr_assert_eq(faccessat(dir.raw, "x", F_OK, 0), -1, "nothing appeared");
    cr_assert_eq(ftruncate(full.raw, 0), 0);
    cr_assert(publish(dir.raw, true, "one", &err), "%s", err.msg);
    expect_x(dir.raw, "one");
    cr_assert_eq(umount2(d.dir, MNT_DETACH), 0);
}

/* A reader that was stopped when it had opened the file: two publications later that file is the
 * one that would be filled. */
Test(file_spare, slow_reader_keeps_what_it_opened)
{
    DISK(d);
    struct err err = { 0 };
    char text[8] = "";
    CLEANUP(fd_closep) struct fd dir = { dir_of(&d) };
    cr_assert(publish(dir.raw, true, "one", &err), "%s", err.msg);
    CLEANUP(fd_closep) struct fd slow = { openat(dir.raw, "x", O_RDONLY | O_CLOEXEC) };
    cr_assert_eq(flock(slow.raw, LOCK_SH), 0);
    cr_assert(publish(dir.raw, false, "two", &err), "%s", err.msg);
    cr_assert(publish(dir.raw, false, "three", &err), "and nobody waits for it: %s", err.msg);
    cr_assert_eq(pread(slow.raw, text, sizeof(text) - 1, 0), (ssize_t)sizeof(text) - 1);
    cr_assert_str_eq(text, "one");
    expect_x(dir.raw, "three");
}

Test(file_spare, reader_waits_for_the_end_of_an_exchange_until_its_deadline)
{
    DISK(d);
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(fd_closep) struct fd dir = { dir_of(&d) };
    cr_assert(publish(dir.raw, true, "one", &err), "%s", err.msg);
    CLEANUP(fd_closep) struct fd busy = { openat(dir.raw, "x", O_RDWR | O_CLOEXEC) };
    cr_assert_eq(flock(busy.raw, LOCK_EX), 0);
    struct deadline until = deadline_after(boot_now(), 20, 0);
    expect_kind(file_spare_read(dir.raw, "x", SPACE, until, &bytes, &err), &err, ERR_UNAVAILABLE);
    fd_closep(&busy);
    expect_x(dir.raw, "one");
}

Test(file_spare, spare_that_has_another_name_or_is_none_of_ours_is_left_alone)
{
    DISK(d);
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(fd_closep) struct fd dir = { dir_of(&d) };
    cr_assert(publish(dir.raw, true, "one", &err), "%s", err.msg);
    cr_assert(publish(dir.raw, false, "two", &err), "%s", err.msg);
    cr_assert_eq(linkat(dir.raw, FILE_SPARE, dir.raw, "backup", 0), 0);
    cr_assert(publish(dir.raw, false, "three", &err), "%s", err.msg);
    cr_assert(file_read(dir.raw, "backup", SPACE, &bytes, &err));
    cr_assert_str_eq((const char *)bytes.data, "one");
    cr_assert(unlinkat(dir.raw, FILE_SPARE, 0) == 0 &&
              symlinkat("backup", dir.raw, FILE_SPARE) == 0);
    cr_assert(publish(dir.raw, false, "four", &err), "%s", err.msg);
    bytes.len = 0;
    cr_assert(file_read(dir.raw, "backup", SPACE, &bytes, &err));
    cr_assert_str_eq((const char *)bytes.data, "one");
    expect_x(dir.raw, "four");
}

Test(file_spare, what_cannot_be_read_is_told_by_kind)
{
    DISK(d);
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(fd_closep) struct fd dir = { dir_of(&d) };
    expect_kind(file_spare_read(dir.raw, "x", SPACE, soon(), &bytes, &err), &err, ERR_NOT_FOUND);
    cr_assert_eq(symlinkat("y", dir.raw, "x"), 0);
    expect_kind(file_spare_read(dir.raw, "x", SPACE, soon(), &bytes, &err), &err, ERR_DENIED);
    cr_assert(unlinkat(dir.raw, "x", 0) == 0 && mkfifoat(dir.raw, "x", 0600) == 0);
    expect_kind(file_spare_read(dir.raw, "x", SPACE, soon(), &bytes, &err), &err, ERR_INVALID);
    cr_assert_eq(unlinkat(dir.raw, "x", 0), 0);
    cr_assert(publish(dir.raw, true, "one", &err), "%s", err.msg);
    expect_kind(file_spare_read(dir.raw, "x", SPACE - 1, soon(), &bytes, &err), &err, ERR_CORRUPT);
}

/* A directory in the spare's place is not ours to remove. */
Test(file_spare, spare_that_cannot_be_made_leaves_the_old_file)
{
    DISK(d);
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd dir = { dir_of(&d) };
    cr_assert(publish(dir.raw, true, "one", &err), "%s", err.msg);
    cr_assert(unlinkat(dir.raw, FILE_SPARE, 0) == 0 && mkdirat(dir.raw, FILE_SPARE, 0700) == 0);
    expect_kind(publish(dir.raw, false, "two", &err), &err, ERR_UNAVAILABLE);
    expect_x(dir.raw, "one");
}
