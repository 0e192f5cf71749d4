#include "sidecar/checkpoint/take.h"

#include "sidecar/checkpoint/fixture_test.h"
#include "sidecar/checkpoint/scan.h"
#include "sidecar/checkpoint/writer_test.h"

#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

static struct fixture f;
static void begin(void) { fixture_begin(&f); }
static void end(void) { fixture_end(&f); }
TestSuite(take, .init = begin, .fini = end, .timeout = 110);

/* Stands in for the agent's freezer: a hook that runs while everything stands still. */
struct still {
    void (*during)(void);
    int freezes, thaws;
    bool refuses;
    int64_t last_max_ms;
};

static bool still_freeze(void *arg, int64_t max_ms, struct err *err)
{
    struct still *s = arg;
    s->last_max_ms = max_ms;
    if (s->refuses)
        return err_set(err, ERR_UNAVAILABLE, "freeze: not in time");
    s->freezes++;
    if (s->during != NULL)
        s->during();
    return true;
}

static void still_thaw(void *arg) { ((struct still *)arg)->thaws++; }

static struct cut_ops cut_of(struct still *s)
{
    return (struct cut_ops){ still_freeze, still_thaw, s };
}

static void compare_restored(void)
{
    struct err err = { 0 };
    struct restore_report report;
    cr_assert(fixture_restore_to(&f, f.head, f.out, &report, &err), "%s", err.msg);
    fixture_same(f.state, f.out);
}

static void commit_of(struct fixture *g)
{
    if (g->last.is_changed) {
        checkpoint_committed(g->cp);
        memcpy(g->head, g->last.id, sizeof(g->head));
    }
}

static void commit(void) { commit_of(&f); }

Test(take, unchanged_tree_does_not_stop_the_agent)
{
    struct err err = { 0 };
    struct still still = { 0 };
    struct cut_ops cut = cut_of(&still);
    fixture_write(&f, "a", "1", 1);
    cr_assert(fixture_try(&f, &cut, &err), "%s", err.msg);
    commit();
    cr_assert_eq(still.freezes, 1);
    cr_assert_eq(f.last.cut, CUT_CONSISTENT);
    cr_assert(fixture_try(&f, &cut, &err), "%s", err.msg);
    cr_assert_not(f.last.is_changed);
    cr_assert_eq(still.freezes, 1);
    cr_assert_geq(still.last_max_ms, CHECKPOINT_FREEZE_MS);
    cr_assert_leq(still.last_max_ms, CHECKPOINT_FREEZE_MAX_MS);
}

/* What is written last before the freeze: an append, a change in place, a new file, a removal. */
static void write_before_the_cut(void)
{
    CLEANUP(str_freep) char *gone = str_format("%s/gone", f.state);
    fixture_append(&f, "log.jsonl", "late line\n");
    fixture_write(&f, "new", "late file", 9);
    (void)unlink(gone);
    CLEANUP(str_freep) char *path = str_format("%s/state.db", f.state);
    CLEANUP(fd_closep) struct fd db = { open(path, O_WRONLY | O_CLOEXEC) };
    cr_assert_eq(pwrite(db.raw, "late page", 9, 100000), 9);
}

Test(take, what_was_written_before_the_freeze_is_in_the_checkpoint)
{
    struct err err = { 0 };
    struct still still = { .during = write_before_the_cut };
    struct cut_ops cut = cut_of(&still);
    uint8_t db[200000];
    fixture_noise(db, sizeof(db), 3);
    memcpy(db, "SQLite format 3", 16);
    fixture_write(&f, "state.db", db, sizeof(db));
    fixture_write_noise(&f, "log.jsonl", 700000, 1);
    fixture_write(&f, "gone", "x", 1);
    cr_assert(fixture_try(&f, &cut, &err), "%s", err.msg);
    commit();
    cr_assert_eq(f.last.cut, CUT_CONSISTENT, "%s", f.last.why_fuzzy);
    cr_assert_eq(still.thaws, 1);
    compare_restored();
    cr_assert_not(fixture_save(&f));
}

static void write_too_much(void) { fixture_write_noise(&f, "huge", 6000000, 2); }

Test(take, more_than_the_pause_can_hold_is_tried_again)
{
    struct err err = { 0 };
    struct still still = { .during = write_too_much };
    struct cut_ops cut = cut_of(&still);
    fixture_write(&f, "a", "1", 1);
    struct checkpoint_request request = {
        .reason = "test", .cut = &cut, .freeze_ms = 10000, .until = fixture_soon()
    };
    cr_assert(checkpoint_take(f.cp, &request, &f.last, &err), "%s", err.msg);
    commit();
    /* Each freeze writes the same bytes again: the second one finds the content known. */
    cr_assert_eq(f.last.cut, CUT_CONSISTENT, "%s", f.last.why_fuzzy);
    cr_assert_geq(still.freezes, 2);
    cr_assert_eq(still.freezes, still.thaws);
    compare_restored();
}

