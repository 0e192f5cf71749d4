#include "sidecar/checkpoint/fixture_test.h"
#include "sidecar/checkpoint/history.h"
#include "sidecar/store/name.h"

static struct fixture f;
static struct keyring *keyring;
static struct salvage found;
static struct err err;

/* As the lease does it: a data key drawn for the agent, wrapped by the key file. */
static void begin(void)
{
    fixture_begin(&f);
    CLEANUP(str_freep) char *key = str_format("%s/key", f.dir);
    cr_assert(keyring_open(key, true, &keyring, &err), "%s", err.msg);
    keyring_wrap_new(keyring, FIXTURE_NAME, f.wrapped_key);
    agent_keys_free(f.keys);
    cr_assert(keyring_unwrap(keyring, FIXTURE_NAME, view_of(f.wrapped_key, sizeof f.wrapped_key),
                             &f.keys, &err));
    checkpoint_free(f.cp);
    fixture_open(&f, NULL, 0);
}

static void end(void)
{
    salvage_fini(&found);
    keyring_close(keyring);
    fixture_end(&f);
}

TestSuite(salvage, .init = begin, .fini = end);

static bool find_in(size_t max)
{
    const struct checkpoint_source source = { .store = f.store, .name = FIXTURE_NAME };
    salvage_fini(&found);
    err = (struct err){ 0 };
    return salvage_find(&source, keyring, max, fixture_soon(), &found, &err);
}

static bool find(void) { return find_in(0); }

static void save(const char *text)
{
    fixture_write(&f, "a", text, strlen(text));
    cr_assert(fixture_save(&f));
}

/* A bit of a pack of the store is flipped, `at` bytes from the front or, below 0, from the end. */
static void flip(const char *pack, off_t at)
{
    char name[NAME_PATH_BYTES];
    uint8_t byte;
    name_encode(FIXTURE_NAME, name);
    CLEANUP(str_freep) char *path = str_format("%s/store/agents/%s/packs/%s", f.dir, name, pack);
    cr_assert(chmod(path, 0600) == 0);
    CLEANUP(fd_closep) struct fd fd = { open(path, O_RDWR | O_CLOEXEC) };
    cr_assert(fd_is_open(fd), "%s", path);
    off_t from = at < 0 ? lseek(fd.raw, 0, SEEK_END) + at : at;
    cr_assert_eq(pread(fd.raw, &byte, 1, from), 1);
    byte ^= 1;
    cr_assert_eq(pwrite(fd.raw, &byte, 1, from), 1);
}

Test(salvage, key_and_newest_checkpoint_come_from_the_packs_alone)
{
    save("one");
    save("two");
    cr_assert(find(), "%s", err.msg);
    cr_assert_str_eq(found.head, f.head);
    cr_assert(found.sequence == 2 && found.epoch == 7 && found.damaged == 0);
    struct checkpoint_source source = { f.store, FIXTURE_NAME, found.keys, 0, NULL };
    struct restore_spec spec = { .id = found.head, .target = f.out, .until = fixture_soon() };
    struct restore_report report;
    cr_assert(checkpoint_restore(&source, &spec, &report, &err), "%s", err.msg);
    fixture_same(f.state, f.out);
}

Test(salvage, no_packs_are_not_found)
{
    cr_assert_not(find());
    cr_assert_eq(err.kind, ERR_NOT_FOUND, "%s", err.msg);
}

Test(salvage, store_that_is_not_there_is_unavailable)
{
    save("one");
    CLEANUP(str_freep) char *store = str_format("%s/store", f.dir);
    CLEANUP(str_freep) char *away = str_format("%s/away", f.dir);
    cr_assert_eq(rename(store, away), 0);
    cr_assert_not(find());
    cr_assert_eq(err.kind, ERR_UNAVAILABLE, "%s", err.msg);
    cr_assert_eq(rename(away, store), 0);
}

Test(salvage, damaged_newest_is_passed_over_and_counted)
{
    save("one");
    char first[PACK_ID_TEXT];
    memcpy(first, f.head, sizeof first);
    save("two");
    flip(f.head, -1);
    cr_assert(find(), "%s", err.msg);
    cr_assert_str_eq(found.head, first);
    cr_assert_eq(found.damaged, 1);
    flip(f.head, -1);
    flip(f.head, 60); /* its copy of the key; the one before has the same */
    cr_assert(find(), "%s", err.msg);
    cr_assert_str_eq(found.head, f.head);
}

/* With a foreign key file every pack would be read, from a slow store beyond any deadline. */
Test(salvage, no_more_packs_are_read_than_asked_for)
{
    save("one");
    char first[PACK_ID_TEXT];
    memcpy(first, f.head, sizeof first);
    for (int i = 0; i < 2; i++) {
        save(i == 0 ? "two" : "three");
        flip(f.head, 60);
        flip(f.head, -1);
    }
    cr_assert_not(find_in(2));
    cr_assert_eq(err.kind, ERR_CORRUPT, "%s", err.msg);
    cr_assert(find_in(3), "%s", err.msg);
    cr_assert_str_eq(found.head, first);
    cr_assert(find(), "%s", err.msg);
}

