#include "sidecar/engine/mark.h"

#include "common/base/fd.h"
#include "common/base/own.h"
#include "sidecar/crypto/keys.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct mark sample = { .is_unsaved = true,
                                    .head = "00000003-0123456789abcdef",
                                    .sequence = 3,
                                    .epoch = 2,
                                    .wall_ms = 1764074359123,
                                    .why = "write pack: No space left on device" };

static void expect_sample(const struct mark *got)
{
    cr_assert(got->is_unsaved && got->sequence == 3 && got->epoch == 2 &&
              got->wall_ms == sample.wall_ms);
    cr_assert_str_eq(got->head, sample.head);
    cr_assert_str_eq(got->why, sample.why);
}

/* The bytes of proto/checkpoint.md, 9. */
Test(mark, bytes_are_what_the_format_says)
{
    static const uint8_t front[] = { 0x41, 0x47, 0x55, 0x53, 0x01, 0x01, 0x03, 0x00, 0x00,
                                     0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00,
                                     0x00, 0x00, 0x00, 0x00, 0x53, 0x89, 0x06, 0xbb, 0x9a,
                                     0x01, 0x00, 0x00, 0x19, 0x00, 0x00, 0x00, 0x30, 0x30 };
    static const uint8_t sum[] = { 0x61, 0x42, 0xae, 0x8e, 0x71, 0x62, 0x6f, 0xf0,
                                   0xad, 0x2c, 0xd7, 0xc8, 0x4f, 0xb8, 0x05, 0xcc };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    mark_encode(&sample, &bytes);
    cr_assert_eq(bytes.len, MARK_BYTES);
    cr_assert_arr_eq(bytes.data, front, sizeof front);
    cr_assert_arr_eq(bytes.data + MARK_BYTES - sizeof sum, sum, sizeof sum);
}

Test(mark, what_is_encoded_is_decoded)
{
    const struct mark saved = { 0 };
    struct mark got;
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    mark_encode(&sample, &bytes);
    cr_assert(mark_decode(buf_view(&bytes), &got, &err), "%s", err.msg);
    expect_sample(&got);
    bytes.len = 0;
    mark_encode(&saved, &bytes);
    cr_assert(mark_decode(buf_view(&bytes), &got, &err), "%s", err.msg);
    cr_assert(!got.is_unsaved && got.head[0] == '\0' && got.why[0] == '\0');
}

Test(mark, flipped_bits_and_cuts_anywhere_are_found)
{
    struct mark got;
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    mark_encode(&sample, &bytes);
    for (size_t bit = 0; bit < 8 * bytes.len; bit++) {
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_not(mark_decode(buf_view(&bytes), &got, &err), "bit %zu", bit);
        cr_assert_eq(err.kind, ERR_CORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < bytes.len; len++)
        cr_assert_not(mark_decode(view_of(bytes.data, len), &got, &err), "%zu bytes", len);
}

/* With a check sum that holds: each field is looked at by itself. */
Test(mark, field_that_cannot_be_is_named)
{
    static const struct {
        size_t at;
        uint8_t byte;
        const char *named;
    } rows[] = { { 0, 'B', "format" },
                 { 4, 2, "format" },
                 { 5, 2, "state" },
                 { 13, 0x80, "sequence" },
                 { 21, 0x80, "epoch" },
                 { 29, 0x80, "time" },
                 { 31, 1, "head" },
                 { 36, 0, "head" },
                 { 60, 200, "why" },
                 { 70, 0, "why" },
                 { MARK_BYTES - 17, 1, "end" } };
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct mark got;
        struct err err = { 0 };
        uint8_t digest[CRYPTO_HASH_BYTES];
        CLEANUP(buf_fini) struct buf bytes = { 0 };
        mark_encode(&sample, &bytes);
        bytes.data[rows[i].at] = rows[i].byte;
        crypto_digest(view_of(bytes.data, MARK_BYTES - 16), digest);
        memcpy(bytes.data + MARK_BYTES - 16, digest, 16);
        cr_assert_not(mark_decode(buf_view(&bytes), &got, &err), "row %zu", i);
        cr_assert_eq(err.kind, ERR_CORRUPT);
        cr_assert_not_null(strstr(err.msg, rows[i].named), "row %zu: %s", i, err.msg);
    }
}

/* A file without a name, as a lock file is: of any content. */
static struct fd file_of(const void *bytes, size_t len)
{
    struct err err = { 0 };
    struct fd file = { open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600) };
    cr_assert(fd_is_open(file) && fd_write_all(file.raw, bytes, len, &err), "%s", err.msg);
    return file;
}

Test(mark, empty_file_of_before_is_saved_and_needs_a_mark)
{
    struct mark got;
    struct err err = { 0 };
    bool is_whole;
    CLEANUP(fd_closep) struct fd file = file_of("", 0);
    cr_assert(mark_read(file.raw, &got, &is_whole, &err), "%s", err.msg);
    cr_assert(!got.is_unsaved && !is_whole);
}

Test(mark, damaged_one_says_unsaved_and_can_be_written_over)
{
    char garbage[MARK_BYTES + 100];
    struct mark got;
    struct err err = { 0 };
    bool is_whole;
    memset(garbage, 'x', sizeof garbage);
    const size_t lens[] = { 1, MARK_BYTES - 1, MARK_BYTES, MARK_BYTES + 1, sizeof garbage };
    for (size_t i = 0; i < COUNT(lens); i++) {
        CLEANUP(fd_closep) struct fd file = file_of(garbage, lens[i]);
        cr_assert(mark_read(file.raw, &got, &is_whole, &err), "%s", err.msg);
        cr_assert(got.is_unsaved && !is_whole && got.wall_ms == 0);
        cr_assert_not_null(strstr(got.why, "damaged: "), "%s", got.why);
        cr_assert(mark_write(file.raw, &sample, &err), "%s", err.msg);
        cr_assert(mark_read(file.raw, &got, &is_whole, &err) && is_whole);
        expect_sample(&got);
    }
}

Test(mark, change_keeps_the_size_and_needs_no_more_blocks)
{
    struct mark got;
    struct err err = { 0 };
    struct stat before, after;
    bool is_whole;
    CLEANUP(fd_closep) struct fd file = file_of("", 0);
    cr_assert(mark_write(file.raw, &(struct mark){ 0 }, &err), "%s", err.msg);
    cr_assert_eq(fstat(file.raw, &before), 0);
    cr_assert(mark_write(file.raw, &sample, &err), "%s", err.msg);
    cr_assert_eq(fstat(file.raw, &after), 0);
    cr_assert(before.st_size == after.st_size && before.st_blocks == after.st_blocks);
    cr_assert(mark_read(file.raw, &got, &is_whole, &err) && is_whole);
    expect_sample(&got);
}

Test(mark, file_that_cannot_be_written_or_read_is_a_system_error)
{
    struct mark got;
    struct err err = { 0 };
    bool is_whole;
    CLEANUP(fd_closep) struct fd full = { open("/dev/full", O_RDWR | O_CLOEXEC) };
    cr_assert_not(mark_write(full.raw, &sample, &err));
    cr_assert(err.kind == ERR_SYSTEM && err.os_errno == ENOSPC, "%s", err.msg);
    CLEANUP(fd_closep) struct fd dir = { open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    cr_assert_not(mark_read(dir.raw, &got, &is_whole, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
}
