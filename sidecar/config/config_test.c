#include "sidecar/config/config.h"

#include "common/base/file.h"
#include "common/base/own.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdlib.h>
#include <signal.h>
#include <stdio.h>

static const char whole[] = "name = \"default/agents/g/planner/0\"\n"
                            "node = \"node-1\"\n"
                            "alloc_id = \"a1\"\n"
                            "region = \"eu\"\n"
                            "state {\n"
                            "  path = \"local/state\"\n"
                            "  store = \"file:///var/lib/agents\"\n"
                            "  interval = \"250ms\"\n"
                            "  exclude = [\"*.tmp\", \"cache/**\"]\n"
                            "  key_file = \"/k\"\n"
                            "}\n"
                            "lease {\n"
                            "  store = \"file:///lease\"\n"
                            "  ttl = \"10s\"\n"
                            "  margin = \"1s\"\n"
                            "}\n"
                            "api { path = \"/run/a.api\" }\n"
                            "stop {\n"
                            "  signal = \"SIGINT\"\n"
                            "  timeout = \"20s\"\n"
                            "  reserve = \"4s\"\n"
                            "}\n";

static struct sidecar_config *loaded(const char *text, const char *const *env)
{
    struct sidecar_config *config = NULL;
    struct err err = { 0 };
    cr_assert(config_load("agent.hcl", view_str(text), env, &config, &err), "%s", err.msg);
    return config;
}

static void refused(const char *text, const char *const *env, const char *message)
{
    struct sidecar_config *config = NULL;
    struct err err = { 0 };
    cr_assert_not(config_load("agent.hcl", view_str(text), env, &config, &err), "accepted: %s",
                  text);
    cr_assert_null(config);
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_str_eq(err.msg, message);
}

static void is_whole(const struct sidecar_config *c)
{
    cr_assert_str_eq(c->name, "default/agents/g/planner/0");
    cr_assert_str_eq(c->node, "node-1");
    cr_assert_str_eq(c->alloc_id, "a1");
    cr_assert_str_eq(c->region, "eu");
    cr_assert(c->state.is_present && c->lease.is_present && c->api.is_present &&
              c->stop.is_present);
    cr_assert_str_eq(c->state.path, "local/state");
    cr_assert_str_eq(c->state.store, "file:///var/lib/agents");
    cr_assert_eq(c->state.interval_ms, 250);
    cr_assert_eq(c->state.exclude.count, 2);
    cr_assert_str_eq(c->state.exclude.items[1], "cache/**");
    cr_assert_null(c->state.exclude.items[2]);
    cr_assert_str_eq(c->state.key_file, "/k");
    cr_assert_str_eq(c->lease.store, "file:///lease");
    cr_assert_eq(c->lease.ttl_ms, 10000);
    cr_assert_eq(c->lease.margin_ms, 1000);
    cr_assert_str_eq(c->api.path, "/run/a.api");
    cr_assert_eq(config_stop_signal(c), SIGINT);
    cr_assert_eq(c->stop.timeout_ms, 20000);
    cr_assert_eq(c->stop.reserve_ms, 4000);
}

Test(config, every_option_is_read)
{
    CLEANUP(config_freep) struct sidecar_config *c = loaded(whole, NULL);
    is_whole(c);
}

Test(config, what_is_written_loads_to_the_same_values)
{
    CLEANUP(config_freep) struct sidecar_config *c = loaded(whole, NULL);
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct err err = { 0 };
    cr_assert(config_put_hcl(&text, c, &err), "%s", err.msg);
    CLEANUP(config_freep) struct sidecar_config *again = loaded(buf_borrow_str(&text), NULL);
    is_whole(again);

    CLEANUP(config_freep)
    struct sidecar_config *small = loaded(
        "name = \"n $${ \\\" %\"\nstate {\n path = \"p\"\n store = \"s\"\n}\n", NULL);
    text.len = 0;
    cr_assert(config_put_hcl(&text, small, &err), "%s", err.msg);
    CLEANUP(config_freep) struct sidecar_config *small_again = loaded(buf_borrow_str(&text), NULL);
    cr_assert_str_eq(small_again->name, "n ${ \" %");
    cr_assert_eq(small_again->lease.margin_ms, small->lease.margin_ms);
}

Test(config, an_empty_text_is_a_plain_supervised_agent)
{
    CLEANUP(config_freep) struct sidecar_config *c = loaded("", NULL);
    cr_assert_not(c->state.is_present);
    cr_assert_not(c->lease.is_present);
    cr_assert_str_eq(c->name, "");
    cr_assert_eq(config_stop_signal(c), SIGTERM);
    cr_assert_eq(c->stop.reserve_ms, 10000);
    config_free(NULL);
}

