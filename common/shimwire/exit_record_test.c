#include "common/shimwire/exit_record.h"

#include <criterion/criterion.h>

#include "common/base/text.h"

static struct exit_record sample(void)
{
    struct exit_record rec = { .cause = EXIT_SIGNALED,
                               .exit_code = 137,
                               .signal = 9,
                               .oom_killed = true,
                               .done_kind = ERR_UNAVAILABLE,
                               .containment = 3,
                               .agent_pid = 4711,
                               .agent_start_ticks = 123456,
                               .started = { 1000000001 },
                               .ended = { 2000000002 },
                               .epoch = 7,
                               .message = "killed by the kernel: out of memory" };
    for (uint8_t i = 0; i < SHIM_NONCE_BYTES; i++)
        rec.nonce[i] = (uint8_t)(0xA0 + i);
    return rec;
}

/* proto/shim.md, section 4; message and padding left out. */
#define GOLDEN_HEAD                                                                    \
    "41474e54455849540100a0a1a2a3a4a5a6a7a8a9aaabacadaeaf0201060300890000000900000000" \
    "0000006712000040e201000000000001ca9a3b000000000294357700000000070000000000000023" \
    "6b696c6c656420"
#define GOLDEN_SUM "a43eb6a96ccb6e66"

Test(exit_record, has_the_golden_bytes)
{
    struct exit_record rec = sample();
    uint8_t bytes[EXIT_RECORD_BYTES];
    exit_record_encode(&rec, bytes);
    char hex[2 * EXIT_RECORD_BYTES + 1];
    hex_encode(view_of(bytes, sizeof(bytes)), hex);
    cr_expect_arr_eq(hex, GOLDEN_HEAD, strlen(GOLDEN_HEAD), "%s", hex);
    cr_expect_str_eq(hex + 2 * (EXIT_RECORD_BYTES - 8), GOLDEN_SUM);
}

Test(exit_record, comes_back_as_it_was_written)
{
    struct err err = { 0 };
    struct exit_record rec = sample(), got;
    uint8_t bytes[EXIT_RECORD_BYTES], again[EXIT_RECORD_BYTES];
    exit_record_encode(&rec, bytes);
    cr_assert(exit_record_decode(view_of(bytes, sizeof(bytes)), &got, &err), "%s", err.msg);
    exit_record_encode(&got, again);
    cr_assert_arr_eq(bytes, again, sizeof(bytes));
    cr_expect_str_eq(got.message, rec.message);
    cr_expect_eq(got.ended.ns, rec.ended.ns);
}

Test(exit_record, every_flipped_byte_and_every_other_size_is_corrupt)
{
    struct err err = { 0 };
    struct exit_record rec = sample(), got;
    uint8_t bytes[EXIT_RECORD_BYTES + 1] = { 0 };
    exit_record_encode(&rec, bytes);
    for (size_t at = 0; at < EXIT_RECORD_BYTES; at++) {
        bytes[at] ^= 1;
        cr_assert_not(exit_record_decode(view_of(bytes, EXIT_RECORD_BYTES), &got, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT);
        bytes[at] ^= 1;
    }
    cr_assert_not(exit_record_decode(view_of(bytes, EXIT_RECORD_BYTES + 1), &got, &err));
    cr_assert_not(exit_record_decode(view_of(bytes, 0), &got, &err));
}

Test(exit_record, success_needs_a_zero_exit_and_a_safe_state)
{
    struct {
        struct exit_record rec;
        int want;
    } rows[] = {
        { { .cause = EXIT_EXITED }, 0 },
        { { .cause = EXIT_EXITED, .exit_code = 7, .done_kind = ERR_UNAVAILABLE }, 7 },
        { { .cause = EXIT_EXITED, .done_kind = ERR_UNAVAILABLE }, 75 },
        { { .cause = EXIT_STOPPED, .done_kind = ERR_FENCED }, 79 },
        { { .cause = EXIT_STOPPED, .exit_code = 143, .signal = 15 }, 143 },
        { { .cause = EXIT_SIGNALED, .signal = 11 }, 139 },
        { { .cause = EXIT_KILLED }, 137 },
        { { .cause = EXIT_FENCED }, 79 },
        { { .cause = EXIT_SIDECAR_LOST }, 75 },
        { { .cause = EXIT_START_REFUSED, .exit_code = 65 }, 65 },
        { { .cause = EXIT_START_REFUSED }, 75 },
        { { .cause = EXIT_EXEC_FAILED, .os_errno = 2 }, 127 },
        { { .cause = EXIT_EXEC_FAILED, .os_errno = 13 }, 126 },
        { { .cause = EXIT_SHIM_ERROR }, 71 },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(exit_record_status(&rows[i].rec), rows[i].want, "row %zu", i);
}

Test(exit_record, every_cause_has_a_name_and_a_text)
{
    cr_expect_str_eq(exit_cause_name(EXIT_FENCED), "FENCED");
    for (int cause = EXIT_NONE; cause < EXIT_CAUSE_END; cause++) {
        cr_expect_not_null(exit_cause_name((enum exit_cause)cause));
        cr_expect_not_null(exit_cause_text((enum exit_cause)cause));
    }
    cr_expect_str_eq(exit_cause_name(EXIT_CAUSE_END), "?");
}
