#include "driver/surround/policy.h"

#include <criterion/criterion.h>
#include <string.h>

#include "common/base/own.h"
#include "driver/isolation/caps.h"
#include "driver/isolation/plan.h"
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_config.h"

static struct plugin_config config;
static struct task_config task;
static struct err err;

static void begin(void)
{
    cr_assert(plugin_config_decode(view_of("", 0), &config, NULL, &err));
    task.pid_mode = str_copy("private");
    task.ipc_mode = str_copy("private");
}

static void finish(void)
{
    plugin_config_fini(&config);
    task_config_fini(&task);
}
TestSuite(policy, .init = begin, .fini = finish);

static void list(struct str_list *out, const char *item) { str_list_add(out, view_str(item)); }

static void denied(bool is_good, const char *part)
{
    cr_expect_not(is_good, "%s", part);
    cr_expect_eq(err.kind, ERR_DENIED);
    cr_expect(strstr(err.msg, part), "%s", err.msg);
}

Test(policy, a_denied_user_is_denied_by_name_and_by_number)
{
    cr_expect(policy_user(&config, "root", 0, &err), "none is by default");
    list(&config.denied_users, "root");
    list(&config.denied_users, "80*");
    denied(policy_user(&config, "root", 0, &err), "denied_users");
    denied(policy_user(&config, NULL, 8000, &err), "\"8000\"");
    cr_expect(policy_user(&config, "www", 33, &err));
}

Test(policy, only_allowed_users_when_there_are_any)
{
    list(&config.allowed_users, "agent-?");
    list(&config.allowed_users, "33");
    cr_expect(policy_user(&config, "agent-1", 1001, &err));
    cr_expect(policy_user(&config, NULL, 33, &err));
    denied(policy_user(&config, "agent-11", 1011, &err), "allowed_users");
    list(&config.denied_users, "agent-1");
    denied(policy_user(&config, "agent-1", 1001, &err), "denied_users");
}

Test(policy, a_command_is_judged_by_where_it_leads)
{
    list(&config.denied_commands, "/usr/bin/*sh");
    denied(policy_command(&config, "/bin/sh", "/usr/bin/dash", &err), "denied_commands");
    denied(policy_command(&config, "/usr/bin/zsh", "/opt/zsh", &err), "denied_commands");
    cr_expect(policy_command(&config, "/usr/bin/python3", "/usr/bin/python3.11", &err));
    list(&config.allowed_commands, "/usr/bin/*");
    cr_expect(policy_command(&config, "/usr/bin/python3", "/usr/bin/python3.11", &err));
    denied(policy_command(&config, "/usr/bin/x", "/home/x", &err), "allowed_commands");
}

Test(policy, host_paths_are_directories_not_prefixes)
{
    denied(policy_path(&config, "mount.source", "/srv", false, &err), "mount.source");
    list(&config.allow_host_paths, "/srv/data/");
    list(&config.allow_host_paths, "/opt/models:ro");
    cr_expect(policy_path(&config, "k", "/srv/data", true, &err));
    cr_expect(policy_path(&config, "k", "/srv/data/a/b", true, &err));
    denied(policy_path(&config, "k", "/srv/database", false, &err), "/srv/database");
    cr_expect(policy_path(&config, "k", "/opt/models/x", false, &err));
    denied(policy_path(&config, "k", "/opt/models/x", true, &err), "only to read");
}

Test(policy, protections_are_given_up_only_where_the_node_says_so)
{
    cr_expect(policy_modes(&config, &task, &err));
    list(&task.unconfined, "landlock");
    denied(policy_modes(&config, &task, &err), "\"landlock\"");
    list(&config.allow_unconfined, "landlock");
    cr_expect(policy_modes(&config, &task, &err));
    list(&task.unconfined, "everything");
    cr_expect_not(policy_modes(&config, &task, &err));
    cr_expect_eq(err.kind, ERR_INVALID);
}

Test(policy, host_modes_are_given_only_where_the_node_says_so)
{
    free(task.pid_mode);
    task.pid_mode = str_copy("host");
    denied(policy_modes(&config, &task, &err), "pid_mode");
    list(&config.allow_unconfined, "pid");
    cr_expect(policy_modes(&config, &task, &err));
    free(task.ipc_mode);
    task.ipc_mode = str_copy("host");
    denied(policy_modes(&config, &task, &err), "ipc_mode");
}

Test(policy, priority_is_given_only_where_the_node_says_so)
{
    task.nice = 5;
    task.oom_score_adj = 100;
    cr_expect(policy_modes(&config, &task, &err));
    task.nice = -5;
    denied(policy_modes(&config, &task, &err), "nice");
    task.nice = 0;
    task.oom_score_adj = -1;
    denied(policy_modes(&config, &task, &err), "oom_score_adj");
    config.allow_priority = true;
    cr_expect(policy_modes(&config, &task, &err));
}

static void caps_are(uint64_t want_kept, uint64_t want_added)
{
    uint64_t kept = 0, added = 0;
    cr_assert(policy_caps(&config, &task, &kept, &added, &err), "%s", err.msg);
    cr_expect_eq(kept, want_kept);
    cr_expect_eq(added, want_added);
}

Test(policy, capabilities_are_added_and_dropped_within_the_nodes)
{
    const uint64_t usual = isolation_caps_default(), bind = 1 << 10, raw = 1 << 13;
    uint64_t kept = 0, added = 0;
    caps_are(usual, 0);
    list(&task.cap_add, "net_bind_service");
    caps_are(usual, bind);
    list(&task.cap_drop, "all");
    caps_are(bind, bind);
    list(&task.cap_add, "CAP_NET_RAW");
    denied(policy_caps(&config, &task, &kept, &added, &err), "\"net_raw\"");
    list(&config.allow_caps, "net_raw");
    denied(policy_caps(&config, &task, &kept, &added, &err), "\"net_bind_service\"");
    list(&config.allow_caps, "all");
    caps_are(bind | raw, bind | raw);
}

Test(policy, an_unknown_capability_names_its_key)
{
    uint64_t kept = 0, added = 0;
    list(&task.cap_drop, "sys_everything");
    cr_expect_not(policy_caps(&config, &task, &kept, &added, &err));
    cr_expect_eq(err.kind, ERR_INVALID);
    cr_expect(strstr(err.msg, "cap_drop"), "%s", err.msg);
}

/* A node that allows less than the usual set bounds root to it. */
Test(policy, the_nodes_list_bounds_what_root_keeps)
{
    list(&config.allow_caps, "chown");
    caps_are(1, 0);
}
