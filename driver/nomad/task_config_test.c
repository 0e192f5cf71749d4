#include "driver/nomad/task_config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

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
        { HEAD "\x81\xa6margin\xa5"
               "199ms",
          "lease.margin: 199ms" },
        { HEAD "\x82\xa3ttl\xa3"
               "20s"
               "\xa6margin\xa5"
               "249ms",
          "lease.margin: is not in 250...6666 ms for a ttl of 20000 ms" },
        { HEAD "\x82\xa3ttl\xa3"
               "15s"
               "\xa6margin\xa2"
               "6s",
          "lease.margin: is not in 200...5000 ms for a ttl of 15000 ms" },
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

#define COMMAND \
    "\xa7"      \
    "command"   \
    "\xa2"      \
    "/x"
#define SOURCE \
    "\xa6"     \
    "source"   \
    "\xa2"     \
    "/s"
#define TARGET \
    "\xa6"     \
    "target"   \
    "\xa1"     \
    "t"

static const struct task_mount *mount_of(size_t at)
{
    return (const struct task_mount *)got.mounts.all.items + at;
}

Test(task_config, a_block_may_be_written_several_times)
{
    cr_assert(DECODE("\x82" COMMAND "\xa5"
                     "mount"
                     "\x92"
                     "\x84" SOURCE TARGET "\xa8"
                     "readonly"
                     "\xc3"
                     "\xab"
                     "propagation"
                     "\xc0"
                     "\x82" TARGET "\xa6"
                     "source"
                     "\xa2"
                     "/2"),
              "%s", err.msg);
    cr_assert_eq(got.mounts.all.count, 2);
    cr_expect_str_eq(mount_of(0)->source, "/s");
    cr_expect(mount_of(0)->readonly);
    cr_expect_str_eq(mount_of(0)->propagation, "private");
    cr_expect_str_eq(mount_of(1)->source, "/2");
    cr_expect_not(mount_of(1)->readonly);
    cr_expect_null(got.mounts.one.source);
    task_config_fini(&got);
    cr_expect_eq(got.mounts.all.count, 0);
}

static void refused(bool is_good, const char *part)
{
    cr_expect_not(is_good, "%s", part);
    cr_expect_eq(err.kind, ERR_INVALID);
    cr_expect(strstr(err.msg, part), "%s", err.msg);
    cr_expect_null(got.mounts.all.items);
}

Test(task_config, every_one_of_several_blocks_is_checked)
{
    refused(DECODE("\x82" COMMAND "\xa5"
                   "mount"
                   "\x92"
                   "\x82" SOURCE TARGET "\x81" TARGET),
            "task config: mount.source: is required");
    refused(DECODE("\x82" COMMAND "\xa5"
                   "mount"
                   "\x91"
                   "\x83" SOURCE TARGET SOURCE),
            "is given twice");
    refused(DECODE("\x82" COMMAND "\xa5"
                   "mount"
                   "\x91"
                   "\x83" SOURCE TARGET "\xa1"
                   "x"
                   "\xc3"),
            "mount.x: unknown key");
    refused(DECODE("\x82" COMMAND "\xa5"
                   "mount"
                   "\x91\xc3"),
            "is not a block");
    refused(DECODE("\x82" COMMAND "\xa5"
                   "mount"
                   "\xc3"),
            "is not a block");
    refused(DECODE("\x82" COMMAND "\xa5"
                   "mount"
                   "\xdc\x00\x21"
                   "\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0"
                   "\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0"),
            "at most 32");
}

Test(task_config, a_block_of_free_keys_is_a_list_of_pairs)
{
    cr_assert(DECODE("\x82" COMMAND "\xa6"
                     "ulimit"
                     "\x82"
                     "\xa6"
                     "nofile"
                     "\xa2"
                     "64"
                     "\xa4"
                     "core"
                     "\xa1"
                     "0"),
              "%s", err.msg);
    cr_assert_eq(got.ulimit.count, 2);
    cr_expect_str_eq(got.ulimit.items[0], "nofile=64");
    cr_expect_str_eq(got.ulimit.items[1], "core=0");
    task_config_fini(&got);
    refused(DECODE("\x82" COMMAND "\xa6"
                   "ulimit"
                   "\x81"
                   "\xa6"
                   "nofile"
                   "\x05"),
            "ulimit");
}

Test(task_config, words_of_isolation_are_checked)
{
    refused(DECODE("\x82" COMMAND "\xa8"
                   "pid_mode"
                   "\xa5"
                   "guest"),
            "pid_mode");
    refused(DECODE("\x82" COMMAND "\xa8"
                   "ipc_mode"
                   "\xa5"
                   "guest"),
            "ipc_mode");
    refused(DECODE("\x82" COMMAND "\xa9"
                   "isolation"
                   "\xa4"
                   "some"),
            "isolation");
    refused(DECODE("\x82" COMMAND "\xa5"
                   "umask"
                   "\xa3"
                   "888"),
            "umask");
    refused(DECODE("\x82" COMMAND "\xa5"
                   "umask"
                   "\xa4"
                   "7777"),
            "umask");
}
