#include "driver/nomad/task_config.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* Bytes as Nomad 2.0.5 sends them for
 *   command = "/bin/true"  args = ["a"]
 *   state { path = "local/state" interval = "0s" }  lease { ttl = "5s" } */
static const char full[] = "\x84"
                           "\xa4"
                           "args"
                           "\x91\xa1"
                           "a"
                           "\xa7"
                           "command"
                           "\xa9"
                           "/bin/true"
                           "\xa5"
                           "lease"
                           "\x83\xa6"
                           "margin"
                           "\xc0\xa5"
                           "store"
                           "\xc0\xa3"
                           "ttl"
                           "\xa2"
                           "5s"
                           "\xa5"
                           "state"
                           "\x85\xa7"
                           "exclude"
                           "\xc0\xa8"
                           "interval"
                           "\xa2"
                           "0s"
                           "\xa4"
                           "name"
                           "\xc0\xa4"
                           "path"
                           "\xab"
                           "local/state"
                           "\xa5"
                           "store"
                           "\xc0";

static struct task_config got;
static struct err err;

static bool decode_text(const char *bytes, size_t len)
{
    err = (struct err){ 0 };
    return task_config_decode(view_of(bytes, len), &got, &err);
}
#define DECODE(text) decode_text(text, sizeof(text) - 1)

Test(task_config, decodes_what_nomad_sends)
{
    cr_assert(decode_text(full, sizeof(full) - 1), "%s", err.msg);
    cr_assert_str_eq(got.command, "/bin/true");
    cr_assert_eq(got.args.count, 1);
    cr_assert(got.has_state && got.has_lease);
    cr_assert_str_eq(got.state.path, "local/state");
    cr_assert_eq(got.state.interval_ms, 0);
    cr_assert_eq(got.lease.ttl_ms, 5000);
    cr_assert_eq(got.lease.margin_ms, 0);
    cr_assert_null(got.state.store);
    task_config_fini(&got);
}

Test(task_config, every_truncation_is_an_error)
{
    for (size_t len = 1; len < sizeof(full) - 1; len++) {
        cr_assert_not(decode_text(full, len), "%zu", len);
        cr_assert_eq(err.kind, ERR_INVALID);
    }
}

Test(task_config, command_is_required_and_blocks_are_not)
{
    cr_assert_not(DECODE("\x80"));
    cr_assert_str_eq(err.msg, "task config: command: is required");
    cr_assert(DECODE("\x81\xa7"
                     "command"
                     "\xa1x"));
    cr_assert_not(got.has_state || got.has_lease);
    task_config_fini(&got);
}

#define HEAD    \
    "\x83\xa7"  \
    "command"   \
    "\xa1x\xa5" \
    "state"     \
    "\x81\xa4"  \
    "path"      \
    "\xa1s\xa5" \
    "lease"

Test(task_config, bounds_ttl_and_margin)
{
    const struct {
        const char *bytes, *part;
    } wrong[] = {
        { HEAD "\x81\xa3ttl\xa5"
               "999ms",
          "lease.ttl: 999ms is not in 1000...3600000ms" },
        { HEAD "\x81\xa3ttl\xa2"
               "2h",
          "lease.ttl" },
        { HEAD "\x81\xa6margin\xa4"
               "59ms",
          "lease.margin: 59ms" },
        { HEAD "\x81\xa6margin\xa5"
               "199ms",
          "lease.margin: is not in 200...5000 ms" },
        { HEAD "\x81\xa6margin\xa2"
               "6s",
          "lease.margin: is not in 200...5000 ms" },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_not(decode_text(wrong[i].bytes, strlen(wrong[i].bytes)));
        cr_assert_eq(err.kind, ERR_INVALID);
        cr_assert(strstr(err.msg, wrong[i].part), "%s", err.msg);
    }
}

Test(task_config, a_store_is_a_url)
{
    const char state[] = "\x82\xa7"
                         "command"
                         "\xa1x\xa5"
                         "state"
                         "\x82\xa4"
                         "path"
                         "\xa1s\xa5"
                         "store"
                         "\xa4"
                         "here";
    cr_assert_not(DECODE(state));
    cr_assert_eq(strncmp(err.msg, "task config: state.store: is not a URL", 38), 0, "%s", err.msg);
    const char lease[] = HEAD "\x81\xa5"
                              "store"
                              "\xa1/";
    cr_assert_not(DECODE(lease));
    cr_assert_eq(strncmp(err.msg, "task config: lease.store: is not a URL", 38), 0, "%s", err.msg);
}

Test(task_config, a_lease_needs_a_state)
{
    cr_assert_not(DECODE("\x82\xa7"
                         "command"
                         "\xa1x\xa5"
                         "lease"
                         "\x80"));
    cr_assert_str_eq(err.msg, "task config: lease: needs a state block");
}

Test(task_config, a_state_path_may_not_climb)
{
    const char *const climbing[] = { "../..", "a/../b", "..", "a/.." };
    for (size_t i = 0; i < 4; i++) {
        char bytes[64];
        const int len = snprintf(bytes, sizeof(bytes), "\x82\xa7%s\xa1x\xa5%s\x81\xa4%s%c%s",
                                 "command", "state", "path", (int)(0xa0 + strlen(climbing[i])),
                                 climbing[i]);
        cr_assert_not(decode_text(bytes, (size_t)len), "%s", climbing[i]);
        cr_assert_str_eq(err.msg, "task config: state.path: has a \"..\" in it");
    }
}

Test(task_config, what_is_not_implemented_is_an_unknown_key)
{
    const char *const later[] = { "vault", "secret", "watchdog", "consul", "egress", "verify" };
    for (size_t i = 0; i < 6; i++) {
        char bytes[64];
        const int len = snprintf(bytes, sizeof(bytes), "\x82\xa7%s\xa1x%c%s\xc0", "command",
                                 (int)(0xa0 + strlen(later[i])), later[i]);
        cr_assert_not(decode_text(bytes, (size_t)len));
        cr_assert(strstr(err.msg, "unknown key"), "%s", err.msg);
    }
}
