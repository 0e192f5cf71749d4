#include "driver/task/plan.h"

#include "common/cgroup/cgroup.h"
#include "driver/host/machine.h"
#include "driver/task/rig_test.h"

static struct rig rig; /* only its directories and configuration */
static struct err err;
static struct task_paths paths;
static struct task_plan plan;

static void setup(void)
{
    rig_init(&rig, str_copy("/bin/true"));
    rig.config.sidecar = str_copy("/bin/true");
    cr_assert(task_paths_init("/s", "/r", "a", "web", &paths, &err));
}

static void teardown(void)
{
    task_paths_fini(&paths);
    rig_fini(&rig);
}

TestSuite(plan, .init = setup, .fini = teardown);

static bool make(struct task_spec *spec)
{
    struct machine machine;
    machine_read(&machine);
    const struct plan_in in = {
        .spec = spec, .config = &rig.config, .machine = &machine, .paths = &paths
    };
    return task_plan_make(&in, &plan, &err);
}

static struct task_spec *spec_with_state(void)
{
    struct task_spec *spec = rig_spec(&rig, "id", "true");
    spec->config.has_state = true;
    spec->config.state.path = str_copy("local/state");
    spec->config.state.store = str_copy("file:///store");
    return spec;
}

Test(plan, a_task_without_state_has_no_sidecar)
{
    CLEANUP(task_spec_freep) struct task_spec *spec = rig_spec(&rig, "id", "true");
    cr_assert(make(spec), "%s", err.msg);
    cr_assert_str_eq(plan.command, "/bin/sh");
    cr_assert_null(plan.sidecar);
    cr_assert_eq(plan.agent_hcl.len, 0);
    task_plan_fini(&plan);
}

Test(plan, a_task_with_state_has_a_sidecar_with_its_configuration)
{
    CLEANUP(task_spec_freep) struct task_spec *spec = spec_with_state();
    cr_assert(make(spec), "%s", err.msg);
    cr_assert_str_eq(plan.sidecar, "/bin/true");
    cr_assert_str_eq(plan.agent_name, "default/job/group/web/0");
    const char *text = buf_borrow_str(&plan.agent_hcl);
    cr_assert(strstr(text, "name = \"default/job/group/web/0\""));
    cr_assert(strstr(text, plan.state_path));
    cr_assert(strstr(text, paths.api));
    cr_assert_null(strstr(text, "canary"));
    task_plan_fini(&plan);
}

static void refuse(struct task_spec *spec, const char *part)
{
    cr_assert_not(make(spec));
    cr_assert(strstr(err.msg, part), "%s", err.msg);
    cr_assert_null(plan.command);
    task_spec_free(spec);
}

Test(plan, what_cannot_be_given_is_refused)
{
    struct task_spec *spec = rig_spec(&rig, "id", "true");
    str_list_add(&spec->config.unconfined, view_str("seccomp"));
    refuse(spec, "allow_unconfined");
    spec = spec_with_state();
    str_freep(&spec->config.state.store);
    refuse(spec, "state.store");
    spec = spec_with_state();
    str_freep(&spec->config.state.path);
    spec->config.state.path = str_copy("/etc");
    refuse(spec, "state.path");
}

Test(plan, the_agents_cgroup_is_nomads_or_our_own)
{
    char mount[CGROUP_PATH_MAX];
    if (!cgroup_mount(mount, &err))
        cr_skip_test("no cgroup v2 here");
    CLEANUP(task_spec_freep) struct task_spec *spec = rig_spec(&rig, "id", "true");
    spec->resources.cpuset_cgroup = str_copy("/sys/fs/cgroup/cpuset/nomad/share");
    cr_assert(make(spec), "%s", err.msg);
    cr_assert(strstr(plan.cgroup_dir, paths.key), "%s", plan.cgroup_dir);
    task_plan_fini(&plan);
    rig.config.cgroup_parent = str_copy("/sys/fs/cgroup/agents");
    cr_assert(make(spec));
    CLEANUP(str_freep) char *wanted = str_format("/sys/fs/cgroup/agents/agent-%s", paths.key);
    cr_assert_str_eq(plan.cgroup_dir, wanted);
    task_plan_fini(&plan);
    CLEANUP(str_freep) char *scope = str_format("%s/plan-test.scope", mount);
    if (mkdir(scope, 0755) < 0)
        cr_skip_test("cgroups cannot be made here");
    str_freep(&spec->resources.cpuset_cgroup);
    spec->resources.cpuset_cgroup = str_copy(scope);
    cr_assert(make(spec));
    str_freep(&wanted);
    wanted = str_format("%s/agent", scope);
    cr_assert_str_eq(plan.cgroup_dir, wanted);
    task_plan_fini(&plan);
    cr_assert_eq(rmdir(scope), 0);
}
