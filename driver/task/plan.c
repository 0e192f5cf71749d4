#include "driver/task/plan.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/own.h"
#include "common/cgroup/cgroup.h"
#include "driver/host/machine.h"
#include "driver/nomad/agent_hcl.h"
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_spec.h"

#define ETC "/etc"

static bool check_logs(const struct task_spec *spec, const struct plugin_config *config,
                       struct err *err)
{
    if (!spec->config.has_logs || plugin_config_has_own_logs(config))
        return true;
    return err_set(err, ERR_INVALID,
                   "task config: logs: Nomad collects the logs of this node "
                   "(log_collection of the plugin config); its own logs block "
                   "has the limits");
}

static bool is_below(const char *path, const char *root)
{
    const size_t len = strlen(root);
    return strncmp(path, root, len) == 0 && path[len] == '/';
}

static bool is_cgroup(const char *dir)
{
    struct err ignored = { 0 };
    struct cgroup cg = CGROUP_NONE;
    if (!cgroup_open(dir, false, &cg, &ignored))
        return false;
    cgroup_fini(&cg);
    return true;
}

/* Nomad's scope holds the agent in a directory of its own, so that ours is ours to freeze and
 * kill. On v1 and hybrid hosts Nomad's path is of another hierarchy: then our own parent. */
static char *choose_cgroup(const struct plan_in *in)
{
    const char *given = in->spec->resources.cpuset_cgroup;
    const char *unified = in->machine->layout.unified;
    const char *parent = in->config->cgroup_parent;
    if (given && unified[0] != '\0' && is_below(given, unified) && is_cgroup(given))
        return str_format("%s/agent", given);
    if (!parent && in->machine->own_cgroup[0] == '\0')
        return str_copy("");
    return str_format("%s/agent-%s", parent ? parent : in->machine->own_cgroup, in->paths->key);
}

static bool plan_sidecar(const struct plan_in *from, struct task_plan *out, struct err *err)
{
    const struct task_spec *spec = from->spec;
    const struct plugin_config *config = from->config;
    const char *region = task_spec_env(spec, "NOMAD_REGION");
    if (!helper_find(config->sidecar, "agent-sidecar", PLAN_LIBEXEC, &out->sidecar, err) ||
        !state_path_find(spec, out->task_dir, &out->state_path, err))
        return false;
    out->agent_name = agent_name_of(spec);
    const struct agent_hcl in = { .name = out->agent_name,
                                  .store = config->store,
                                  .lease_store = config->lease_store,
                                  .lease_ttl_ms = config->lease_ttl_ms,
                                  .key_file = config->key_file,
                                  .state_path = out->state_path,
                                  .api_path = from->paths->api,
                                  .node = spec->node_name,
                                  .alloc_id = spec->alloc_id,
                                  .region = region ? region : "",
                                  .config = &spec->config };
    return agent_hcl_put(&in, &out->agent_hcl, err);
}

static bool plan_surround(const struct plan_in *from, struct task_plan *out, struct err *err)
{
    const struct surround_in in = { .spec = from->spec,
                                    .config = from->config,
                                    .kernel = &from->machine->kernel,
                                    .files = from->machine->files,
                                    .api = from->paths->api,
                                    .user = &out->user,
                                    .command = out->command,
                                    .task_dir = out->task_dir,
                                    .state_path = out->state_path };
    return surround_make(&in, &out->surround, err);
}

static bool plan_fill(const struct plan_in *in, struct task_plan *out, struct err *err)
{
    const struct task_spec *spec = in->spec;
    const struct plugin_config *config = in->config;
    if (!check_logs(spec, config, err) || !task_dir_find(spec, &out->task_dir, err) ||
        !user_find(ETC, spec->user, &out->user, err) ||
        !command_find(spec, &out->user, &out->command, err) ||
        !helper_find(config->shim, "agent-shim", PLAN_LIBEXEC, &out->shim, err))
        return false;
    if (!limits_want_make(spec, config, sysconf(_SC_NPROCESSORS_ONLN), &out->limits, err))
        return false;
    out->cgroup_dir = choose_cgroup(in);
    return (!spec->config.has_state || plan_sidecar(in, out, err)) && plan_surround(in, out, err);
}

bool helpers_find(const struct plugin_config *config, char **out_shim, char **out_sidecar,
                  struct err *err)
{
    return helper_find(config->shim, "agent-shim", PLAN_LIBEXEC, out_shim, err) &&
           helper_find(config->sidecar, "agent-sidecar", PLAN_LIBEXEC, out_sidecar, err);
}

bool task_plan_make(const struct plan_in *in, struct task_plan *out, struct err *err)
{
    *out = (struct task_plan){ 0 };
    if (plan_fill(in, out, err))
        return true;
    task_plan_fini(out);
    return false;
}

void task_plan_fini(struct task_plan *plan)
{
    free(plan->command);
    free(plan->task_dir);
    free(plan->shim);
    free(plan->sidecar);
    free(plan->state_path);
    free(plan->agent_name);
    free(plan->cgroup_dir);
    buf_fini(&plan->agent_hcl);
    surround_fini(&plan->surround);
    *plan = (struct task_plan){ 0 };
}
