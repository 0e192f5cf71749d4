#include "common/shimwire/msg.h"

#include <criterion/criterion.h>

#include "common/base/own.h"
#include "common/base/text.h"

struct golden {
    struct shim_msg msg;
    unsigned direction;
    const char *hex; /* proto/shim.md, section 1; NULL: only the way there and back */
};

#define N16                                                  \
    {                                                        \
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 \
    }
static const struct golden rows[] = {
    { { SHIM_HELLO, 0, { .hello = { N16, "/run/a.api" } } },
      SHIM_TELLS_SIDECAR,
      "010100000000000102030405060708090a0b0c0d0e0f0a2f72756e2f612e617069" },
    { { SHIM_EVENT, 0, { .event = { "lease held" } } },
      SHIM_SIDECAR_SENDS,
      "0102000000000a6c656173652068656c64" },
    { { SHIM_ARM, 5, { .arm = { 7, 1000000007, "" } } },
      SHIM_SIDECAR_SENDS,
      "010305000000070000000000000007ca9a3b00000000" },
    { { SHIM_GATE_OPEN, 6, { .arm = { 7, SHIM_NO_DEADLINE, "c-1" } } },
      SHIM_SIDECAR_SENDS,
      "0104060000000700000000000000ffffffffffffff7f03632d31" },
    { { SHIM_FENCE, 0, { .fence = { "lost" } } }, SHIM_SIDECAR_SENDS, "010500000000046c6f7374" },
    { { SHIM_FREEZE, 8, { .freeze = { 50 } } }, SHIM_SIDECAR_SENDS, "01060800000032000000" },
    { { SHIM_THAW, 8, { .reply = { false } } }, SHIM_SIDECAR_SENDS, "010708000000" },
    { { SHIM_DONE, 0, { .done = { ERR_UNAVAILABLE, "no" } } },
      SHIM_SIDECAR_SENDS,
      "01080000000006026e6f" },
    { { SHIM_ARM_ACK, 5, { .reply = { true } } }, SHIM_TELLS_SIDECAR, "01100500000001" },
    { { SHIM_FROZEN, 8, { .reply = { false } } }, SHIM_TELLS_SIDECAR, "01110800000000" },
    { { SHIM_THAWED, 8, { .reply = { true } } }, SHIM_TELLS_SIDECAR, "01120800000001" },
    { { SHIM_AGENT_STARTED, 0, { .started = { 4711 } } },
      SHIM_TELLS_SIDECAR,
      "01130000000067120000" },
    { { SHIM_AGENT_EXITED, 0, { .exited = { 143, 15 } } },
      SHIM_TELLS_SIDECAR,
      "0114000000008f0000000f000000" },
    { { SHIM_STOPPING, 0, { .stopping = { 5000 } } }, SHIM_TELLS_SIDECAR, "01150000000088130000" },
    { { SHIM_SIGNAL, 0, { .signal = { 10 } } }, SHIM_DRIVER_SENDS, "0120000000000a000000" },
    { { SHIM_STOP, 0, { .stop = { 2, 5000 } } },
      SHIM_DRIVER_SENDS,
      "0121000000000200000088130000" },
    { { SHIM_KILL, 0, { .reply = { false } } }, SHIM_DRIVER_SENDS, "012200000000" },
    { { SHIM_STATE,
        0,
        { .state = { N16, SHIM_PHASE_RUNNING, 3, 10, 11, 12, 13, 7, 14, { 15 }, "up" } } },
      SHIM_TELLS_DRIVER,

      "013000000000000102030405060708090a0b0c0d0e0f03030a0000000b0000000c0000000000"
      "00000d0000000000000007000000000000000e000000000000000f00000000000000027570" },
    { { SHIM_EXITED, 0, { .end = { true, { .cause = EXIT_EXITED, .message = "m" } } } },
      SHIM_TELLS_DRIVER,
      NULL },
    { { SHIM_EXEC_ENDED, 0, { .exec = { ERR_NONE, 137, 9, true, "" } } },
      SHIM_EXEC_TELLS,
      "0140000000000089000000090000000100" },
};

Test(msg, has_the_golden_bytes)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t bytes[SHIM_MSG_MAX];
        char hex[2 * SHIM_MSG_MAX + 1];
        hex_encode(view_of(bytes, shim_msg_encode(&rows[i].msg, bytes)), hex);
        if (rows[i].hex != NULL)
            cr_expect_str_eq(hex, rows[i].hex, "%s: %s", shim_msg_name(rows[i].msg.type), hex);
    }
}

Test(msg, comes_back_as_it_was_written)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = { 0 };
        struct shim_msg got;
        uint8_t bytes[SHIM_MSG_MAX], again[SHIM_MSG_MAX];
        size_t len = shim_msg_encode(&rows[i].msg, bytes);
        cr_assert(shim_msg_decode(view_of(bytes, len), rows[i].direction, &got, &err), "%s: %s",
                  shim_msg_name(rows[i].msg.type), err.msg);
        cr_assert_eq(got.type, rows[i].msg.type);
        cr_assert_eq(got.seq, rows[i].msg.seq);
        cr_assert_eq(shim_msg_encode(&got, again), len);
        cr_assert_arr_eq(bytes, again, len);
    }
}