static uint64_t generation;
static void write_other_bytes(void) { fixture_write_noise(&f, "huge", 6000000, ++generation); }

Test(take, cut_that_never_fits_is_fuzzy_and_says_why)
{
    struct err err = { 0 };
    struct still still = { .during = write_other_bytes };
    struct cut_ops cut = cut_of(&still);
    struct checkpoint_request request = {
        .reason = "test", .cut = &cut, .freeze_ms = 10000, .until = fixture_soon()
    };
    cr_assert(checkpoint_take(f.cp, &request, &f.last, &err), "%s", err.msg);
    commit();
    cr_assert_eq(f.last.cut, CUT_FUZZY);
    cr_assert_neq(f.last.why_fuzzy[0], '\0');
    cr_assert_eq(still.freezes, 3);
    cr_assert_eq(still.thaws, 3);
    compare_restored(); /* nobody wrote after the last freeze */
}

Test(take, freezer_that_refuses_makes_a_fuzzy_checkpoint)
{
    struct err err = { 0 };
    struct still still = { .refuses = true };
    struct cut_ops cut = cut_of(&still);
    fixture_write(&f, "a", "1", 1);
    cr_assert(fixture_try(&f, &cut, &err), "%s", err.msg);
    commit();
    cr_assert_eq(f.last.cut, CUT_FUZZY);
    cr_assert_str_eq(f.last.why_fuzzy, "freeze: not in time");
    cr_assert_eq(still.thaws, 0);
    compare_restored();
}

static void be_slow(void)
{
    struct boot end = boot_add_ms(boot_now(), 12);
    while (boot_now().ns < end.ns)
        ;
    fixture_append(&f, "a", "x");
}

Test(take, pause_that_is_over_does_not_count_as_consistent)
{
    struct err err = { 0 };
    struct still still = { .during = be_slow };
    struct cut_ops cut = cut_of(&still);
    fixture_write(&f, "a", "1", 1);
    struct checkpoint_request request = {
        .reason = "test", .cut = &cut, .freeze_ms = 10, .until = fixture_soon()
    };
    cr_assert(checkpoint_take(f.cp, &request, &f.last, &err), "%s", err.msg);
    commit();
    cr_assert_eq(f.last.cut, CUT_FUZZY);
    compare_restored();
}

static void only_wait(void)
{
    struct boot end = boot_add_ms(boot_now(), 12);
    while (boot_now().ns < end.ns)
        ;
}

/* The other side has ended the freeze by then: what a look at the names found is no proof. */
Test(take, late_look_at_an_unchanged_tree_is_no_proof_either)
{
    struct err err = { 0 };
    struct still still = { .during = only_wait };
    struct cut_ops cut = cut_of(&still);
    CLEANUP(str_freep) char *dir = str_format("%s/d", f.state);
    cr_assert_eq(mkdir(dir, 0700), 0);
    struct checkpoint_request request = {
        .reason = "test", .cut = &cut, .freeze_ms = 10, .until = fixture_soon()
    };
    cr_assert(checkpoint_take(f.cp, &request, &f.last, &err), "%s", err.msg);
    commit();
    cr_assert_eq(f.last.cut, CUT_FUZZY);
    cr_assert_neq(f.last.why_fuzzy[0], '\0');
}

