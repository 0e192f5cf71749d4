#include "sidecar/checkpoint/history.h"

#include "sidecar/checkpoint/fixture_test.h"

static struct fixture f;
static void begin(void) { fixture_begin(&f); }
static void end(void) { fixture_end(&f); }
TestSuite(history, .init = begin, .fini = end);

static int64_t seen[20];
static size_t seen_count;

static bool note(void *arg, const struct manifest *m, struct err *err)
{
    (void)arg;
    cr_assert_str_eq(m->name, FIXTURE_NAME);
    cr_assert_str_eq(m->reason, "test");
    seen[seen_count++] = (int64_t)m->id.sequence;
    return seen_count < 15 || err_set(err, ERR_INVALID, "enough");
}

static void save_five(void)
{
    for (int i = 0; i < 5; i++) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%d", i);
        fixture_write(&f, "a", text, strlen(text));
        cr_assert(fixture_save(&f));
    }
}

static bool walk(size_t max, struct err *err)
{
    struct checkpoint_source source = fixture_source(&f);
    seen_count = 0;
    *err = (struct err){ 0 };
    return history_walk(&source, f.head, max, fixture_soon(), note, NULL, err);
}

Test(history, ancestors_come_newest_first)
{
    struct err err;
    save_five();
    cr_assert(walk(0, &err), "%s", err.msg);
    cr_assert_eq(seen_count, 5);
    for (size_t i = 0; i < 5; i++)
        cr_assert_eq(seen[i], (int64_t)(5 - i));
    cr_assert(walk(2, &err));
    cr_assert_eq(seen_count, 2);
}

static void remove_third(void)
{
    struct err err = { 0 };
    struct checkpoint_source source = fixture_source(&f);
    CLEANUP(manifest_fini) struct manifest m = { 0 };
    CLEANUP(manifest_fini) struct manifest parent = { 0 };
    char name[PACK_ID_TEXT];
    cr_assert(history_read(&source, f.head, fixture_soon(), &m, &err), "%s", err.msg);
    pack_id_format(m.parent, name);
    cr_assert(history_read(&source, name, fixture_soon(), &parent, &err), "%s", err.msg);
    pack_id_format(parent.parent, name);
    cr_assert(store_pack_remove(f.store, FIXTURE_NAME, name, fixture_soon(), &err));
}

Test(history, walk_ends_where_older_ones_were_pruned)
{
    struct err err;
    save_five();
    remove_third();
    cr_assert(walk(0, &err), "%s", err.msg);
    cr_assert_eq(seen_count, 2);
}

Test(history, missing_head_is_not_found_and_no_id_is_invalid)
{
    struct err err;
    (void)snprintf(f.head, sizeof(f.head), "00000005-0011223344556677");
    cr_assert_not(walk(0, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert_not_null(strstr(err.msg, f.head), "%s", err.msg);
    (void)snprintf(f.head, sizeof(f.head), "latest");
    cr_assert_not(walk(0, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

static bool count_entry(void *arg, const struct tree_entry *entry, struct err *err)
{
    (void)entry, (void)err;
    ++*(size_t *)arg;
    return true;
}

Test(history, entries_of_a_large_tree_come_in_order)
{
    struct err err = { 0 };
    struct checkpoint_source source = fixture_source(&f);
    CLEANUP(manifest_fini) struct manifest m = { 0 };
    for (int i = 0; i < 3000; i++) {
        char name[200];
        (void)snprintf(name, sizeof(name), "%0150d-%d", i, i);
        fixture_write(&f, name, name, 10);
    }
    cr_assert(fixture_save(&f));
    size_t count = 0;
    cr_assert(history_read(&source, f.head, fixture_soon(), &m, &err), "%s", err.msg);
    cr_assert(history_entries(&source, &m, fixture_soon(), count_entry, &count, &err), "%s",
              err.msg);
    cr_assert_eq(count, 3001);
    cr_assert_eq(m.totals.files, 3000);
}

Test(history, damaged_parent_is_an_error_not_an_end)
{
    struct err err = { 0 };
    char first[PACK_ID_TEXT];
    fixture_write(&f, "a", "1", 1);
    cr_assert(fixture_save(&f));
    memcpy(first, f.head, sizeof(first));
    fixture_write(&f, "a", "2", 1);
    cr_assert(fixture_save(&f));
    CLEANUP(str_freep)
    char *path = str_format("%s/store/agents/prod%%2Fweb%%2F1/packs/%s", f.dir, first);
    cr_assert_eq(truncate(path, 100), 0);
    cr_assert_not(walk(0, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_eq(seen_count, 1);
}

Test(history, threads_default_to_what_the_machine_has)
{
    struct checkpoint_source source = { .threads = 0 };
    cr_assert(source_threads(&source) >= 1 && source_threads(&source) <= 2);
    source.threads = 7;
    cr_assert_eq(source_threads(&source), 7);
}
