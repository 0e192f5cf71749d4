#include "driver/surround/surround.h"

#include <criterion/criterion.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "driver/isolation/kernel.h"
#include "driver/isolation/plan.h"
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_spec.h"

static char root[] = "/tmp/surround-XXXXXX";
static struct plugin_config config;
static struct task_spec *spec;
static struct user_ids user;
static struct surround surround;
static struct isolation_plan plan;
static struct rlimit files;
static struct err err;

static void begin(void)
{
    cr_assert_not_null(mkdtemp(root));
    cr_assert(plugin_config_decode(view_of("", 0), &config, NULL, &err));
    spec = mem_new(struct task_spec);
    spec->name = str_copy("web");
    spec->alloc_dir = str_format("%s/a/1", root);
    cr_assert(task_config_decode(view_of("\x81\xa7"
                                         "command\xa7/bin/sh",
                                         17),
                                 &spec->config, &err),
              "%s", err.msg);
    CLEANUP(str_freep) char *local = str_format("%s/web/local", spec->alloc_dir);
    cr_assert(dir_make(local, 0755, &err));
}

static void finish(void)
{
    surround_fini(&surround);
    task_spec_free(spec);
    plugin_config_fini(&config);
    cr_assert(dir_remove_tree(root, &err));
}
TestSuite(surround, .init = begin, .fini = finish);

static bool make(void)
{
    CLEANUP(str_freep) char *task_dir = str_format("%s/web", spec->alloc_dir);
    struct isolation_kernel kernel;
    isolation_kernel_read(&kernel);
    const struct surround_in in = { .spec = spec,
                                    .config = &config,
                                    .kernel = &kernel,
                                    .files = files,
                                    .user = &user,
                                    .command = "/bin/sh",
                                    .task_dir = task_dir };
    surround_fini(&surround);
    if (!surround_make(&in, &surround, &err))
        return false;
    cr_assert(isolation_decode(buf_view(&surround.plan), &plan, &err), "%s", err.msg);
    return true;
}

static void refused(enum err_kind kind, const char *part)
{
    cr_expect_not(make(), "%s", part);
    cr_expect_eq(err.kind, kind, "%s", err.msg);
    cr_expect(strstr(err.msg, part), "%s", err.msg);
}

static const struct isolation_mount *mount_at(const char *target)
{
    for (size_t i = 0; i < plan.mount_count; i++)
        if (strcmp(plan.mount[i].target, target) == 0)
            return &plan.mount[i];
    return NULL;
}

Test(surround, an_ordinary_job_gets_a_plan)
{
    cr_assert(make(), "%s", err.msg);
    cr_expect(plan.flags & ISOLATION_NO_NEW_PRIVS);
    cr_expect_eq(plan.umask, 022);
    cr_expect_eq(plan.nice, ISOLATION_NICE_KEEP);
    CLEANUP(str_freep) char *task_dir = str_format("%s/web", spec->alloc_dir);
    cr_expect_str_eq(surround.work_dir, task_dir);
}

Test(surround, what_the_job_says_is_in_the_plan)
{
    spec->config.nice = 5;
    spec->config.oom_score_adj = 300;
    free(spec->config.umask);
    spec->config.umask = str_copy("077");
    spec->config.work_dir = str_copy("local");
    str_list_add(&spec->config.ulimit, view_str("nofile=64:128"));
    cr_assert(make(), "%s", err.msg);
    cr_expect_eq(plan.nice, 5);
    cr_expect_eq(plan.oom_score_adj, 300);
    cr_expect_eq(plan.umask, 077);
    cr_assert_eq(plan.limit_count, 1);
    cr_expect_eq(plan.limits[0].number, RLIMIT_NOFILE);
    cr_expect_eq(plan.limits[0].soft, 64);
    CLEANUP(str_freep) char *local = str_format("%s/web/local", spec->alloc_dir);
    cr_expect_str_eq(surround.work_dir, local);
}

Test(surround, descriptors_are_the_jobs_or_what_the_plugin_began_with)
{
    files = (struct rlimit){ 1024, 4096 };
    str_list_add(&spec->config.ulimit, view_str("core=0"));
    cr_assert(make(), "%s", err.msg);
    cr_assert_eq(plan.limit_count, 2);
    cr_expect_eq(plan.limits[1].number, RLIMIT_NOFILE);
    cr_expect_eq(plan.limits[1].soft, 1024);
    cr_expect_eq(plan.limits[1].hard, 4096);
    str_list_add(&spec->config.ulimit, view_str("nofile=64:128"));
    cr_assert(make(), "%s", err.msg);
    cr_assert_eq(plan.limit_count, 2);
    cr_expect_eq(plan.limits[1].soft, 64);
    files = (struct rlimit){ 0 };
}

