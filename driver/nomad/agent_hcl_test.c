#include "driver/nomad/agent_hcl.h"

#include <criterion/criterion.h>

#include "common/base/own.h"
#include "common/hcl/hcl.h"
#include "driver/nomad/task_config.h"

static char *patterns[] = { "*.tmp", "a\"b\\c\n${x}" };
static struct task_config config = {
    .has_state = true,
    .state = { .path = "local/state", .interval_ms = 1000, .exclude = { patterns, 2 } },
    .has_lease = true,
    .lease = { .ttl_ms = 5000, .margin_ms = 0 },
};
static const struct agent_hcl input = {
    .name = "default/j/g/t/0",
    .store = "file:///s",
    .lease_ttl_ms = 15000,
    .key_file = "/k",
    .state_path = "/alloc/t/local/state",
    .api_path = "/run/x.api",
    .node = "n1",
    .alloc_id = "a1",
    .region = "global",
    .config = &config,
};

Test(agent_hcl, golden_text)
{
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf text = { 0 };
    cr_assert(agent_hcl_put(&input, &text, &err), "%s", err.msg);
    cr_assert_str_eq(buf_borrow_str(&text), "name = \"default/j/g/t/0\"\n"
                                            "node = \"n1\"\n"
                                            "alloc_id = \"a1\"\n"
                                            "region = \"global\"\n"
                                            "state {\n"
                                            "  path = \"/alloc/t/local/state\"\n"
                                            "  store = \"file:///s\"\n"
                                            "  key_file = \"/k\"\n"
                                            "  interval = \"1000ms\"\n"
                                            "  exclude = [\"*.tmp\", \"a\\\"b\\\\c\\n$${x}\"]\n"
                                            "}\n"
                                            "lease {\n"
                                            "  ttl = \"5000ms\"\n"
                                            "  margin = \"0ms\"\n"
                                            "}\n"
                                            "api {\n"
                                            "  path = \"/run/x.api\"\n"
                                            "}\n");
}

Test(agent_hcl, values_come_back_as_they_were)
{
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf text = { 0 };
    CLEANUP(hcl_freep) struct hcl *tree = NULL;
    cr_assert(agent_hcl_put(&input, &text, &err), "%s", err.msg);
    cr_assert(hcl_parse("t", buf_view(&text), &tree, &err), "%s", err.msg);
    const struct hcl_node *state = hcl_root(tree)->first;
    while (state && strcmp(state->key, "state") != 0)
        state = state->next;
    cr_assert_not_null(state);
    const struct hcl_node *exclude = state->first;
    while (exclude && strcmp(exclude->key, "exclude") != 0)
        exclude = exclude->next;
    cr_assert_not_null(exclude);
    cr_assert_str_eq(exclude->first->next->text, "a\"b\\c\n${x}");
    cr_assert_not(exclude->first->next->has_template);
}

Test(agent_hcl, a_store_of_the_job_wins_and_one_is_needed)
{
    struct err err = { 0 };
    struct agent_hcl in = input;
    CLEANUP(buf_fini) struct buf text = { 0 };
    in.store = NULL;
    cr_assert_not(agent_hcl_put(&in, &text, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert(strstr(err.msg, "state.store"));
    struct task_config own = config;
    own.state.store = "file:///job";
    in = input;
    in.config = &own;
    text.len = 0;
    cr_assert(agent_hcl_put(&in, &text, &err));
    cr_assert(strstr(buf_borrow_str(&text), "file:///job"));
    cr_assert_null(strstr(buf_borrow_str(&text), "file:///s\""));
}

Test(agent_hcl, the_lease_of_the_plugin_is_for_jobs_that_say_nothing)
{
    struct err err = { 0 };
    struct agent_hcl in = input;
    struct task_config own = config;
    CLEANUP(buf_fini) struct buf text = { 0 };
    own.lease.ttl_ms = 0;
    in.lease_store = "file:///register";
    in.config = &own;
    cr_assert(agent_hcl_put(&in, &text, &err), "%s", err.msg);
    cr_assert(strstr(buf_borrow_str(&text),
                     "lease {\n  store = \"file:///register\"\n  ttl = \"15000ms\"\n"));
    own.lease.store = "file:///job";
    own.lease.ttl_ms = 7000;
    text.len = 0;
    cr_assert(agent_hcl_put(&in, &text, &err), "%s", err.msg);
    cr_assert(
        strstr(buf_borrow_str(&text), "lease {\n  store = \"file:///job\"\n  ttl = \"7000ms\"\n"));
}

Test(agent_hcl, a_margin_that_does_not_fit_the_plugins_ttl_is_refused)
{
    struct err err = { 0 };
    struct agent_hcl in = input;
    struct task_config own = config;
    CLEANUP(buf_fini) struct buf text = { 0 };
    own.lease.ttl_ms = 0;
    own.lease.margin_ms = 6000;
    in.config = &own;
    cr_assert_not(agent_hcl_put(&in, &text, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert(strstr(err.msg, "lease.margin"), "%s", err.msg);
    own.lease.margin_ms = 5000;
    cr_assert(agent_hcl_put(&in, &text, &err), "%s", err.msg);
}

Test(agent_hcl, text_that_is_not_utf8_is_refused)
{
    struct err err = { 0 };
    struct agent_hcl in = input;
    CLEANUP(buf_fini) struct buf text = { 0 };
    in.node = "\xff";
    cr_assert_not(agent_hcl_put(&in, &text, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}