Test(salvage, nothing_whole_is_corrupt_and_names_the_pack)
{
    save("one");
    flip(f.head, -1);
    cr_assert_not(find());
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_not_null(strstr(err.msg, f.head), "%s", err.msg);
    flip(f.head, -1);
    flip(f.head, 60);
    cr_assert_not(find());
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_not_null(strstr(err.msg, "header"), "%s", err.msg);
}

Test(salvage, other_key_file_is_corrupt_and_both_ids_are_told)
{
    save("one");
    CLEANUP(str_freep) char *path = str_format("%s/other", f.dir);
    CLEANUP(str_freep) char *right = str_copy(keyring_borrow_id(keyring));
    keyring_close(keyring);
    cr_assert(keyring_open(path, true, &keyring, &err));
    cr_assert_not(find());
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_not_null(strstr(err.msg, right), "%s", err.msg);
}

/* An attempt that was never committed and the checkpoint of the next holder: one sequence. */
Test(salvage, later_epoch_wins_among_packs_of_one_sequence)
{
    save("one");
    fixture_write(&f, "a", "lost", 4);
    cr_assert(fixture_try(&f, NULL, &err));
    checkpoint_dropped(f.cp);
    checkpoint_free(f.cp);
    struct checkpoint_spec spec = { .source = fixture_source(&f), .root = f.state, .epoch = 8 };
    struct restore_report report;
    cr_assert(checkpoint_new(&spec, &f.cp, &err) &&
              checkpoint_restore_into(f.cp, f.head, NULL, fixture_soon(), &report, &err));
    save("two");
    cr_assert(find(), "%s", err.msg);
    cr_assert_str_eq(found.head, f.head);
    cr_assert(found.sequence == 2 && found.epoch == 8);
}

Test(salvage, later_attempt_wins_among_packs_of_one_epoch)
{
    fixture_write(&f, "a", "lost", 4);
    cr_assert(fixture_try(&f, NULL, &err));
    checkpoint_dropped(f.cp);
    while (wall_now().ns / NS_PER_MS <= f.last.wall_ms)
        continue;
    save("kept");
    cr_assert(find(), "%s", err.msg);
    cr_assert_str_eq(found.head, f.head);
}

/* proto/golden: a pack of format 2 and the key file that opens it. */
#define GOLDEN_PACK "00000001-fd9eabf10a5be846"

static char *golden(const char *name)
{
    return str_format("%.*s/proto/golden/%s", (int)(strstr(__FILE__, "/sidecar/") - __FILE__),
                      __FILE__, name);
}

Test(salvage, pack_and_key_file_of_the_past_are_enough)
{
    struct pack_writer *writer = NULL;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(buf_fini) struct buf line = { 0 };
    CLEANUP(buf_fini) struct buf notes = { 0 };
    CLEANUP(str_freep) char *pack = golden(GOLDEN_PACK);
    CLEANUP(str_freep) char *key = golden("agent.key");
    CLEANUP(str_freep) char *copy = str_format("%s/golden-key", f.dir);
    CLEANUP(str_freep) char *file = str_format("%s/notes.txt", f.out);
    cr_assert(file_read(AT_FDCWD, pack, 100000, &bytes, &err) &&
                  file_read(AT_FDCWD, key, 1000, &line, &err) &&
                  file_publish(AT_FDCWD, copy, buf_view(&line), 0600, FILE_REPLACE, &err),
              "%s", err.msg);
    keyring_close(keyring);
    cr_assert(keyring_open(copy, false, &keyring, &err), "%s", err.msg);
    cr_assert(store_pack_create(f.store, FIXTURE_NAME, GOLDEN_PACK, fixture_soon(), &writer, &err));
    cr_assert(pack_put(writer, buf_view(&bytes), fixture_soon(), &err) &&
              pack_commit(&writer, fixture_soon(), &err));
    cr_assert(find(), "%s", err.msg);
    cr_assert_str_eq(found.head, GOLDEN_PACK);
    struct checkpoint_source source = { f.store, FIXTURE_NAME, found.keys, 0, NULL };
    struct restore_spec spec = { .id = found.head, .target = f.out, .until = fixture_soon() };
    struct restore_report report;
    cr_assert(checkpoint_restore(&source, &spec, &report, &err), "%s", err.msg);
    cr_assert(file_read(AT_FDCWD, file, 100, &notes, &err), "%s", err.msg);
    cr_assert(view_is_equal(buf_view(&notes), view_str("first state\n")));
}
