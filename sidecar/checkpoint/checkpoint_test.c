#include "sidecar/checkpoint/checkpoint.h"

#include "sidecar/checkpoint/fixture_test.h"

static struct fixture f;
static void begin(void) { fixture_begin(&f); }
static void end(void) { fixture_end(&f); }
TestSuite(checkpoint, .init = begin, .fini = end);

static void restored_is_same(void)
{
    struct err err = { 0 };
    struct restore_report report;
    cr_assert(fixture_restore_to(&f, f.head, f.out, &report, &err), "%s", err.msg);
    fixture_same(f.state, f.out);
}

Test(checkpoint, empty_directory_is_a_checkpoint)
{
    cr_assert(fixture_save(&f));
    cr_assert_eq(f.last.totals.dirs, 1);
    cr_assert_eq(f.last.sequence, 1);
    restored_is_same();
}

Test(checkpoint, unchanged_tree_writes_nothing)
{
    fixture_write(&f, "a.txt", "hello", 5);
    cr_assert(fixture_save(&f));
    for (int i = 0; i < 3; i++)
        cr_assert_not(fixture_save(&f));
    struct store *store = f.store;
    uint64_t size = 0;
    struct err err = { 0 };
    cr_assert(store_pack_size(store, FIXTURE_NAME, f.head, fixture_soon(), &size, &err));
}

Test(checkpoint, files_of_many_sizes_come_back)
{
    static const size_t sizes[] = { 0,     1,     16383,  16384,  16385,   32768,
                                    65536, 65537, 262144, 262145, 1000000, 3000000 };
    for (size_t i = 0; i < COUNT(sizes); i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "f%zu", i);
        fixture_write_noise(&f, name, sizes[i], i);
    }
    cr_assert(fixture_save(&f));
    restored_is_same();
}

Test(checkpoint, appended_line_stores_little_and_comes_back)
{
    fixture_write_noise(&f, "log.jsonl", 5000000, 1);
    cr_assert(fixture_save(&f));
    for (int i = 0; i < 5; i++) {
        fixture_append(&f, "log.jsonl", "one more line\n");
        cr_assert(fixture_save(&f));
        cr_assert_lt(f.last.stored_bytes, 400000);
    }
    restored_is_same();
}

Test(checkpoint, dropped_candidate_changes_nothing)
{
    struct err err = { 0 };
    fixture_write(&f, "a", "1", 1);
    cr_assert(fixture_save(&f));
    fixture_write(&f, "a", "22", 2);
    cr_assert(fixture_try(&f, NULL, &err), "%s", err.msg);
    checkpoint_dropped(f.cp);
    cr_assert(fixture_save(&f));
    cr_assert_eq(f.last.sequence, 2);
    restored_is_same();
}

Test(checkpoint, restored_head_is_built_upon_without_storing_again)
{
    fixture_write_noise(&f, "big", 2000000, 3);
    cr_assert(fixture_save(&f));
    checkpoint_free(f.cp);
    fixture_open(&f, NULL, 0);
    cr_assert_not(fixture_save(&f));
    fixture_write(&f, "small", "x", 1);
    cr_assert(fixture_save(&f));
    cr_assert_lt(f.last.stored_bytes, 20000);
    cr_assert_eq(f.last.sequence, 2);
    restored_is_same();
}

Test(checkpoint, head_of_a_later_epoch_is_fenced)
{
    struct err err = { 0 };
    cr_assert(fixture_save(&f));
    checkpoint_free(f.cp);
    struct checkpoint_spec spec = { .source = fixture_source(&f), .root = f.state, .epoch = 6 };
    cr_assert(checkpoint_new(&spec, &f.cp, &err));
    struct restore_report report;
    cr_assert_not(checkpoint_restore_into(f.cp, f.head, NULL, fixture_soon(), &report, &err));
    cr_assert_eq(err.kind, ERR_FENCED);
}

Test(checkpoint, restored_tree_is_known_at_once)
{
    struct err err = { 0 };
    struct restore_report report;
    fixture_write_noise(&f, "big", 2000000, 3);
    cr_assert(fixture_save(&f));
    checkpoint_free(f.cp);
    f.cp = NULL;
    cr_assert(dir_remove_tree(f.state, &err));
    struct checkpoint_spec spec = { .source = fixture_source(&f), .root = f.state, .epoch = 8 };
    cr_assert(checkpoint_new(&spec, &f.cp, &err));
    cr_assert(checkpoint_restore_into(f.cp, f.head, NULL, fixture_soon(), &report, &err), "%s",
              err.msg);
    cr_assert_not(fixture_save(&f));
    fixture_write(&f, "small", "x", 1);
    cr_assert(fixture_save(&f));
    cr_assert_eq(f.last.epoch, 8);
    cr_assert_lt(f.last.stored_bytes, 20000);
    restored_is_same();
}

Test(checkpoint, excluded_files_stay_out)
{
    struct err err = { 0 };
    static const char *const patterns[] = { "*.tmp", "cache/**" };
    CLEANUP(str_freep) char *cache = str_format("%s/cache", f.state);
    cr_assert_eq(mkdir(cache, 0700), 0);
    fixture_write(&f, "a.tmp", "1", 1);
    fixture_write(&f, "cache/b", "1", 1);
    fixture_write(&f, "c", "1", 1);
    checkpoint_free(f.cp);
    fixture_open(&f, patterns, COUNT(patterns));
    cr_assert(fixture_save(&f));
    cr_assert_eq(f.last.totals.files, 1);
    cr_assert_eq(f.last.totals.dirs, 2);
    fixture_write(&f, "cache/d", "1", 1);
    cr_assert(fixture_save(&f)); /* the directory's time changed, nothing else */
    cr_assert_eq(f.last.totals.files, 1);
    static const char *const bad[] = { "/abs" };
    struct checkpoint_spec spec = {
        .source = fixture_source(&f), .root = f.state, .exclude = bad, .exclude_count = 1
    };
    struct checkpoint *none = NULL;
    cr_assert_not(checkpoint_new(&spec, &none, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(checkpoint, missing_directory_is_not_found)
{
    struct err err = { 0 };
    cr_assert(dir_remove_tree(f.state, &err));
    cr_assert_not(fixture_try(&f, NULL, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
}
