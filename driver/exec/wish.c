#include "driver/exec/wish.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/shimwire/exec_spec.h"
#include "driver/exec/environ.h"

#define CGROUP_NAME_BYTES 24 /* the prefix and 16 digits */
#define TERM_DEFAULT      "xterm"

/* Where the command may be, in order; the helper takes the first that exists as the task sees it.
 */
struct places {
    char **list; /* NULL-terminated */
    size_t count;
};

static void places_fini(struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        free(places->list[i]);
    free(places->list);
}

static void place_add(struct places *places, char *path)
{
    places->list = mem_resize(places->list, places->count + 2, sizeof(char *));
    places->list[places->count++] = path;
    places->list[places->count] = NULL;
}

static void places_fill(const struct inside *inside, const char *command, struct places *out)
{
    const char *path = environ_value(&inside->env, inside->env_count, "PATH");
    if (command[0] == '/') {
        place_add(out, str_copy(command));
        return;
    }
    place_add(out, str_format("%s/local/%s", inside->task_dir, command));
    place_add(out, str_format("%s/%s", inside->task_dir, command));
    for (const char *at = path; at && *at && !strchr(command, '/');) {
        const size_t len = strcspn(at, ":");
        if (len && at[0] == '/')
            place_add(out, str_format("%.*s/%s", (int)len, at, command));
        at += len;
        at += *at == ':';
    }
}

static bool cgroup_name_make(char out[CGROUP_NAME_BYTES], struct err *err)
{
    uint8_t random[8];
    if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return err_sys(err, errno, "read random bytes");
    memcpy(out, EXEC_CGROUP_PREFIX, sizeof(EXEC_CGROUP_PREFIX) - 1);
    hex_encode(view_of(random, sizeof(random)), out + sizeof(EXEC_CGROUP_PREFIX) - 1);
    return true;
}

bool exec_wish_seal(const struct exec_wish *wish, const struct exec_target *target,
                    struct fd *out_spec, char **out_cgroup, struct err *err)
{
    const struct inside *inside = target->inside;
    char name[CGROUP_NAME_BYTES];
    const bool is_tty = wish->mode == EXEC_TTY;
    CLEANUP(places_fini) struct places places = { 0 };
    CLEANUP(environ_fini) struct environ env = { 0 };
    if (!cgroup_name_make(name, err))
        return false;
    places_fill(inside, wish->argv[0], &places);
    environ_fill(&(struct environ_in){ .env = &inside->env,
                                       .env_count = inside->env_count,
                                       .agent_name = inside->agent_name,
                                       .api_path = target->api_path,
                                       .state_path = inside->state_path,
                                       .epoch = target->epoch,
                                       .term = is_tty ? TERM_DEFAULT : NULL },
                 &env);
    const struct exec_spec spec = { .flags = is_tty ? EXEC_TERMINAL : 0,
                                    .agent_pid = (uint32_t)target->agent_pid,
                                    .agent_start_ticks = target->agent_start_ticks,
                                    .boot_id = target->boot_id,
                                    .uid = inside->uid,
                                    .gid = inside->gid,
                                    .groups = inside->groups,
                                    .group_count = inside->group_count,
                                    .cwd = inside->cwd,
                                    .cgroup_dir = target->cgroup_dir,
                                    .cgroup_name = name,
                                    .isolation = buf_view(&inside->isolation),
                                    .programs = (const char *const *)places.list,
                                    .arguments = wish->argv + 1,
                                    .envp = env.list };
    if (!exec_spec_seal(&spec, out_spec, err))
        return false;
    *out_cgroup = target->cgroup_dir[0] ? str_format("%s/%s", target->cgroup_dir, name)
                                        : str_copy("");
    return true;
}
