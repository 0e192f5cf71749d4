#include "driver/nomad/plugin_config.h"

#include <criterion/criterion.h>

static struct plugin_config got;
static struct err err;

static bool decode_text(const char *bytes)
{
    err = (struct err){ 0 };
    return plugin_config_decode(view_str(bytes), &got, NULL, &err);
}

Test(plugin_config, empty_bytes_give_the_defaults)
{
    cr_assert(decode_text(""), "%s", err.msg);
    cr_assert_str_eq(got.state_dir, "/var/lib/nomad-driver-agent");
    cr_assert_str_eq(got.run_dir, "/run/nomad-driver-agent");
    cr_assert_str_eq(got.key_file, "/var/lib/nomad-driver-agent/agent.key");
    cr_assert_str_eq(got.log_level, "info");
    cr_assert_eq(got.shim_oom_score_adj, -500);
    cr_assert_null(got.store);
    plugin_config_fini(&got);
}

Test(plugin_config, the_key_file_follows_the_state_directory)
{
    cr_assert(decode_text("\x81\xa9state_dir\xa2/s"));
    cr_assert_str_eq(got.key_file, "/s/agent.key");
    plugin_config_fini(&got);
}

Test(plugin_config, takes_its_number_as_text_and_as_float)
{
    cr_assert(decode_text("\x81\xb2shim_oom_score_adj\xa4-900"), "%s", err.msg);
    cr_assert_eq(got.shim_oom_score_adj, -900);
    plugin_config_fini(&got);
    cr_assert_not(decode_text("\x81\xb2shim_oom_score_adj\x01"));
    cr_assert_str_eq(err.msg, "plugin config: shim_oom_score_adj: 1 is not in -1000...0");
}

Test(plugin_config, names_what_is_wrong)
{
    const struct {
        const char *bytes, *message;
    } wrong[] = {
        { "\x81\xa9state_dir\xa1s", "plugin config: state_dir: is not an absolute path" },
        { "\x81\xa8key_file\xa1s", "plugin config: key_file: is not an absolute path" },
        { "\x81\xa9log_level\xa4loud",
          "plugin config: log_level: is not debug, info, warn or error" },
        { "\x81\xa9log_level\x01", "plugin config: log_level: is not a string" },
        { "\x81\xa5store\xa4here",
          "plugin config: store: is not a URL such as file:///var/lib/agents" },
        { "\x81\xa5store\xa4://x",
          "plugin config: store: is not a URL such as file:///var/lib/agents" },
        { "\x81\xablease_store\xa1x",
          "plugin config: lease_store: is not a URL such as file:///var/lib/agents" },
        { "\x81\xa5stroe\xa1x", "plugin config: stroe: unknown key" },
        { "\x81\xa9isolation\xa4some", "plugin config: isolation: is neither best nor require" },
        { "\x81\xb0"
          "allow_unconfined\x91\xa3"
          "all",
          "plugin config: allow_unconfined: item 1 is unknown" },
        { "\x81\xb0"
          "allow_host_paths\x91\xa1"
          "s",
          "plugin config: allow_host_paths: item 1 is not an absolute path" },
        { "\x81\xaa"
          "read_paths\x91\xa1"
          "s",
          "plugin config: read_paths: item 1 is not an absolute path" },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_not(decode_text(wrong[i].bytes));
        cr_assert_eq(err.kind, ERR_INVALID);
        cr_assert_str_eq(err.msg, wrong[i].message);
        cr_assert_null(got.state_dir);
    }
}

Test(plugin_config, collects_unknown_keys_when_asked_to)
{
    struct str_list unknown = { 0 };
    cr_assert(plugin_config_decode(view_str("\x81\xa5stroe\xa1x"), &got, &unknown, &err));
    cr_assert_eq(unknown.count, 1);
    str_list_fini(&unknown);
    plugin_config_fini(&got);
}

Test(plugin_config, a_copy_is_its_own)
{
    struct plugin_config copy;
    cr_assert(decode_text("\x82\xa5store\xa7mem:///\xac"
                          "denied_users\x91\xa4"
                          "root"));
    plugin_config_copy(&got, &copy);
    plugin_config_fini(&got);
    cr_assert_eq(copy.denied_users.count, 1);
    cr_assert_str_eq(copy.denied_users.items[0], "root");
    cr_assert_str_eq(copy.store, "mem:///");
    cr_assert_null(copy.shim);
    plugin_config_fini(&copy);
}
