#include "sidecar/store/file_register.h"

#include "sidecar/store/disk_test.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define RECORD "agents/a/record"

static void expect_text(struct store *store, const char *text)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct store_version version;
    struct err err = { 0 };
    cr_assert(store_read(store, "a", soon(), &bytes, &version, &err), "%s", err.msg);
    cr_assert_str_eq(buf_borrow_str(&bytes), text);
}

Test(file_register, file_that_is_not_a_record_is_corrupt_and_stays)
{
    static const char *const texts[] = {
        "",
        "one",
        "agent-register 1 1 0123456789abcdef 3\n",
        "agent-register 1 1 0123456789abcdef 3\non",
        "agent-register 1 1 0123456789abcdef 3\nones",
        "agent-register 2 1 0123456789abcdef 3\none",
        "agent-register 1 01 0123456789abcdef 3\none",
        "agent-register 1 1 0123456789ABCDEF 3\none",
        "agent-register 1 -1 0123456789abcdef 3\none",
        "agent-register 1 1 0123456789abcdef 3 \none",
        "agent-register 1 99999999999999999999999 0123456789abcdef 3\none",
    };
    for (size_t i = 0; i < COUNT(texts); i++) {
        DISK(d);
        struct store_version version;
        CLEANUP(buf_fini) struct buf bytes = { 0 };
        struct err err = { 0 };
        CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
        disk_write(&d, RECORD, texts[i]);
        expect_kind(store_read(store, "a", soon(), &bytes, &version, &err), &err, ERR_CORRUPT);
        expect_kind(store_create(store, "a", view_str("x"), soon(), &version, &err), &err,
                    ERR_CORRUPT);
        expect_kind(store_replace(store, "a", &version, view_str("x"), soon(), &version, &err),
                    &err, ERR_CORRUPT);
        CLEANUP(str_freep) char *path = str_format("%s/" RECORD, d.root);
        cr_assert(file_read(AT_FDCWD, path, 1000, &bytes, &err));
        cr_assert_str_eq(buf_borrow_str(&bytes), texts[i]);
    }
}

Test(file_register, record_that_is_too_large_is_corrupt)
{
    DISK(d);
    struct store_version version;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(buf_fini) struct buf large = { 0 };
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    buf_put_fmt(&large, "agent-register 1 1 0123456789abcdef %zu\n", STORE_RECORD_MAX + 1);
    for (size_t i = 0; i < STORE_RECORD_MAX + 1; i++)
        buf_put_u8(&large, 'x');
    disk_write(&d, RECORD, buf_borrow_str(&large));
    expect_kind(store_read(store, "a", soon(), &bytes, &version, &err), &err, ERR_CORRUPT);
}

/* The limit on file sizes is a disk that fills at any byte: every write of the call is cut there.
 */
Test(file_register, failed_write_leaves_old_record)
{
    DISK(d);
    struct store_version version, ignored;
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(str_freep) char *text = mem_array(2001, 1);
    struct rlimit old;
    memset(text, 'x', 2000);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    for (rlim_t at = 0; at < 2000; at += 97) {
        struct err err = { 0 };
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ at, old.rlim_max }), 0);
        bool good = store_replace(store, "a", &version, view_str(text), soon(), &ignored, &err);
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
        expect_kind(good, &err, ERR_UNAVAILABLE);
        expect_text(store, "one");
    }
    struct err err = { 0 };
    cr_assert(store_replace(store, "a", &version, view_str(text), soon(), &ignored, &err));
    expect_text(store, text);
}

Test(file_register, directory_without_write_permission_is_denied)
{
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
        cr_skip_test("cannot drop root");
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(str_freep) char *dir = str_format("%s/agents/a", d.root);
    cr_assert_eq(chmod(dir, 0500), 0);
    expect_kind(store_replace(store, "a", &version, view_str("two"), soon(), &version, &err), &err,
                ERR_DENIED);
    expect_text(store, "one");
    cr_assert_eq(chmod(dir, 0700), 0);
}

