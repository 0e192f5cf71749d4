#include "sidecar/engine/local.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "sidecar/checkpoint/fixture_test.h"

/* A head with the file "saved"; what the agent did since then is only on the disk. */
static struct fixture f;
static void begin(void)
{
    fixture_begin(&f);
    fixture_write(&f, "saved", "1", 1);
    cr_assert(fixture_save(&f));
}
static void end(void) { fixture_end(&f); }
TestSuite(local_unsaved, .init = begin, .fini = end);

static const struct mark failed = {
    .is_unsaved = true, .sequence = 1, .epoch = 7, .wall_ms = 1764074359123, .why = "no space"
};
#define KEPT_AS "state.unsaved-20251125T123919Z-after-1"

/* The next start of the same agent at the same place. */
static void start(struct local *l, const char *head, enum local_found *found)
{
    struct err err = { 0 };
    struct restore_report report = { .is_old_kept = false };
    const struct checkpoint_spec spec = { .source = fixture_source(&f),
                                          .root = f.state,
                                          .epoch = 8 };
    checkpoint_free(f.cp);
    cr_assert(checkpoint_new(&spec, &f.cp, &err), "%s", err.msg);
    const struct local_wish wish = { f.cp, head, fixture_soon() };
    local_init(l, f.state);
    cr_assert(local_open(l, &wish, found, &report, &err), "%s", err.msg);
}

static bool is_there(const char *path)
{
    CLEANUP(str_freep) char *full = str_format("%s/%s", f.dir, path);
    return access(full, F_OK) == 0;
}

static void expect_on_disk(const struct local *l, bool is_unsaved)
{
    struct mark mark;
    struct err err = { 0 };
    bool is_whole;
    cr_assert(mark_read(l->lock.raw, &mark, &is_whole, &err) && is_whole, "%s", mark.why);
    cr_assert_eq(mark.is_unsaved, is_unsaved);
}

/* A life that begins at the head, writes a file `name`, and ends with `mark` (NULL: clean). */
static void live(const char *name, const struct mark *mark)
{
    struct local l;
    struct err err = { 0 };
    enum local_found found;
    start(&l, f.head, &found);
    cr_assert_eq(found, LOCAL_RESTORED);
    fixture_write(&f, name, "2", 1);
    cr_assert(mark == NULL || local_note(&l, mark, &err), "%s", err.msg);
    local_fini(&l);
}

Test(local_unsaved, marked_tree_is_put_aside_and_the_head_is_in_place)
{
    struct local l;
    enum local_found found;
    live("unsaved", &failed);
    start(&l, f.head, &found);
    cr_assert(found == LOCAL_RESTORED && l.unsaved.count == 1 && l.unsaved.is_new);
    CLEANUP(str_freep) char *path = str_format("%s/" KEPT_AS, f.dir);
    cr_assert_str_eq(l.unsaved.newest, path);
    cr_assert_str_eq(l.unsaved.why, "no space");
    cr_assert(is_there("state/saved") && !is_there("state/unsaved"));
    cr_assert(is_there(KEPT_AS "/saved") && is_there(KEPT_AS "/unsaved"));
    expect_on_disk(&l, false);
    local_fini(&l);
    start(&l, f.head, &found);
    cr_assert(l.unsaved.count == 1 && !l.unsaved.is_new, "told as an old one");
    cr_assert_str_eq(l.unsaved.newest, path);
    local_fini(&l);
}

Test(local_unsaved, tree_that_is_saved_is_replaced_as_before)
{
    struct local l;
    enum local_found found;
    live("lost by interval", NULL);
    start(&l, f.head, &found);
    cr_assert(l.unsaved.count == 0 && l.unsaved.newest[0] == '\0');
    cr_assert(is_there("state/saved") && !is_there("state/lost by interval"));
    local_fini(&l);
}

Test(local_unsaved, two_incidents_are_two_trees_also_in_one_second)
{
    struct local l;
    enum local_found found;
    live("first", &failed);
    live("second", &failed);
    start(&l, f.head, &found);
    cr_assert_eq(l.unsaved.count, 2);
    cr_assert(is_there(KEPT_AS "/first") && is_there(KEPT_AS "-2/second"));
    CLEANUP(str_freep) char *path = str_format("%s/" KEPT_AS "-2", f.dir);
    cr_assert_str_eq(l.unsaved.newest, path);
    local_fini(&l);
}

Test(local_unsaved, damaged_mark_keeps_the_tree_and_says_so)
{
    struct local l;
    enum local_found found;
    live("unsaved", NULL);
    CLEANUP(str_freep) char *lock = str_format("%s/.state.lock", f.dir);
    cr_assert_eq(truncate(lock, 100), 0);
    start(&l, f.head, &found);
    cr_assert(l.unsaved.is_new && l.unsaved.count == 1);
    cr_assert_not_null(strstr(l.unsaved.why, "damaged"), "%s", l.unsaved.why);
    CLEANUP(str_freep) char *kept = str_format("%s/unsaved", l.unsaved.newest);
    cr_assert_eq(access(kept, F_OK), 0);
    expect_on_disk(&l, false);
    local_fini(&l);
}

/* Between the two renames there is no state directory, only the tree aside and the stage. */
Test(local_unsaved, killed_between_the_renames_loses_nothing)
{
    struct local l;
    enum local_found found;
    live("unsaved", &failed);
    CLEANUP(str_freep) char *kept = str_format("%s/" KEPT_AS, f.dir);
    CLEANUP(str_freep) char *stage = str_format("%s/.state.restoring-0123456789abcdef", f.dir);
    cr_assert(rename(f.state, kept) == 0 && mkdir(stage, 0700) == 0);
    start(&l, f.head, &found);
    cr_assert(l.unsaved.count == 1 && !l.unsaved.is_new);
    cr_assert_str_eq(l.unsaved.newest, kept);
    cr_assert(is_there("state/saved") && is_there(KEPT_AS "/unsaved") &&
              !is_there(".state.restoring-0123456789abcdef"));
    expect_on_disk(&l, false);
    local_fini(&l);
}

