#include "sidecar/store/known.h"

#include "sidecar/store/disk_test.h"

#include <criterion/criterion.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static char *notes_of(const struct disk *d) { return str_format("%s/" KNOWN_DIR, d->dir); }

/* A handle of a new process on this node. */
static struct store *visit(const struct disk *d, const char *params, bool is_fixed)
{
    CLEANUP(str_freep) char *url = str_format("file://%s%s", d->root, params);
    CLEANUP(str_freep) char *notes = notes_of(d);
    const struct store_memory memory = { notes, is_fixed };
    struct store *store = NULL;
    struct err err = { 0 };
    cr_assert(store_open(url, &memory, &store, &err), "%s", err.msg);
    return store;
}

static void visit_works(const struct disk *d, const char *params)
{
    CLEANUP(store_closep) struct store *store = visit(d, params, false);
    struct err err = { 0 };
    cr_assert(store_probe(store, soon(), &err), "%s", err.msg);
}

static void visit_fails(const struct disk *d, const char *params, enum err_kind kind,
                        const char *text)
{
    CLEANUP(store_closep) struct store *store = visit(d, params, false);
    struct err err = { 0 };
    expect_kind(store_probe(store, soon(), &err), &err, kind);
    cr_assert_not_null(strstr(err.msg, text), "%s", err.msg);
}

static void unmount(const struct disk *d)
{
    CLEANUP(str_freep) char *away = str_format("%s/away", d->dir);
    cr_assert(rename(d->root, away) == 0 && mkdir(d->root, 0700) == 0);
}

static void mount_again(const struct disk *d)
{
    CLEANUP(str_freep) char *away = str_format("%s/away", d->dir);
    cr_assert(rmdir(d->root) == 0 && rename(away, d->root) == 0);
}

static char *note_path(const struct disk *d)
{
    CLEANUP(str_freep) char *notes = notes_of(d);
    const struct store_memory memory = { notes, false };
    struct known known;
    known_init(&known, &memory, d->root);
    char *path = str_copy(known.path);
    known_fini(&known);
    return path;
}

/* What messages call it: they name no path, which may be cut. */
static const char *name_in(const char *note) { return strrchr(note, '/') + 1; }