Test(file_register, leftovers_of_killed_writers_are_removed)
{
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    disk_write(&d, "agents/a/.tmp-0123456789abcdef", "half");
    cr_assert(store_replace(store, "a", &version, view_str("two"), soon(), &version, &err));
    cr_assert_not(disk_has(&d, "agents/a/.tmp-0123456789abcdef"));
    expect_text(store, "two");
}

Test(file_register, lock_of_a_killed_writer_does_not_stay)
{
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(str_freep) char *path = str_format("%s/agents/a/lock", d.root);
    int ready[2];
    cr_assert_eq(pipe2(ready, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        int fd = open(path, O_RDWR | O_CLOEXEC);
        (void)!flock(fd, LOCK_EX);
        (void)!write(ready[1], "x", 1);
        for (;;)
            pause();
    }
    char byte;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    expect_kind(store_replace(store, "a", &version, view_str("two"),
                              deadline_after(boot_now(), 30, 0), &version, &err),
                &err, ERR_UNAVAILABLE);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_assert(store_replace(store, "a", &version, view_str("two"), soon(), &version, &err), "%s",
              err.msg);
    close(ready[0]);
    close(ready[1]);
}

/* Somebody tidies up: who waited for the file that was removed must not write beside who holds the
 * one that is there now, or both would win. */
Test(file_register, removed_lock_lets_nobody_write_beside_its_holder)
{
    DISK(d);
    struct store_version version;
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    CLEANUP(str_freep) char *path = str_format("%s/agents/a/lock", d.root);
    CLEANUP(fd_closep) struct fd old = { open(path, O_RDWR | O_CLOEXEC) };
    cr_assert_eq(flock(old.raw, LOCK_EX), 0);
    CLEANUP(fd_closep) struct fd notify = { inotify_init1(IN_CLOEXEC) };
    cr_assert_geq(inotify_add_watch(notify.raw, path, IN_OPEN), 0);
    pid_t child = fork();
    if (child == 0) { /* waits for `old`; what we hold of it is shared, so it opens its own */
        struct deadline until = deadline_after(boot_now(), 1000, 0);
        bool wrote = store_replace(store, "a", &version, view_str("two"), until, &version, &err);
        _exit(wrote ? 1 : err.kind == ERR_UNAVAILABLE ? 0 : 2);
    }
    struct inotify_event opened[16]; /* the child has the old file before it is removed */
    cr_assert_gt(read(notify.raw, opened, sizeof(opened)), 0);
    cr_assert_eq(unlink(path), 0);
    CLEANUP(fd_closep) struct fd now = { open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) };
    cr_assert_eq(flock(now.raw, LOCK_EX), 0);
    cr_assert_eq(flock(old.raw, LOCK_UN), 0);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%d", WEXITSTATUS(status));
    expect_text(store, "one");
}

/* Writers killed at arbitrary instants: every reader sees a whole record, every version is new. */
Test(file_register, killed_writers_leave_a_whole_record, .timeout = 60)
{
    DISK(d);
    struct store_version version;
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    for (int round = 0; round < 60; round++) {
        pid_t child = fork();
        if (child == 0) {
            for (;;) {
                struct err err = { 0 };
                (void)!store_replace(store, "a", &version, view_str("two"), soon(), &version, &err);
            }
        }
        struct timespec nap = { .tv_nsec = 100000L * (1 + round % 17) };
        (void)nanosleep(&nap, NULL); /* the instant of the kill, not a wait for anything */
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        CLEANUP(buf_fini) struct buf bytes = { 0 };
        struct err err = { 0 };
        cr_assert(store_read(store, "a", soon(), &bytes, &version, &err), "%s", err.msg);
        cr_assert_eq(bytes.len, 3);
        cr_assert(store_replace(store, "a", &version, view_str("new"), soon(), &version, &err),
                  "%s", err.msg);
    }
}

Test(file_register, watch_of_an_absent_record_ends)
{
    DISK(d);
    struct store_version version, none = { 0 };
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = disk_store(&d, &version);
    cr_assert(store_watch(store, "b", &none, deadline_after(boot_now(), 20, 0), &err), "%s",
              err.msg);
    cr_assert(store_watch(store, "b", &version, soon(), &err), "differs from what was seen");
}
