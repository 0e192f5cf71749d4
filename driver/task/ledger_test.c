#include "driver/task/ledger.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/base/refuse_test.h"

#define DAY_NS ((int64_t)24 * 3600 * 1000 * NS_PER_MS)

#define BOOT "b0000000-0000-0000-0000-000000000000"

static char root[] = "/tmp/ledger-XXXXXX";
static char *state_dir, *run_dir;
static struct task_paths paths;
static struct err err;
static struct ledger_entry got;
static struct ledger_ask ask;
static struct launch launch;

static void setup(void)
{
    cr_assert_not_null(mkdtemp(root));
    state_dir = str_format("%s/state", root);
    run_dir = str_format("%s/run", root);
    cr_assert(dir_make(run_dir, 0700, &err));
    cr_assert(task_paths_init(state_dir, run_dir, "a1", "web", &paths, &err), "%s", err.msg);
    launch = (struct launch){ .alloc_id = "a1",
                              .task_name = "web",
                              .task_id = "a1/web/1",
                              .boot_id = BOOT,
                              .nonce = { 1, 2, 3 },
                              .at = wall_now() };
    ask = (struct ledger_ask){ .alloc_id = "a1",
                               .task_name = "web",
                               .task_id = "a1/web/1",
                               .nonce = launch.nonce,
                               .boot_id = BOOT };
}

static void teardown(void)
{
    cr_assert(dir_remove_tree(root, &err), "%s", err.msg);
    task_paths_fini(&paths);
    free(state_dir);
    free(run_dir);
}

TestSuite(ledger, .init = setup, .fini = teardown);

/* As a shim does for life: its own open file of the lock. */
static struct fd hold_lock(void)
{
    cr_assert(dir_make(paths.dir, 0700, &err));
    struct fd lock = { open(paths.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600) };
    cr_assert_eq(flock(lock.raw, LOCK_EX | LOCK_NB), 0);
    return lock;
}

static void publish(void)
{
    cr_assert(dir_make(paths.dir, 0700, &err));
    cr_assert(ledger_publish(&paths, &launch, &err), "%s", err.msg);
}

static void put_exit_at(enum exit_cause cause, struct wall ended)
{
    struct exit_record record = {
        .cause = cause, .exit_code = 7, .started = { 1 }, .ended = ended
    };
    uint8_t bytes[EXIT_RECORD_BYTES];
    memcpy(record.nonce, launch.nonce, sizeof(record.nonce));
    exit_record_encode(&record, bytes);
    cr_assert(file_publish(AT_FDCWD, paths.exit_record, view_of(bytes, sizeof(bytes)), 0600,
                           FILE_REPLACE, &err));
}

static void put_exit(enum exit_cause cause) { put_exit_at(cause, wall_now()); }

static bool is_there(const char *path) { return access(path, F_OK) == 0; }

static void expect_claim(enum ledger_found found)
{
    cr_assert(ledger_claim(&paths, &ask, &got, &err), "%s", err.msg);
    cr_assert_eq(got.found, found);
    cr_assert_eq(fd_is_open(got.lock), found == LEDGER_FRESH);
}

Test(ledger, a_first_claim_is_fresh_and_holds_the_lock)
{
    struct ledger_entry second;
    expect_claim(LEDGER_FRESH);
    cr_assert_not(ledger_claim(&paths, &ask, &second, &err));
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
    ledger_entry_fini(&got);
    expect_claim(LEDGER_FRESH);
    ledger_entry_fini(&got);
}

Test(ledger, a_held_lock_is_this_launch_or_another)
{
    struct fd lock = hold_lock();
    publish();
    expect_claim(LEDGER_ALIVE);
    cr_assert_eq(memcmp(got.launch.nonce, launch.nonce, SHIM_NONCE_BYTES), 0);
    ask.task_id = "a1/web/2";
    expect_claim(LEDGER_OTHER);
    cr_assert(is_there(paths.launch), "nothing of a live launch is touched");
    fd_closep(&lock);
}

