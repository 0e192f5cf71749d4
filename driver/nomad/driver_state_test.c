#include "driver/nomad/driver_state.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#include "common/base/own.h"
#include "common/base/text.h"

static struct driver_state sample(void)
{
    struct driver_state s = { .started_wall_ns = 0x0102030405060708,
                              .boot_id = "b0-b0",
                              .alloc_id = "8c1d",
                              .task_name = "web" };
    memset(s.nonce, 0x0e, sizeof(s.nonce));
    return s;
}

static void reject(struct view bytes, enum err_kind kind, const char *part)
{
    struct driver_state got;
    struct err err = { 0 };
    cr_assert_not(driver_state_decode(bytes, &got, &err));
    cr_assert_eq(err.kind, kind, "%s", err.msg);
    cr_assert(strstr(err.msg, part), "%s", err.msg);
}

/* A handle of an older driver must stay readable: these bytes never change for version 1. */
Test(driver_state, golden_bytes)
{
    const struct driver_state s = sample();
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    driver_state_encode(&s, &bytes);
    char hex[256];
    cr_assert_lt(bytes.len * 2, sizeof(hex));
    hex_encode(buf_view(&bytes), hex);
    cr_assert_str_eq(hex, "414754474153543101000000"
                          "0500000062302d6230"
                          "0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e"
                          "0807060504030201"
                          "0400000038633164"
                          "03000000776562"
                          "5581f356e950cf96");
}

Test(driver_state, decodes_what_it_encoded)
{
    const struct driver_state s = sample();
    struct driver_state got;
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    driver_state_encode(&s, &bytes);
    cr_assert(driver_state_decode(buf_view(&bytes), &got, &err), "%s", err.msg);
    cr_assert_eq(memcmp(&s, &got, sizeof(s)), 0);
    cr_assert_lt(bytes.len, DRIVER_STATE_BYTES_MAX);
}

Test(driver_state, every_damaged_byte_and_truncation_is_found)
{
    const struct driver_state s = sample();
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    driver_state_encode(&s, &bytes);
    struct driver_state got;
    for (size_t i = 0; i < bytes.len; i++) {
        struct err err = { 0 };
        cr_assert_not(driver_state_decode(view_of(bytes.data, i), &got, &err));
        bytes.data[i] ^= 0x20;
        cr_assert_not(driver_state_decode(buf_view(&bytes), &got, &err), "byte %zu", i);
        bytes.data[i] ^= 0x20;
    }
}

Test(driver_state, names_foreign_and_future_states)
{
    reject(view_str("{\"ReattachConfig\":{}}"), ERR_INVALID, "is not of this driver");
    CLEANUP(buf_fini) struct buf future = { 0 };
    const struct driver_state s = sample();
    driver_state_encode(&s, &future);
    future.data[8] = 2;
    reject(buf_view(&future), ERR_INVALID, "version 2, this driver knows 1");
    uint8_t *large = mem_array(1, 5000);
    reject(view_of(large, 5000), ERR_INVALID, "5000 bytes");
    free(large);
}