Test(take, fifo_socket_and_device_are_skipped_at_once)
{
    struct err err = { 0 };
    CLEANUP(str_freep) char *fifo = str_format("%s/fifo", f.state);
    CLEANUP(str_freep) char *device = str_format("%s/device", f.state);
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s/socket", f.state);
    CLEANUP(fd_closep) struct fd bound = { socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    cr_assert_eq(bind(bound.raw, (struct sockaddr *)&name, sizeof(name)), 0);
    uint32_t special = 2 + (mknod(device, S_IFCHR | 0600, makedev(1, 3)) == 0);
    fixture_write(&f, "a", "1", 1);
    struct boot began = boot_now();
    cr_assert(fixture_try(&f, NULL, &err), "%s", err.msg);
    cr_assert_lt(boot_diff_ms(boot_now(), began), 1000);
    cr_assert_eq(f.last.skipped, special);
    cr_assert_eq(f.last.totals.files, 1);
    commit();
    cr_assert_not(fixture_save(&f));
    cr_assert_eq(f.last.skipped, special); /* also when the directory was not read again */
}

Test(take, unreadable_file_is_an_error_that_names_it)
{
    struct err err = { 0 };
    if (geteuid() == 0)
        cr_skip("root reads everything"); /* leaves by a jump: nothing may be owned here */
    fixture_write(&f, "secret", "1", 1);
    CLEANUP(str_freep) char *path = str_format("%s/secret", f.state);
    cr_assert_eq(chmod(path, 0), 0);
    cr_assert_not(fixture_try(&f, NULL, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    cr_assert_not_null(strstr(err.msg, "secret"));
}

/* F-36: the same size, the time set back, twice within a tick. In memory, so that a thousand
 * restores take seconds. */
static void restore_beside(struct fixture *g)
{
    struct err err = { 0 };
    struct restore_report report;
    cr_assert(fixture_restore_to(g, g->head, g->out, &report, &err), "%s", err.msg);
    CLEANUP(fd_closep) struct fd a = { open(g->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    CLEANUP(fd_closep) struct fd b = { open(g->out, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    fixture_same_dir(a.raw, b.raw);
}

Test(take, rewrites_of_the_same_size_are_never_missed)
{
    struct fixture g;
    uint64_t random = 12345;
    fixture_begin_at(&g, "/dev/shm", NULL);
    fixture_open(&g, NULL, 0);
    CLEANUP(str_freep) char *path = str_format("%s/f0", g.state);
    for (int i = 0; i < 1000; i++) {
        uint8_t bytes[3000];
        fixture_noise(bytes, sizeof(bytes), (uint64_t)i);
        char name[8];
        (void)snprintf(name, sizeof(name), "f%d", (int)(fixture_random(&random) % 3));
        fixture_write(&g, name, bytes, sizeof(bytes));
        if (fixture_random(&random) % 2 == 0) {
            struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
            (void)utimensat(AT_FDCWD, path, times, 0);
        }
        if (fixture_random(&random) % 3 == 0) /* twice within one tick, a checkpoint in between */
            (void)fixture_save(&g);
        bytes[fixture_random(&random) % sizeof(bytes)] ^= 1;
        fixture_write(&g, name, bytes, sizeof(bytes));
        (void)fixture_save(&g);
        restore_beside(&g);
    }
    fixture_end(&g);
}

/* F-40: stores through a mapping while the file is read, and one after the last look at its times.
 */
static void write_mapped(uint64_t *words, size_t count)
{
    for (uint64_t i = 1;; i++)
        words[i * 37 % count] = i;
}

Test(take, stores_through_a_mapping_are_saved_and_never_mixed_up)
{
    struct err err = { 0 };
    const size_t size = 400000;
    fixture_write_noise(&f, "map", size, 1);
    CLEANUP(str_freep) char *path = str_format("%s/map", f.state);
    CLEANUP(fd_closep) struct fd fd = { open(path, O_RDWR | O_CLOEXEC) };
    uint64_t *words = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.raw, 0);
    cr_assert_neq(words, MAP_FAILED);
    struct writer w = start_writer();
    if (w.pid == 0)
        write_mapped(words, size / 8);
    for (int i = 0; i < 500; i++) {
        cr_assert(fixture_try(&f, NULL, &err), "%s", err.msg);
        commit();
    }
    end_writer(&w);
    struct checkpoint_source source = fixture_source(&f);
    struct verify_report verified;
    cr_assert(checkpoint_verify(&source, f.head, fixture_soon(), &verified, &err), "%s", err.msg);
    for (uint64_t i = 0; i < 8; i++) {
        struct boot end = boot_add_ms(boot_now(), 2 * SCAN_TICK_NS / NS_PER_MS);
        words[1000] = i; /* a page that is mapped and was dirty a moment ago */
        while (boot_now().ns < end.ns)
            ; /* until the times are old enough to be believed */
        cr_assert(fixture_save(&f) || i == 0);
    }
    compare_restored(); /* only now: it syncs the file system, which makes pages clean */
    cr_assert_eq(munmap(words, size), 0);
}

Test(take, changes_in_place_of_a_log_wait_for_the_next_exact_checkpoint_at_most)
{
    struct err err = { 0 };
    struct checkpoint_request trusting = { .reason = "interval",
                                           .may_trust_growth = true,
                                           .until = fixture_soon() };
    CLEANUP(str_freep) char *path = str_format("%s/x.jsonl", f.state);
    fixture_write_noise(&f, "x.jsonl", 6000000, 1);
    cr_assert(fixture_save(&f));
    for (off_t at = 0; at < 6000000; at += 200000) {
        CLEANUP(fd_closep) struct fd fd = { open(path, O_WRONLY | O_CLOEXEC) };
        cr_assert_eq(pwrite(fd.raw, "in place", 8, at), 8);
        fixture_append(&f, "x.jsonl", "line\n");
        trusting.until = fixture_soon();
        cr_assert(checkpoint_take(f.cp, &trusting, &f.last, &err), "%s", err.msg);
        commit();
        if (at % 1000000 == 0) {
            (void)fixture_save(&f); /* exact, although the times say that nothing changed */
            compare_restored();
        }
    }
}

static enum mem_fault fail_from(void *arg, enum mem_op op, const char *name)
{
    (void)name;
    int *left = arg;
    if (op != MEM_PACK_WRITE)
        return MEM_OK;
    return (*left)-- > 0 ? MEM_OK : MEM_FULL;
}

Test(take, store_that_fills_up_at_any_write_costs_nothing_but_time)
{
    struct err err = { 0 };
    struct mem_server *server = mem_server_new();
    struct store *file_store = f.store;
    checkpoint_free(f.cp);
    f.store = mem_server_connect(server);
    fixture_open(&f, NULL, 0);
    fixture_write_noise(&f, "big", 900000, 1);
    for (int writes = 0;; writes++) {
        int left = writes;
        err = (struct err){ 0 };
        mem_server_hook(server, fail_from, &left);
        bool good = fixture_try(&f, NULL, &err);
        mem_server_hook(server, NULL, NULL);
        if (good)
            break;
        cr_assert_eq(err.kind, ERR_SYSTEM, "%s", err.msg);
        cr_assert_eq(err.os_errno, ENOSPC);
        cr_assert_lt(writes, 100);
    }
    commit();
    compare_restored();
    fixture_append(&f, "big", "more");
    cr_assert(fixture_save(&f));
    compare_restored();
    checkpoint_free(f.cp);
    f.cp = NULL;
    store_close(f.store);
    mem_server_free(server);
    f.store = file_store;
}

static size_t files_below(const char *path)
{
    CLEANUP(str_freep) char *command = str_format("find '%s' -type f | wc -l", path);
    FILE *out = popen(command, "re");
    unsigned count = 0;
    cr_assert_eq(fscanf(out, "%u", &count), 1);
    (void)pclose(out);
    return count;
}

Test(take, full_disk_of_the_store_leaves_nothing_behind_and_heals)
{
    struct err err = { 0 };
    struct fixture g;
    CLEANUP(str_freep) char *small = str_format("%s/small", f.dir);
    CLEANUP(str_freep) char *url = str_format("file://%s/store?create=true", small);
    cr_assert_eq(mkdir(small, 0755), 0);
    if (mount("tmpfs", small, "tmpfs", 0, "size=4m") < 0)
        cr_skip("needs CAP_SYS_ADMIN for a tmpfs");
    fixture_begin_at(&g, "/tmp", url);
    fixture_open(&g, NULL, 0);
    fixture_write(&g, "a", "1", 1);
    cr_assert(fixture_save(&g));
    size_t before = files_below(small);
    fixture_write_noise(&g, "big", 8000000, 1);
    cr_assert_not(fixture_try(&g, NULL, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM, "%s", err.msg);
    cr_assert_eq(err.os_errno, ENOSPC, "%s", err.msg);
    cr_assert_eq(files_below(small), before);
    fixture_write_noise(&g, "big", 1000000, 1);
    cr_assert(fixture_save(&g));
    /* Read-only from here on. */
    cr_assert_eq(mount(NULL, small, NULL, MS_REMOUNT | MS_RDONLY, "size=4m"), 0);
    fixture_write(&g, "a", "2", 1);
    cr_assert_not(fixture_try(&g, NULL, &err));
    cr_assert(err.kind == ERR_DENIED || err.kind == ERR_SYSTEM, "%s", err.msg);
    cr_assert_eq(mount(NULL, small, NULL, MS_REMOUNT, "size=4m"), 0);
    cr_assert(fixture_save(&g));
    fixture_end(&g);
    cr_assert_eq(umount(small), 0);
}

Test(take, many_small_checkpoints_need_few_packs)
{
    struct err err = { 0 };
    struct fixture g;
    fixture_begin_at(&g, "/dev/shm", NULL);
    fixture_open(&g, NULL, 0);
    for (int i = 0; i < 700; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "f%d", i);
        fixture_write(&g, name, name, sizeof(name));
        cr_assert(fixture_save(&g));
    }
    struct checkpoint_source source = fixture_source(&g);
    CLEANUP(manifest_fini) struct manifest m = { 0 };
    cr_assert(history_read(&source, g.head, fixture_soon(), &m, &err), "%s", err.msg);
    cr_assert_leq(m.pack_count, 258);
    restore_beside(&g);
    fixture_end(&g);
}

Test(take, limits_of_the_format_are_errors_that_name_the_path)
{
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf deep = { 0 };
    buf_put_str(&deep, f.state);
    for (int i = 0; i < 201; i++)
        buf_put_str(&deep, "/d");
    cr_assert(dir_make(buf_borrow_str(&deep), 0700, &err), "%s", err.msg);
    cr_assert_not(fixture_try(&f, NULL, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, "d/d/d"));
}