Test(config, state_alone_brings_a_lease_in_the_same_store)
{
    CLEANUP(config_freep)
    struct sidecar_config *c = loaded(
        "name = \"n\"\nstate {\n path = \"p\"\n store = \"file:///s\"\n}\n", NULL);
    cr_assert(c->lease.is_present);
    cr_assert_str_eq(c->lease.store, "file:///s");
    cr_assert_eq(c->lease.ttl_ms, 15000);
    cr_assert_eq(c->lease.margin_ms, 550);
    cr_assert_eq(c->state.interval_ms, 1000);
    cr_assert_eq(c->state.exclude.count, 0);
    cr_assert_not_null(c->state.exclude.items);
}

/* For each option of the table: a copy of the key with one letter changed must fail by name. */
struct key_row {
    const char *block, *key;
};
#define KEY_ROW(b, key, member, type, flags, initial, min, max, doc) { #b, key },
#define KEY_ROWS(block, rows, doc)                                   rows(KEY_ROW, block)
static const struct key_row keys[] = { CONFIG_TOP(KEY_ROW, top) CONFIG_BLOCKS(KEY_ROWS) };

Test(config, a_misspelt_copy_of_each_key_fails_with_its_name_and_the_right_one)
{
    for (size_t i = 0; i < COUNT(keys); i++) {
        char wrong[64], text[256], message[256];
        (void)snprintf(wrong, sizeof wrong, "%s", keys[i].key);
        const size_t last = strlen(wrong) - 1;
        wrong[last] = wrong[last] == 'z' ? 'y' : 'z';
        const bool top = strcmp(keys[i].block, "top") == 0;
        (void)snprintf(text, sizeof text, top ? "%s%s = 1\n" : "%s {\n  %s = 1\n}\n",
                       top ? "" : keys[i].block, wrong);
        (void)snprintf(message, sizeof message,
                       "agent.hcl:%s unknown key \"%s\"; did you mean \"%s\"?",
                       top ? "1:1:" : "2:3:", wrong, keys[i].key);
        refused(text, NULL, message);
    }
}

Test(config, a_misspelt_variable_of_each_key_fails_with_its_name)
{
    for (size_t i = 0; i < COUNT(keys); i++) {
        char wrong[96];
        const bool top = strcmp(keys[i].block, "top") == 0;
        (void)snprintf(wrong, sizeof wrong, "AGENT_SIDECAR_%s%s%sX=1", top ? "" : keys[i].block,
                       top ? "" : "_", keys[i].key);
        struct sidecar_config *config = NULL;
        struct err err = { 0 };
        cr_assert_not(
            config_load("a", view_str(""), (const char *const[]){ wrong, NULL }, &config, &err));
        *strchr(wrong, '=') = '\0';
        cr_assert_not_null(strstr(err.msg, wrong), "%s", err.msg);
    }
}

Test(config, the_environment_goes_before_the_text)
{
    const char *const env[] = { "PATH=/bin",
                                "AGENT_SIDECAR_NODE=from-env",
                                "AGENT_SIDECAR_STATE_INTERVAL=2s",
                                "AGENT_SIDECAR_STATE_EXCLUDE=a,b,c",
                                "AGENT_SIDECAR_REGION=",
                                NULL };
    CLEANUP(config_freep) struct sidecar_config *c = loaded(whole, env);
    cr_assert_str_eq(c->node, "from-env");
    cr_assert_str_eq(c->region, "eu");
    cr_assert_eq(c->state.interval_ms, 2000);
    cr_assert_eq(c->state.exclude.count, 3);
    cr_assert_str_eq(c->state.exclude.items[2], "c");
}

Test(config, the_environment_alone_is_enough)
{
    const char *const env[] = { "AGENT_SIDECAR_NAME=n", "AGENT_SIDECAR_STATE_PATH=p",
                                "AGENT_SIDECAR_STATE_STORE=file:///s", NULL };
    CLEANUP(config_freep) struct sidecar_config *c = loaded("", env);
    cr_assert(c->state.is_present && c->lease.is_present);
}