Test(surround, a_bad_limit_names_its_key)
{
    str_list_add(&spec->config.ulimit, view_str("files=1"));
    refused(ERR_INVALID, "task config: ulimit: \"files\"");
}

Test(surround, the_nodes_policy_is_asked)
{
    str_list_add(&config.denied_users, view_str("root"));
    refused(ERR_DENIED, "denied_users");
    user.uid = 65534;
    str_list_add(&config.denied_commands, view_str("/bin/sh"));
    refused(ERR_DENIED, "denied_commands");
}

Test(surround, who_is_not_root_has_only_what_was_added)
{
    if (geteuid() != 0)
        cr_skip_test("capabilities are given by root");
    user.uid = user.gid = 65534;
    cr_assert(make(), "%s", err.msg);
    cr_expect_eq(plan.caps_given, 0);
    cr_expect_eq(plan.caps_bound, 0);
    str_list_add(&spec->config.cap_add, view_str("net_bind_service"));
    cr_assert(make());
    cr_expect_eq(plan.caps_given, 1 << 10);
    cr_expect_eq(plan.caps_bound, 1 << 10);
}

/* Nomad's data directory is closed to all but root. */
Test(surround, a_directory_that_the_user_may_not_pass_is_what_is_hidden)
{
    char real[PATH_MAX];
    if (geteuid() != 0)
        cr_skip_test("mounts need root");
    cr_assert_not_null(realpath(root, real));
    user.uid = user.gid = 65534;
    cr_assert_eq(chmod(root, 0700), 0);
    cr_assert(make(), "%s", err.msg);
    const struct isolation_mount *cover = mount_at(real + 1);
    cr_assert_not_null(cover);
    cr_expect_eq(cover->kind, ISOLATION_COVER);
}

Test(surround, names_of_the_network_are_written)
{
    if (geteuid() != 0)
        cr_skip_test("mounts need root");
    spec->has_dns = true;
    str_list_add(&spec->dns_servers, view_str("10.0.0.53"));
    str_list_add(&spec->dns_searches, view_str("a.example"));
    str_list_add(&spec->dns_searches, view_str("b.example"));
    str_list_add(&spec->dns_options, view_str("ndots:2"));
    spec->host_name = str_copy("box");
    spec->host_address = str_copy("172.26.64.2");
    cr_assert(make(), "%s", err.msg);
    const struct isolation_mount *hosts = mount_at("etc/hosts");
    cr_assert_not_null(hosts);
    cr_expect(strstr(hosts->source, "\n172.26.64.2 box\n"), "%s", hosts->source);
    CLEANUP(str_freep) char *real = realpath("/etc/resolv.conf", NULL);
    const struct isolation_mount *resolv = mount_at(real + 1);
    cr_assert_not_null(resolv);
    cr_expect_str_eq(resolv->source,
                     "search a.example b.example\nnameserver 10.0.0.53\noptions ndots:2\n");
}

Test(surround, a_host_entry_of_another_form_is_refused)
{
    spec->host_name = str_copy("box\n127.0.0.1 bank.example");
    spec->host_address = str_copy("172.26.64.2");
    refused(ERR_INVALID, "hosts_config");
}

Test(surround, a_volume_of_the_machine_hides_neither_the_program_nor_what_is_the_drivers)
{
    if (access("/srv", W_OK) != 0)
        cr_skip_test("needs to write in /srv");
    CLEANUP(str_freep) char *place = str_copy("/srv/surround-XXXXXX");
    cr_assert_not_null(mkdtemp(place));
    CLEANUP(str_freep) char *records = str_format("%s/state", place);
    struct task_volume volume = { place, spec->alloc_dir, false, (char[]){ "" } };
    spec->volumes = &volume;
    spec->volume_count = 1;
    cr_expect(make(), "%s", err.msg);
    const struct isolation_mount *mount = mount_at(place + 1);
    cr_assert_not_null(mount);
    cr_expect_str_eq(mount->root, "/");
    cr_expect_not(mount->flags & ISOLATION_MAKE);
    cr_assert(dir_make(records, 0755, &err));
    char *own = config.state_dir;
    config.state_dir = records;
    refused(ERR_INVALID, "would hide");
    config.state_dir = own;
    spec->volumes = NULL;
    spec->volume_count = 0;
    cr_expect(dir_remove_tree(place, &err));
}