Test(known, notes_are_beside_the_key_file_under_no_name_that_begins_with_its_own)
{
    static const struct {
        const char *key, *notes;
    } rows[] = { { "/etc/agent/key", "/etc/agent/known-stores" },
                 { "/key", "/known-stores" },
                 { "key", "known-stores" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(str_freep) char *notes = store_memory_beside(rows[i].key);
        cr_assert_str_eq(notes, rows[i].notes);
    }
}

/* A directory whose path has `len` bytes; the caller's. */
static char *deep_dir(const char *top, size_t len)
{
    CLEANUP(buf_fini) struct buf path = { 0 };
    struct err err = { 0 };
    buf_put_str(&path, top);
    for (size_t i = 0; path.len < len; i++)
        buf_put_u8(&path, i % 200 == 0 && path.len + 1 < len ? '/' : 'k');
    cr_assert(dir_make(buf_borrow_str(&path), 0700, &err), "%s", err.msg);
    return str_copy(buf_borrow_str(&path));
}

/* The text ends as a task event of at most 200 bytes, behind what was tried: nothing in it may
 * become something else when it is cut there. */
Test(known, note_is_named_whole_in_the_part_of_a_message_that_is_never_cut)
{
    DISK(d);
    CLEANUP(str_freep) char *top = deep_dir(d.dir, 900);
    CLEANUP(str_freep) char *root = str_format("%s/store", top);
    CLEANUP(str_freep) char *url = str_format("file://%s?create=true", root);
    CLEANUP(str_freep) char *beside = deep_dir(d.dir, 1020);
    CLEANUP(str_freep) char *key = str_format("%s/key", beside);
    CLEANUP(str_freep) char *notes = store_memory_beside(key);
    const struct store_memory memory = { notes, false };
    char name[STORE_NAME_MAX + 1] = { 0 };
    struct err err = { 0 };
    struct known known;
    struct store_version version;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    memset(name, 'n', STORE_NAME_MAX);
    known_init(&known, &memory, root);
    CLEANUP(str_freep)
    char *wanted = str_format("note %s in " KNOWN_DIR " beside the key file", known.name);
    known_fini(&known);
    CLEANUP(store_closep) struct store *first = NULL;
    cr_assert(store_open(url, &memory, &first, &err) && store_probe(first, soon(), &err), "%s",
              err.msg);
    cr_assert(dir_remove_tree(root, &err), "%s", err.msg);
    CLEANUP(store_closep) struct store *second = NULL;
    cr_assert(store_open(url, &memory, &second, &err));
    expect_kind(store_read(second, name, soon(), &bytes, &version, &err), &err, ERR_UNAVAILABLE);
    CLEANUP(str_freep) char *event = str_format("degraded: %s", err.msg);
    event[strlen(event) < 190 ? strlen(event) : 190] = '\0';
    cr_assert_not_null(strstr(event, wanted), "%s", event);
    cr_assert_null(strstr(event, "rm "), "%s", event);
    cr_assert_null(strstr(event, beside), "no path of the key file: %s", event);
}

Test(known, store_that_was_here_is_not_made_again_by_the_next_process)
{
    DISK(d);
    CLEANUP(str_freep) char *note = note_path(&d);
    visit_works(&d, "?create=true");
    unmount(&d);
    visit_fails(&d, "?create=true", ERR_UNAVAILABLE, name_in(note)); /* says which */
    visit_fails(&d, "", ERR_UNAVAILABLE, name_in(note));
    cr_assert_not(disk_has(&d, FILE_MARKER), "nothing was made");
    cr_assert_eq(rmdir(d.root), 0);
    visit_fails(&d, "?create=true", ERR_UNAVAILABLE, name_in(note));
    cr_assert_eq(mkdir(d.root, 0700), 0);
    mount_again(&d);
    visit_works(&d, "?create=true");
}

Test(known, other_store_is_refused_until_the_note_is_removed)
{
    DISK(d);
    CLEANUP(str_freep) char *note = note_path(&d);
    visit_works(&d, "?create=true");
    unmount(&d);
    CLEANUP(store_closep) struct store *other = disk_open(&d, "?create=true");
    struct err err = { 0 };
    cr_assert(store_probe(other, soon(), &err), "%s", err.msg);
    visit_fails(&d, "?create=true", ERR_UNAVAILABLE, "another store is at this path");
    visit_fails(&d, "", ERR_UNAVAILABLE, name_in(note));
    cr_assert_eq(unlink(note), 0);
    visit_works(&d, "");
}

Test(known, waiting_handle_sees_that_the_note_was_removed)
{
    DISK(d);
    CLEANUP(str_freep) char *note = note_path(&d);
    visit_works(&d, "?create=true");
    unmount(&d);
    CLEANUP(store_closep) struct store *waiting = visit(&d, "?create=true", false);
    struct err err = { 0 };
    expect_kind(store_probe(waiting, soon(), &err), &err, ERR_UNAVAILABLE);
    cr_assert_eq(unlink(note), 0);
    cr_assert(store_probe(waiting, soon(), &err), "%s", err.msg);
}

Test(known, node_that_never_met_the_store_may_join_it)
{
    DISK(d);
    CLEANUP(str_freep) char *note = note_path(&d);
    CLEANUP(store_closep) struct store *elsewhere = disk_open(&d, "?create=true");
    struct err err = { 0 };
    cr_assert(store_probe(elsewhere, soon(), &err), "%s", err.msg);
    visit_works(&d, "");
    cr_assert_eq(access(note, F_OK), 0, "and remembers it");
    unmount(&d);
    visit_fails(&d, "?create=true", ERR_UNAVAILABLE, name_in(note));
}

Test(known, stores_of_a_node_are_told_apart_by_place_not_by_spelling)
{
    DISK(d);
    struct disk second = d;
    (void)snprintf(second.root, sizeof second.root, "%s/second", d.dir);
    visit_works(&d, "?create=true");
    visit_works(&second, "?create=true");
    visit_works(&d, "?create=true&network=true");
    unmount(&d);
    (void)snprintf(second.root, sizeof second.root, "%s//./store/", d.dir);
    visit_fails(&second, "?create=true", ERR_UNAVAILABLE, "beside the key file expects its store");
}

/* Lease and packs of one agent are two handles: a store that is exchanged between their first
 * visits is seen by the second. */
Test(known, second_handle_holds_to_what_the_first_one_met)
{
    DISK(d);
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *packs = visit(&d, "?create=true", false);
    CLEANUP(store_closep) struct store *records = visit(&d, "?create=true", false);
    cr_assert(store_probe(packs, soon(), &err), "%s", err.msg);
    unmount(&d);
    expect_kind(store_probe(records, soon(), &err), &err, ERR_UNAVAILABLE);
    CLEANUP(store_closep) struct store *other = disk_open(&d, "?create=true");
    cr_assert(store_probe(other, soon(), &err), "%s", err.msg);
    expect_kind(store_probe(records, soon(), &err), &err, ERR_UNAVAILABLE);
}

Test(known, who_only_reads_makes_no_store_and_no_note)
{
    DISK(d);
    CLEANUP(str_freep) char *note = note_path(&d);
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *early = visit(&d, "?create=true", true);
    expect_kind(store_probe(early, soon(), &err), &err, ERR_UNAVAILABLE);
    cr_assert_not(disk_has(&d, FILE_MARKER));
    CLEANUP(store_closep) struct store *made = disk_open(&d, "?create=true");
    cr_assert(store_probe(made, soon(), &err) && store_probe(early, soon(), &err), "%s", err.msg);
    cr_assert_neq(access(note, F_OK), 0);
}

Test(known, damaged_note_is_corrupt_and_named)
{
    static const char later[] = "{\"store_note\":2,\"id\":\"00112233445566778899aabbccddeeff\","
                                "\"url\":\"file:///x\"}";
    static const char *const texts[] = { "", "{\"store_note\":1,\"id\":\"0011", later };
    DISK(d);
    CLEANUP(str_freep) char *note = note_path(&d);
    visit_works(&d, "?create=true");
    for (size_t i = 0; i < COUNT(texts); i++) {
        struct err err = { 0 };
        cr_assert(file_publish(AT_FDCWD, note, view_str(texts[i]), 0644, FILE_REPLACE, &err));
        visit_fails(&d, "?create=true", ERR_CORRUPT, name_in(note));
    }
    cr_assert(unlink(note) == 0 && symlink("/nowhere", note) == 0);
    visit_fails(&d, "?create=true", ERR_UNAVAILABLE, name_in(note));
}

Test(known, note_that_cannot_be_written_ends_the_visit)
{
    DISK(d);
    CLEANUP(str_freep) char *notes = notes_of(&d);
    struct err err = { 0 };
    cr_assert_eq(symlink("/no/where", notes), 0);
    CLEANUP(store_closep) struct store *store = visit(&d, "?create=true", false);
    expect_kind(store_probe(store, soon(), &err), &err, ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, "remember this store"), "%s", err.msg);
    cr_assert_eq(unlink(notes), 0);
    cr_assert(store_probe(store, soon(), &err), "the next try is a first visit: %s", err.msg);
}