/* Everything that one row of the table can be given wrongly, made from the row. */
struct limits_row {
    const char *block, *key, *type;
    int64_t min, max;
    bool is_required;
};
#define LIMITS_ROW(b, key, member, type, flags, initial, min, max, doc) \
    { #b, key, #type, min, max, ((flags)&CONFIG_REQUIRED) != 0 },
#define LIMITS_ROWS(block, rows, doc) rows(LIMITS_ROW, block)
static const struct limits_row limits[] = { CONFIG_TOP(LIMITS_ROW, top)
                                                CONFIG_BLOCKS(LIMITS_ROWS) };

/* What else the row's block needs. */
static void put_required(struct buf *text, const struct limits_row *row)
{
    for (size_t i = 0; i < COUNT(limits); i++)
        if (limits[i].is_required && &limits[i] != row && strcmp(limits[i].block, row->block) == 0)
            buf_put_fmt(text, "  %s = \"x\"\n", limits[i].key);
}

/* The row's key with `value` in an otherwise whole block: an error at its line that names it. */
static void refuses_value(const struct limits_row *row, const char *value)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    const bool is_top = strcmp(row->block, "top") == 0;
    buf_put_fmt(&text, is_top ? "%s\n%s = " : "%s {\n  %s = ", is_top ? "" : row->block, row->key);
    buf_put_str(&text, value);
    buf_put_u8(&text, '\n');
    put_required(&text, row);
    buf_put_str(&text, is_top ? "" : "}\n");
    CLEANUP(str_freep) char *bare = str_format("\"%s\"", row->key);
    CLEANUP(str_freep) char *full = str_format("\"%s.%s\"", row->block, row->key);
    struct sidecar_config *config = NULL;
    struct err err = { 0 };
    cr_assert_not(config_load("c", buf_view(&text), NULL, &config, &err), "%s = %.40s", full,
                  value);
    cr_expect_eq(err.kind, ERR_INVALID);
    cr_expect_eq(strncmp(err.msg, "c:2:", 4), 0, "%s", err.msg);
    cr_expect(strstr(err.msg, bare) != NULL || strstr(err.msg, full) != NULL, "%s", err.msg);
}

static void refuses_length(const struct limits_row *row, int64_t bytes)
{
    CLEANUP(str_freep) char *value = mem_array((size_t)bytes + 3, 1);
    memset(value, 'x', (size_t)bytes + 2);
    value[0] = value[bytes + 1] = '"';
    refuses_value(row, value);
}

static void refuses_ms(const struct limits_row *row, int64_t ms)
{
    CLEANUP(str_freep) char *value = str_format("\"%lldms\"", (long long)ms);
    refuses_value(row, value);
}

Test(config, every_key_refuses_each_value_that_it_cannot_have)
{
    static const char *const never[] = { "7", "true", "{ a = 1 }", "\"${x}\"", "[1]", "[[]]" };
    static const char *const no_ms[] = {
        "\"\"", "\"5\"", "\"-1s\"", "\"1s-\"", "\"99999999999999999999s\"", "[\"1s\"]"
    };
    for (size_t i = 0; i < COUNT(limits); i++) {
        const struct limits_row *row = &limits[i];
        for (size_t v = 0; v < COUNT(never); v++)
            refuses_value(row, never[v]);
        if (strcmp(row->type, "TEXT") == 0) {
            refuses_value(row, "[\"x\"]");
            refuses_value(row, "\"a\\u0007b\"");
            refuses_length(row, row->max + 1);
            if (row->min > 0)
                refuses_length(row, row->min - 1);
        } else if (strcmp(row->type, "MS") == 0) {
            for (size_t v = 0; v < COUNT(no_ms); v++)
                refuses_value(row, no_ms[v]);
            refuses_ms(row, row->max + 1);
            if (row->min > 0)
                refuses_ms(row, row->min - 1);
        } else {
            refuses_value(row, "\"x\"");
            refuses_value(row, "[\"\"]");
        }
    }
}

Test(config, every_required_key_is_missed_by_name)
{
    for (size_t i = 0; i < COUNT(limits); i++) {
        CLEANUP(buf_fini) struct buf text = { 0 };
        CLEANUP(str_freep) char *full = str_format("\"%s.%s\"", limits[i].block, limits[i].key);
        struct sidecar_config *config = NULL;
        struct err err = { 0 };
        if (!limits[i].is_required)
            continue;
        buf_put_fmt(&text, "name = \"n\"\n%s {\n", limits[i].block);
        put_required(&text, &limits[i]);
        buf_put_str(&text, "}\n");
        cr_assert_not(config_load("c", buf_view(&text), NULL, &config, &err), "%s", full);
        cr_expect_eq(strncmp(err.msg, "c:2:1: ", 7), 0, "%s", err.msg);
        cr_expect_not_null(strstr(err.msg, full), "%s", err.msg);
        cr_expect_not_null(strstr(err.msg, "missing"), "%s", err.msg);
    }
}

