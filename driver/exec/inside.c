#include "driver/exec/inside.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/own.h"
#include "driver/nomad/task_spec.h"

static void replace(char **text, const char *with)
{
    free(*text);
    *text = str_copy(with);
}

void inside_take_launch(struct inside *inside, const struct launch_inside *from)
{
    inside->is_known = from->is_known;
    inside->uid = from->uid;
    inside->gid = from->gid;
    free(inside->groups);
    inside->group_count = from->group_count;
    inside->groups = mem_array(from->group_count + 1, sizeof(uint32_t));
    memcpy(inside->groups, from->groups, from->group_count * sizeof(uint32_t));
    replace(&inside->cwd, from->cwd);
    replace(&inside->agent_name, from->agent_name);
    replace(&inside->state_path, from->state_path);
    inside->isolation.len = 0;
    buf_put(&inside->isolation, view_of(from->isolation, from->isolation_len));
}

static void wipe_env(struct inside *inside)
{
    if (inside->env.data)
        explicit_bzero(inside->env.data, inside->env.cap);
    buf_fini(&inside->env);
    inside->env_count = 0;
}

void inside_take_spec(struct inside *inside, struct task_spec *spec)
{
    wipe_env(inside);
    inside->env = buf_take(&spec->env);
    inside->env_count = spec->env_count;
    spec->env_count = 0;
    free(inside->task_dir);
    inside->task_dir = str_format("%s/%s", spec->alloc_dir, spec->name);
}

void inside_fini(struct inside *inside)
{
    wipe_env(inside);
    buf_fini(&inside->isolation);
    free(inside->groups);
    free(inside->cwd);
    free(inside->agent_name);
    free(inside->state_path);
    free(inside->task_dir);
    free(inside->shim);
    *inside = (struct inside){ 0 };
}