Test(known, first_users_at_one_instant_agree)
{
    for (int round = 0; round < 20; round++) {
        DISK(d);
        int *good = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        for (int i = 0; i < 3; i++) {
            if (fork() != 0)
                continue;
            struct store *store = visit(&d, "?create=true", false);
            struct err err = { 0 };
            good[i] = store_probe(store, soon(), &err);
            _exit(0);
        }
        while (wait(NULL) > 0)
            continue;
        cr_assert(good[0] && good[1] && good[2]);
        munmap(good, 4096);
    }
}

/* The first user noted the directory below the mount point; the second one comes when it is
 * mounted. Nobody may go on before a person decides. */
Test(known, note_of_another_store_at_the_same_instant_is_a_refusal)
{
    DISK(d);
    CLEANUP(str_freep) char *notes = notes_of(&d);
    const struct store_memory memory = { notes, false };
    static const uint8_t mine[STORE_ID_BYTES] = { 1 }, other[STORE_ID_BYTES] = { 2 };
    struct known known;
    struct err err = { 0 };
    known_init(&known, &memory, "/x");
    cr_assert(known_note(&known, "file:///x", mine, &err), "%s", err.msg);
    cr_assert(known_note(&known, "file:///x", mine, &err), "%s", err.msg);
    expect_kind(known_note(&known, "file:///x", other, &err), &err, ERR_UNAVAILABLE);
    known_fini(&known);
}

Test(known, store_that_the_url_names_needs_no_note)
{
    DISK(d);
    CLEANUP(str_freep) char *note = note_path(&d);
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf marker = { 0 };
    CLEANUP(store_closep) struct store *made = disk_open(&d, "?create=true");
    cr_assert(store_probe(made, soon(), &err));
    CLEANUP(str_freep) char *path = str_format("%s/%s", d.root, FILE_MARKER);
    cr_assert(file_read(AT_FDCWD, path, 512, &marker, &err));
    const char *id = strstr(buf_borrow_str(&marker), "\"id\":\"") + 6;
    CLEANUP(str_freep) char *right = str_format("?id=%.32s", id);
    visit_works(&d, right);
    cr_assert_neq(access(note, F_OK), 0);
    visit_fails(&d, "?id=00000000000000000000000000000000", ERR_UNAVAILABLE, "another store");
    unmount(&d);
    visit_fails(&d, right, ERR_UNAVAILABLE, FILE_MARKER);
}