Test(msg, every_truncation_is_corrupt_and_more_is_a_later_build)
{
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = { 0 };
        struct shim_msg got;
        uint8_t bytes[SHIM_MSG_MAX] = { 0 };
        size_t len = shim_msg_encode(&rows[i].msg, bytes);
        for (size_t cut = 0; cut < len; cut++)
            cr_assert_not(shim_msg_decode(view_of(bytes, cut), rows[i].direction, &got, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT);
        cr_assert(shim_msg_decode(view_of(bytes, len + 1), rows[i].direction, &got, &err));
        cr_assert_eq(got.type, rows[i].msg.type);
    }
}

Test(msg, a_peer_may_send_only_what_the_table_says)
{
    static const unsigned all[] = { SHIM_SIDECAR_SENDS, SHIM_TELLS_SIDECAR, SHIM_DRIVER_SENDS,
                                    SHIM_TELLS_DRIVER, SHIM_EXEC_TELLS };
#define DIRECTIONS(type, number, mask) { SHIM_##type, mask },
    static const struct {
        enum shim_msg_type type;
        unsigned mask;
    } table[] = { SHIM_MSGS(DIRECTIONS) };
    cr_assert_eq(COUNT(table), COUNT(rows)); /* every type has a row above */
    for (size_t i = 0; i < COUNT(rows); i++) {
        uint8_t bytes[SHIM_MSG_MAX];
        size_t len = shim_msg_encode(&rows[i].msg, bytes);
        for (size_t d = 0; d < COUNT(all); d++) {
            struct err err = { 0 };
            struct shim_msg got;
            bool allowed = false;
            for (size_t t = 0; t < COUNT(table); t++)
                allowed = allowed ||
                          (table[t].type == rows[i].msg.type && (table[t].mask & all[d]));
            cr_expect_eq(shim_msg_decode(view_of(bytes, len), all[d], &got, &err), allowed);
            cr_expect_eq(err.kind, allowed ? ERR_NONE : ERR_DENIED);
        }
    }
}

Test(msg, a_fence_with_a_bad_byte_is_still_a_fence)
{
    struct err err = { 0 };
    struct shim_msg got;
    const uint8_t bytes[] = { SHIM_VERSION, SHIM_FENCE, 0, 0, 0, 0, 3, 'a', 0xff, 0 };
    cr_assert(shim_msg_decode(view_of(bytes, sizeof(bytes)), SHIM_SIDECAR_SENDS, &got, &err));
    cr_assert_str_eq(got.fence.text, "a??");
}

Test(msg, a_type_of_a_later_build_is_told_apart_from_garbage)
{
    struct err err = { 0 };
    struct shim_msg got;
    const uint8_t bytes[] = { SHIM_VERSION, 200, 0, 0, 0, 0, 1, 2, 3 };
    cr_expect_not(shim_msg_decode(view_of(bytes, sizeof(bytes)), SHIM_TELLS_DRIVER, &got, &err));
    cr_expect_eq(err.kind, ERR_NOT_FOUND);
}

Test(msg, values_outside_their_range_are_corrupt)
{
    static const uint8_t bad[][8] = {
        { 2, SHIM_THAW, 0, 0, 0, 0 },                  /* version */
        { SHIM_VERSION, SHIM_DONE, 0, 0, 0, 0, 9, 0 }, /* kind */
    };
    static const size_t lens[] = { 6, 8 };
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct err err = { 0 };
        struct shim_msg got;
        cr_expect_not(shim_msg_decode(view_of(bad[i], lens[i]), SHIM_SIDECAR_SENDS, &got, &err));
        cr_expect_eq(err.kind, ERR_CORRUPT);
    }
    struct err err = { 0 };
    struct shim_msg got;
    const uint8_t flag[] = { SHIM_VERSION, SHIM_FROZEN, 0, 0, 0, 0, 2 };
    cr_expect_not(shim_msg_decode(view_of(flag, sizeof(flag)), SHIM_TELLS_SIDECAR, &got, &err));
}

Test(msg, names_are_for_people)
{
    cr_expect_str_eq(shim_msg_name(SHIM_GATE_OPEN), "GATE_OPEN");
    cr_expect_str_eq(shim_msg_name((enum shim_msg_type)200), "?");
    cr_expect_str_eq(shim_phase_name(SHIM_PHASE_STANDBY), "standby");
    cr_expect_str_eq(shim_phase_name((enum shim_phase)0), "?");
}

Test(msg, long_text_is_cut_not_refused)
{
    char longer[400];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    char out[SHIM_TEXT_MAX + 1];
    shim_text_copy(out, longer);
    cr_assert_eq(strlen(out), SHIM_TEXT_MAX);
    cr_assert_str_eq(out + SHIM_TEXT_MAX - 4, "x...", "the cut is seen");
}

Test(msg, text_that_fits_is_whole_and_a_cut_keeps_characters_whole)
{
    char text[SHIM_TEXT_MAX + 2];
    char out[SHIM_TEXT_MAX + 1];
    memset(text, 'x', sizeof(text));
    text[SHIM_TEXT_MAX] = '\0';
    shim_text_copy(out, text);
    cr_assert_str_eq(out, text);
    memcpy(text + SHIM_TEXT_MAX - 4, "\xc3\xa9xxx", 6); /* 201 bytes; the cut is in the letter */
    shim_text_copy(out, text);
    cr_assert_str_eq(out + SHIM_TEXT_MAX - 5, "x...");
    cr_assert_eq(strlen(out), SHIM_TEXT_MAX - 1);
    cr_assert(utf8_is_valid(view_str(out)));
}