Test(local_unsaved, content_without_a_head_stays_in_place_and_marked)
{
    struct local l;
    struct err err = { 0 };
    enum local_found found;
    start(&l, "", &found);
    cr_assert_eq(found, LOCAL_FILLED);
    expect_on_disk(&l, false);
    cr_assert(local_note(&l, &failed, &err), "%s", err.msg);
    local_fini(&l);
    start(&l, "", &found);
    cr_assert(found == LOCAL_FILLED && l.mark.is_unsaved && l.unsaved.count == 0);
    expect_on_disk(&l, true);
    local_fini(&l);
    cr_assert(dir_remove_tree(f.state, &err), "%s", err.msg);
    start(&l, "", &found);
    cr_assert(found == LOCAL_FRESH && !l.mark.is_unsaved);
    expect_on_disk(&l, false);
    local_fini(&l);
}

Test(local_unsaved, name_of_any_length_is_kept)
{
    struct local l;
    struct err err = { 0 };
    enum local_found found;
    char base[241];
    memset(base, 'x', sizeof base - 1);
    base[sizeof base - 1] = '\0';
    CLEANUP(str_freep) char *path = str_format("%s/%s", f.dir, base);
    const struct checkpoint_spec spec = { .source = fixture_source(&f), .root = path, .epoch = 8 };
    for (unsigned i = 0; i < 2; i++) {
        struct restore_report report;
        checkpoint_free(f.cp);
        cr_assert(checkpoint_new(&spec, &f.cp, &err), "%s", err.msg);
        const struct local_wish wish = { f.cp, f.head, fixture_soon() };
        local_init(&l, path);
        cr_assert(local_open(&l, &wish, &found, &report, &err), "%s", err.msg);
        cr_assert_eq(l.unsaved.count, i);
        cr_assert(local_note(&l, &failed, &err), "%s", err.msg);
        local_fini(&l);
    }
}

/* The disk of the state directory is full as well: the mark has its place since the start. */
Test(local_unsaved, mark_is_changed_on_a_full_disk)
{
    struct local l;
    struct err err = { 0 };
    struct restore_report report;
    enum local_found found;
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        cr_skip_test("mounts need root");
    cr_assert_eq(mkdir(f.out, 0700), 0);
    cr_assert_eq(mount("none", f.out, "tmpfs", 0, "size=64k"), 0);
    CLEANUP(str_freep) char *path = str_format("%s/state", f.out);
    CLEANUP(str_freep) char *fill = str_format("%s/fill", f.out);
    const struct local_wish wish = { .head = "" };
    local_init(&l, path);
    cr_assert(local_open(&l, &wish, &found, &report, &err), "%s", err.msg);
    CLEANUP(fd_closep) struct fd filler = { open(fill, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) };
    static const char block[4096] = { 1 };
    while (write(filler.raw, block, sizeof block) > 0)
        continue;
    cr_assert_eq(errno, ENOSPC);
    cr_assert(local_note(&l, &failed, &err), "%s", err.msg);
    expect_on_disk(&l, true);
    fd_closep(&filler);
    local_fini(&l);
    cr_assert_eq(umount(f.out), 0);
}

/* A disk that is full before the first start: nothing is begun that could not be marked. */
Test(local_unsaved, start_without_a_place_for_the_mark_is_refused)
{
    struct local l;
    struct err err = { 0 };
    struct restore_report report;
    enum local_found found;
    local_init(&l, f.state);
    const struct local_wish wish = { .head = "" };
    const struct rlimit none = { 0, RLIM_INFINITY };
    struct rlimit was;
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert(getrlimit(RLIMIT_FSIZE, &was) == 0 && setrlimit(RLIMIT_FSIZE, &none) == 0);
    bool good = local_open(&l, &wish, &found, &report, &err);
    cr_assert(setrlimit(RLIMIT_FSIZE, &was) == 0);
    cr_assert(!good && err.kind == ERR_SYSTEM);
    cr_assert_not_null(strstr(err.msg, f.state), "%s", err.msg);
    local_fini(&l);
}

/* The agent's user may write to the parent: what it links there is not written over. */
Test(local_unsaved, lock_file_with_another_name_is_not_touched)
{
    struct local l;
    struct err err = { 0 };
    struct restore_report report;
    enum local_found found;
    CLEANUP(buf_fini) struct buf got = { 0 };
    CLEANUP(str_freep) char *victim = str_format("%s/victim", f.dir);
    CLEANUP(str_freep) char *lock = str_format("%s/.state.lock", f.dir);
    cr_assert(file_publish(AT_FDCWD, victim, view_str("precious"), 0600, FILE_REPLACE, &err));
    cr_assert_eq(link(victim, lock), 0);
    const struct local_wish wish = { .head = "" };
    local_init(&l, f.state);
    cr_assert_not(local_open(&l, &wish, &found, &report, &err));
    cr_assert_eq(err.kind, ERR_INVALID, "%s", err.msg);
    cr_assert(file_read(AT_FDCWD, victim, 100, &got, &err) &&
              view_is_equal(buf_view(&got), view_str("precious")));
    cr_assert(unlink(lock) == 0 && mkfifo(lock, 0600) == 0);
    cr_assert_not(local_open(&l, &wish, &found, &report, &err));
    cr_assert_eq(err.kind, ERR_INVALID, "%s", err.msg);
    local_fini(&l);
}