#define STATE(more) "name = \"n\"\nstate {\n  path = \"p\"\n  store = \"s\"\n" more "}\n"

Test(config, mistakes_name_the_key_and_the_place)
{
    static const struct {
        const char *text, *message;
    } rows[] = {
        { "nam = \"x\"", "agent.hcl:1:1: unknown key \"nam\"; did you mean \"name\"?" },
        { "stat {\n}", "agent.hcl:1:1: unknown block \"stat\"; did you mean \"state\"?" },
        { "name = \"n\"\nname = \"m\"", "agent.hcl:2:1: \"name\" is set twice, first in line 1" },
        { "api {\n}\napi {\n}", "agent.hcl:3:1: block \"api\" stands here twice, first in line 1" },
        { "name = 1", "agent.hcl:1:8: \"name\" must be a quoted string, not a number" },
        { "name = \"a\\nb\"", "agent.hcl:1:8: \"name\" holds a control character" },
        { "name = \"${x}\"", "agent.hcl:1:8: \"name\" holds a ${...} template, which has no "
                             "meaning here (write $${)" },
        { "name = \"n\"\nstate {\n  store = \"s\"\n}", "agent.hcl:2:1: \"state.path\" is missing" },
        { "name = \"n\"\nstate {\n  path = \"\"\n  store = \"s\"\n}",
          "agent.hcl:3:10: \"state.path\" must not be empty" },
        { STATE("  interval = 5\n"),
          "agent.hcl:5:14: \"interval\" must be a quoted duration such as \"15s\", not a number" },
        { STATE("  interval = \"5\"\n"),
          "agent.hcl:5:14: \"interval\" must be a duration with its unit: ms, s, m, h, d" },
        { STATE("  interval = \"99ms\"\n"),
          "agent.hcl:5:14: \"state.interval\" must be 0s or at least 100ms" },
        { STATE("  interval = \"1ms\"\n"),
          "agent.hcl:5:14: \"state.interval\" must be 0s or at least 100ms" },
        { STATE("  retain = \"1d\"\n"), "agent.hcl:5:3: unknown key \"retain\"" },
        { STATE("  exclude = \"x\"\n"),
          "agent.hcl:5:13: \"exclude\" must be a list of strings, not a string" },
        { STATE("  exclude = [\"\"]\n"),
          "agent.hcl:5:13: \"state.exclude\" has an item that is empty or longer than 1024 bytes" },
        { "state {\n  path = \"p\"\n  store = \"s\"\n}",
          "agent.hcl:1:1: \"name\" is missing: state and lease belong to a name" },
        { "name = \"n\"\nlease {\n}",
          "agent.hcl:2:1: \"lease.store\" is missing: there is no state store" },
        { STATE("") "lease { ttl = \"100ms\" }", "agent.hcl:6:15: \"ttl\" must be from 1s to 1h" },
        { STATE("") "lease { margin = \"10s\" }",
          "agent.hcl:6:18: \"lease.margin\" must be from 200ms to 5000ms with this ttl" },
        { STATE("") "lease { margin = \"10ms\" }",
          "agent.hcl:6:18: \"lease.margin\" must be from 200ms to 5000ms with this ttl" },
        { STATE("") "lease {\n  ttl = \"1s\"\n  margin = \"199ms\"\n}",
          "agent.hcl:8:12: \"lease.margin\" must be from 200ms to 333ms with this ttl" },
        { "stop { signal = \"SIGNOPE\" }",
          "agent.hcl:1:17: \"stop.signal\" must be the name of a signal (SIGTERM)" },
        { "stop { signal = \"TERM\" }",
          "agent.hcl:1:17: \"stop.signal\" must be the name of a signal (SIGTERM)" },
        { "stop {\n  timeout = \"1s\"\n  reserve = \"900ms\"\n}",
          "agent.hcl:3:13: \"stop.reserve\" must be at most half of stop.timeout" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        refused(rows[i].text, NULL, rows[i].message);
}

Test(config, a_socket_path_that_is_too_long_says_length_and_limit)
{
    static const size_t lengths[] = { 95, 107, 108, 200 };
    for (size_t i = 0; i < COUNT(lengths); i++) {
        char path[256], text[300];
        memset(path, 'p', lengths[i]);
        path[lengths[i]] = '\0';
        (void)snprintf(text, sizeof text, "api { path = \"%s\" }", path);
        char message[100];
        (void)snprintf(message, sizeof message,
                       "agent.hcl:1:14: \"api.path\" must have 0 to 107 bytes, not %zu",
                       lengths[i]);
        if (lengths[i] > 107) {
            refused(text, NULL, message);
        } else {
            CLEANUP(config_freep) struct sidecar_config *c = loaded(text, NULL);
            cr_assert_str_eq(c->api.path, path);
        }
    }
}

Test(config, mistakes_in_the_environment_name_the_variable_and_never_its_value)
{
    static const struct {
        const char *variable, *message;
    } rows[] = {
        { "AGENT_SIDECAR_LEASE_TTL=hunter2",
          "environment: AGENT_SIDECAR_LEASE_TTL must be a duration with its unit: ms, s, m, h, d" },
        { "AGENT_SIDECAR_LEASE_TTL=2h",
          "environment: AGENT_SIDECAR_LEASE_TTL is outside its limits" },
        { "AGENT_SIDECAR_NAME=a\nb", "environment: AGENT_SIDECAR_NAME holds a control character" },
        { "AGENT_SIDECAR_STATE_EXCLUDE=a,\xff",
          "environment: AGENT_SIDECAR_STATE_EXCLUDE is not UTF-8" },
        { "AGENT_SIDECAR_NAME=\xff", "environment: AGENT_SIDECAR_NAME is not UTF-8" },
        { "AGENT_SIDECAR_STATE_EXCLUDE=a,,b",
          "environment: AGENT_SIDECAR_STATE_EXCLUDE has an item that is empty or longer than 1024 "
          "bytes" },
        { "AGENT_SIDECAR_STATE_PTH=x", "environment: unknown variable \"AGENT_SIDECAR_STATE_PTH\"; "
                                       "did you mean \"AGENT_SIDECAR_STATE_PATH\"?" },
        { "AGENT_SIDECAR_", "environment: unknown variable \"AGENT_SIDECAR_\"" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        refused(STATE(""), (const char *const[]){ rows[i].variable, NULL }, rows[i].message);
}

Test(config, too_many_list_items_are_refused)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    buf_put_str(&text, "name = \"n\"\nstate {\n path = \"p\"\n store = \"s\"\n exclude = [");
    for (int i = 0; i < 65; i++)
        buf_put_str(&text, "\"x\",");
    buf_put_str(&text, "]\n}\n");
    refused(buf_borrow_str(&text), NULL, "agent.hcl:5:12: \"state.exclude\" has too many items");
}

Test(config, the_reference_names_every_option)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    config_put_reference(&text);
    const char *reference = buf_borrow_str(&text);
    for (size_t i = 0; i < COUNT(keys); i++) {
        char cell[80];
        (void)snprintf(cell, sizeof cell, "| `%s` | ", keys[i].key);
        cr_assert_not_null(strstr(reference, cell), "%s", cell);
    }
    cr_assert_not_null(strstr(reference, "`AGENT_SIDECAR_STATE_KEY_FILE`"));
}

/* With UPDATE_DOCS=1 in the environment the page is written instead. */
Test(config, the_reference_page_is_what_the_table_says)
{
    CLEANUP(buf_fini) struct buf page = { 0 };
    CLEANUP(buf_fini) struct buf wanted = { 0 };
    struct err err = { 0 };
    CLEANUP(str_freep) char *root = str_copy(__FILE__);
    *strstr(root, "sidecar/config/") = '\0';
    CLEANUP(str_freep) char *file = str_format("%sdocs/sidecar-config.md", root);
    buf_put_str(&page,
                "# Configuration of the sidecar\n\n"
                "`agent-sidecar run -config FILE`, made from `sidecar/config/options.def`; a "
                "test compares.\n\n");
    config_put_reference(&page);
    if (getenv("UPDATE_DOCS"))
        cr_assert(file_publish(AT_FDCWD, file, buf_view(&page), 0644, FILE_REPLACE, &err));
    cr_assert(file_read(AT_FDCWD, file, 1 << 20, &wanted, &err), "%s", err.msg);
    cr_assert(view_is_equal(buf_view(&page), buf_view(&wanted)), "run with UPDATE_DOCS=1");
}

/* Each prefix of a good text loads or fails with a place. */
Test(config, every_cut_text_loads_or_names_line_and_column)
{
    for (size_t len = 0; len < sizeof whole - 1; len++) {
        struct sidecar_config *config = NULL;
        struct err err = { 0 };
        unsigned line, col;
        if (config_load("c", view_of(whole, len), NULL, &config, &err))
            config_free(config);
        else
            cr_assert_eq(sscanf(err.msg, "c:%u:%u: ", &line, &col), 2, "%s", err.msg);
    }
}
