#include "sidecar/checkpoint/verify.h"

#include "sidecar/checkpoint/fixture_test.h"

static struct fixture f;
static void begin(void) { fixture_begin(&f); }
static void end(void) { fixture_end(&f); }
TestSuite(verify, .init = begin, .fini = end, .timeout = 110);

static struct verify_report report;
static struct err failure;

static bool verify(const char *id)
{
    struct checkpoint_source source = fixture_source(&f);
    failure = (struct err){ 0 };
    return checkpoint_verify(&source, id, fixture_soon(), &report, &failure);
}

/* The pack's file in the store: for damage. */
static char *pack_path(const char *id)
{
    return str_format("%s/store/agents/prod%%2Fweb%%2F1/packs/%s", f.dir, id);
}

static void save_some(void)
{
    fixture_write(&f, "small", "hello", 5);
    fixture_write_noise(&f, "big", 300000, 1);
    cr_assert(fixture_save(&f));
}

static struct buf load(const char *path)
{
    struct buf bytes = { 0 };
    struct err err = { 0 };
    cr_assert(file_read(AT_FDCWD, path, 1 << 24, &bytes, &err), "%s", err.msg);
    return bytes;
}

static void replace(const char *path, struct view bytes)
{
    struct err err = { 0 };
    cr_assert(file_publish(AT_FDCWD, path, bytes, 0600, FILE_REPLACE, &err), "%s", err.msg);
}

Test(verify, whole_checkpoint_is_proved)
{
    save_some();
    cr_assert(verify(f.head), "%s", failure.msg);
    cr_assert_eq(report.damaged, 0);
    cr_assert_eq(report.totals.files, 2);
    cr_assert_gt(report.read_bytes, 300000);
}

Test(verify, pack_cut_anywhere_is_corrupt_and_named)
{
    struct restore_report restored;
    save_some();
    CLEANUP(str_freep) char *path = pack_path(f.head);
    CLEANUP(buf_fini) struct buf bytes = load(path);
    for (size_t cut = 0; cut < bytes.len; cut += 1 + bytes.len / 120) {
        replace(path, view_of(bytes.data, cut));
        cr_assert_not(verify(f.head), "cut to %zu", cut);
        cr_assert_eq(failure.kind, ERR_CORRUPT, "cut to %zu: %s", cut, failure.msg);
        cr_assert_not_null(strstr(failure.msg, f.head), "%s", failure.msg);
        cr_assert_not(fixture_restore_to(&f, f.head, f.out, &restored, &failure));
        cr_assert_eq(failure.kind, ERR_CORRUPT, "cut to %zu: %s", cut, failure.msg);
        cr_assert_neq(access(f.out, F_OK), 0);
    }
    replace(path, buf_view(&bytes));
    cr_assert(verify(f.head));
}

Test(verify, flipped_bits_anywhere_are_found)
{
    save_some();
    CLEANUP(str_freep) char *path = pack_path(f.head);
    CLEANUP(buf_fini) struct buf bytes = load(path);
    for (size_t i = 0; i < 300 + PACK_HEADER_BYTES; i++) {
        size_t at = i < 150   ? bytes.len - 1 - i * 7
                    : i < 300 ? (i - 150) * (bytes.len / 150)
                              : i - 300; /* the copy of the key, too */
        bytes.data[at] ^= (uint8_t)(1u << i % 8);
        replace(path, buf_view(&bytes));
        cr_assert_not(verify(f.head), "byte %zu", at);
        cr_assert_eq(failure.kind, ERR_CORRUPT, "byte %zu: %s", at, failure.msg);
        bytes.data[at] ^= (uint8_t)(1u << i % 8);
    }
}

Test(verify, swapped_and_foreign_packs_are_corrupt)
{
    char first[PACK_ID_TEXT];
    save_some();
    memcpy(first, f.head, sizeof(first));
    fixture_write(&f, "small", "other", 5);
    cr_assert(fixture_save(&f));
    CLEANUP(str_freep) char *a = pack_path(first);
    CLEANUP(str_freep) char *b = pack_path(f.head);
    CLEANUP(buf_fini) struct buf old = load(a);
    CLEANUP(buf_fini) struct buf new = load(b);
    replace(b, buf_view(&old)); /* an older checkpoint under a newer name */
    cr_assert_not(verify(f.head));
    cr_assert_eq(failure.kind, ERR_CORRUPT);
    replace(b, view_str("PK\3\4 this is some other program's file, long enough to have a footer; "
                        "and then some more bytes to be sure of it"));
    cr_assert_not(verify(f.head));
    cr_assert_eq(failure.kind, ERR_CORRUPT);
    replace(b, buf_view(&new));
    cr_assert(verify(f.head));
}

Test(verify, chunks_swapped_within_a_pack_are_corrupt)
{
    fixture_write_noise(&f, "a", 20000, 1);
    fixture_write_noise(&f, "b", 20000, 2);
    cr_assert(fixture_save(&f));
    CLEANUP(str_freep) char *path = pack_path(f.head);
    CLEANUP(buf_fini) struct buf bytes = load(path);
    const size_t len = PACK_SEALED_BYTES(20000);
    uint8_t kept[PACK_SEALED_BYTES(20000)];
    memcpy(kept, bytes.data + PACK_HEADER_BYTES, len);
    memmove(bytes.data + PACK_HEADER_BYTES, bytes.data + PACK_HEADER_BYTES + len, len);
    memcpy(bytes.data + PACK_HEADER_BYTES + len, kept, len);
    replace(path, buf_view(&bytes));
    cr_assert_not(verify(f.head));
    cr_assert_eq(report.damaged, 2);
    cr_assert_str_eq(report.first, "a");
}

Test(verify, missing_pack_of_an_older_checkpoint_is_damage)
{
    char first[PACK_ID_TEXT];
    save_some();
    memcpy(first, f.head, sizeof(first));
    fixture_write(&f, "small", "other", 5);
    cr_assert(fixture_save(&f));
    CLEANUP(str_freep) char *path = pack_path(first);
    cr_assert_eq(unlink(path), 0);
    cr_assert_not(verify(f.head));
    cr_assert_neq(failure.kind, ERR_NONE);
    cr_assert_not_null(strstr(failure.msg, first), "%s", failure.msg);
    cr_assert_not(verify(first));
    cr_assert_eq(failure.kind, ERR_NOT_FOUND);
}

Test(verify, another_key_opens_nothing)
{
    save_some();
    struct agent_keys *ours = f.keys;
    f.keys = fixture_keys(1);
    cr_assert_not(verify(f.head));
    cr_assert_eq(failure.kind, ERR_CORRUPT);
    agent_keys_free(f.keys);
    f.keys = ours;
}