Test(ledger, a_key_that_two_tasks_share_is_a_conflict)
{
    struct fd lock = hold_lock();
    memcpy(launch.alloc_id, "a2", 3);
    publish();
    cr_assert_not(ledger_claim(&paths, &ask, &got, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    fd_closep(&lock);
}

Test(ledger, what_a_dead_launch_left_is_cleared)
{
    publish();
    cr_assert(file_publish(AT_FDCWD, paths.socket, view_str(""), 0600, FILE_REPLACE, &err));
    expect_claim(LEDGER_FRESH);
    cr_assert_not(is_there(paths.launch));
    cr_assert_not(is_there(paths.socket));
    ledger_entry_fini(&got);
}

Test(ledger, a_damaged_record_of_a_dead_launch_is_cleared)
{
    publish();
    cr_assert_eq(truncate(paths.launch, 20), 0);
    expect_claim(LEDGER_FRESH);
    cr_assert_not(is_there(paths.launch));
    ledger_entry_fini(&got);
}

Test(ledger, a_start_that_has_run_is_over_and_one_that_has_not_is_fresh)
{
    publish();
    put_exit(EXIT_EXITED);
    expect_claim(LEDGER_OVER);
    cr_assert_eq(got.record.exit_code, 7);
    put_exit(EXIT_EXEC_FAILED);
    expect_claim(LEDGER_FRESH);
    ledger_entry_fini(&got);
    publish();
    put_exit(EXIT_EXITED);
    ask.task_id = "a1/web/2";
    expect_claim(LEDGER_FRESH);
    cr_assert_not(is_there(paths.exit_record));
    ledger_entry_fini(&got);
}

static void expect_find(enum ledger_found found)
{
    cr_assert(ledger_find(&paths, &ask, &got, &err), "%s", err.msg);
    cr_assert_eq(got.found, found);
}

static void refuse_find(enum err_kind kind)
{
    cr_assert_not(ledger_find(&paths, &ask, &got, &err));
    cr_assert_eq(err.kind, kind, "%s", err.msg);
}

Test(ledger, finds_who_lives_who_ended_and_who_is_lost)
{
    refuse_find(ERR_NOT_FOUND);
    struct fd lock = hold_lock();
    publish();
    expect_find(LEDGER_ALIVE);
    fd_closep(&lock);
    expect_find(LEDGER_LOST);
    put_exit(EXIT_STOPPED);
    expect_find(LEDGER_OVER);
    cr_assert_eq(got.record.cause, EXIT_STOPPED);
    cr_assert_eq(unlink(paths.exit_record), 0);
    cr_assert_eq(unlink(paths.lock), 0);
    expect_find(LEDGER_LOST);
}

Test(ledger, believes_only_a_launch_that_matches_in_everything)
{
    uint8_t other[SHIM_NONCE_BYTES] = { 9 };
    publish();
    ask.nonce = other;
    refuse_find(ERR_NOT_FOUND);
    ask.nonce = launch.nonce;
    ask.task_name = "db";
    refuse_find(ERR_NOT_FOUND);
    ask.task_name = "web";
    ask.alloc_id = "a2";
    refuse_find(ERR_NOT_FOUND);
    ask.alloc_id = "a1";
    ask.boot_id = "another";
    refuse_find(ERR_NOT_FOUND);
    put_exit(EXIT_EXITED);
    expect_find(LEDGER_OVER); /* it had ended before the machine did */
    cr_assert_eq(truncate(paths.launch, 30), 0);
    refuse_find(ERR_CORRUPT);
}

Test(ledger, an_exit_record_that_is_damaged_or_of_another_launch_is_none)
{
    publish();
    put_exit(EXIT_EXITED);
    cr_assert_eq(truncate(paths.exit_record, 100), 0);
    expect_find(LEDGER_LOST);
    memset(launch.nonce, 5, sizeof(launch.nonce));
    put_exit(EXIT_EXITED);
    memset(launch.nonce, 0, sizeof(launch.nonce));
    memcpy(launch.nonce, "\1\2\3", 3);
    expect_find(LEDGER_LOST);
}

Test(ledger, removes_all_but_never_under_a_live_shim)
{
    struct fd lock = hold_lock();
    publish();
    cr_assert_not(ledger_remove(&paths, "", -1, &err));
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
    cr_assert(is_there(paths.launch));
    cr_assert(ledger_remove(&paths, "", lock.raw, &err), "%s", err.msg);
    cr_assert_not(is_there(paths.dir));
    fd_closep(&lock);
    cr_assert(ledger_remove(&paths, "", -1, &err), "absent is fine: %s", err.msg);
}

static unsigned sweep(const char *boot)
{
    unsigned stuck = 0;
    cr_assert(ledger_sweep(state_dir, run_dir, boot, &stuck, &err), "%s", err.msg);
    return stuck;
}

Test(ledger, sweeps_the_dead_and_keeps_what_may_be_asked_for)
{
    cr_assert_eq(sweep(BOOT), 0);
    publish();
    cr_assert_eq(sweep(BOOT), 0);
    cr_assert(is_there(paths.launch), "a recovery may come");
    cr_assert_eq(sweep("another"), 0);
    cr_assert_not(is_there(paths.dir), "it died with its boot");
    publish();
    put_exit(EXIT_EXITED);
    cr_assert_eq(sweep("another"), 0);
    cr_assert(is_there(paths.exit_record));
    launch.at.ns -= 30 * DAY_NS; /* agents run for weeks */
    publish();
    put_exit_at(EXIT_EXITED, (struct wall){ wall_now().ns - 60 * 1000 * NS_PER_MS });
    cr_assert_eq(sweep("another"), 0);
    cr_assert(is_there(paths.exit_record), "it ended a minute ago");
    put_exit_at(EXIT_EXITED, (struct wall){ wall_now().ns - DAY_NS - NS_PER_MS });
    cr_assert_eq(sweep(BOOT), 0);
    cr_assert_not(is_there(paths.dir), "nobody came for a day");
    publish();
    cr_assert_eq(sweep(BOOT), 0);
    cr_assert(is_there(paths.launch), "lost, and Nomad may not know yet");
}

/* The record of a version after ours, whole. */
static void put_later(void)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert(launch_encode(&launch, &bytes, &err));
    bytes.data[8] = 9;                  /* behind the magic */
    uint64_t sum = 0xcbf29ce484222325U; /* FNV-1a 64 */
    for (size_t i = 0; i < bytes.len - 8; i++)
        sum = (sum ^ bytes.data[i]) * 0x100000001b3U;
    for (int i = 0; i < 8; i++)
        bytes.data[bytes.len - 8 + (size_t)i] = (uint8_t)(sum >> (8 * i));
    cr_assert(launch_is_later(buf_view(&bytes)));
    cr_assert(dir_make(paths.dir, 0700, &err));
    cr_assert(file_publish(AT_FDCWD, paths.launch, buf_view(&bytes), 0600, FILE_REPLACE, &err));
}

Test(ledger, what_a_later_driver_wrote_is_refused_and_left_alone)
{
    put_later();
    put_exit(EXIT_EXITED);
    cr_assert_eq(sweep("another"), 0);
    cr_assert_not(ledger_claim(&paths, &ask, &got, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_not_null(strstr(err.msg, "of a later driver"), "%s", err.msg);
    ask.nonce = launch.nonce;
    cr_assert_not(ledger_find(&paths, &ask, &got, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    struct fd lock = hold_lock();
    cr_assert_not(ledger_claim(&paths, &ask, &got, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    fd_closep(&lock);
    cr_assert(is_there(paths.launch));
    cr_assert(is_there(paths.exit_record));
}

static struct rlimit no_descriptors(void)
{
    struct rlimit old;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
    const struct rlimit none = { 0, old.rlim_max };
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    return old;
}

Test(ledger, a_claim_that_fails_leaves_no_directory)
{
    struct stat st;
    cr_assert(dir_make(paths.dir, 0700, &err));
    cr_assert_eq(mkdir(paths.launch, 0700), 0); /* no record, and not to be removed as one */
    cr_assert_not(ledger_claim(&paths, &ask, &got, &err));
    cr_assert_eq(rmdir(paths.launch), 0);
    cr_expect_eq(stat(paths.lock, &st), -1);
}

Test(ledger, records_that_cannot_be_read_now_are_not_absent)
{
    publish();
    put_exit(EXIT_EXITED);
    ask.nonce = launch.nonce;
    const struct rlimit old = no_descriptors();
    const bool is_found = ledger_find(&paths, &ask, &got, &err);
    const bool is_published = ledger_publish(&paths, &launch, &err);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
    cr_expect_not(is_found);
    cr_expect_not(is_published);
    cr_expect_eq(err.os_errno, EMFILE);
    cr_expect(ledger_find(&paths, &ask, &got, &err), "%s", err.msg);
    cr_expect_eq(got.found, LEDGER_OVER);
}

Test(ledger, a_sweep_touches_neither_the_living_nor_the_foreign)
{
    struct fd lock = hold_lock();
    launch.at.ns = 1;
    publish();
    char *foreign = str_format("%s/tasks/not-a-key", state_dir);
    cr_assert(dir_make(foreign, 0700, &err));
    cr_assert_eq(sweep("another"), 0);
    cr_assert(is_there(paths.launch));
    cr_assert(is_there(foreign));
    free(foreign);
    fd_closep(&lock);
}

static int sweep_in_child(void *arg)
{
    unsigned stuck = 0;
    (void)arg;
    return ledger_sweep(state_dir, run_dir, BOOT, &stuck, &err) ? 0 : (int)err.kind;
}

Test(ledger, a_directory_that_does_not_list_is_not_swept_in_silence)
{
    publish();
    cr_assert_eq(refused(SYS_getdents64, EIO, sweep_in_child, NULL), ERR_SYSTEM);
}

/* Whoever may write there may put a socket or a record of his own in our place. */
Test(ledger, a_directory_in_which_another_user_may_write_is_refused)
{
    unsigned stuck = 0;
    cr_assert_eq(sweep(BOOT), 0);
    const char *const dirs[] = { run_dir, state_dir };
    for (size_t i = 0; i < COUNT(dirs); i++) {
        cr_assert_eq(chmod(dirs[i], 01777), 0);
        cr_expect_not(ledger_sweep(state_dir, run_dir, BOOT, &stuck, &err));
        cr_expect_eq(err.kind, ERR_DENIED);
        cr_expect_not_null(strstr(err.msg, dirs[i]));
        cr_assert_eq(chmod(dirs[i], 0700), 0);
        if (geteuid() == 0) {
            cr_assert_eq(chown(dirs[i], 65534, 65534), 0);
            cr_expect_not(ledger_sweep(state_dir, run_dir, BOOT, &stuck, &err));
            cr_assert_eq(chown(dirs[i], 0, 0), 0);
        }
        cr_assert_eq(sweep(BOOT), 0);
    }
}

Test(ledger, a_directory_without_any_record_is_swept)
{
    cr_assert(dir_make(paths.dir, 0700, &err));
    cr_assert_eq(sweep(BOOT), 0);
    cr_assert_not(is_there(paths.dir));
}

Test(ledger, a_state_directory_that_cannot_be_made_is_an_error)
{
    unsigned stuck = 0;
    cr_assert_not(ledger_sweep("/proc/nowhere", run_dir, BOOT, &stuck, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    struct task_paths bad;
    cr_assert(task_paths_init("/proc/nowhere", run_dir, "a", "b", &bad, &err));
    cr_assert_not(ledger_claim(&bad, &ask, &got, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    task_paths_fini(&bad);
}
