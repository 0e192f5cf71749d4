#include "driver/task/paths.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/own.h"

bool task_paths_of_key(const char *state_dir, const char *run_dir, const char *key,
                       struct task_paths *out, struct err *err)
{
    struct task_paths p = { .dir = str_format("%s/tasks/%s", state_dir, key),
                            .socket = str_format("%s/%s.sock", run_dir, key),
                            .api = str_format("%s/%s.api", run_dir, key) };
    p.launch = str_format("%s/launch", p.dir);
    p.lock = str_format("%s/lock", p.dir);
    p.exit_record = str_format("%s/exit", p.dir);
    memcpy(p.key, key, strnlen(key, sizeof(p.key) - 1));
    if (strlen(p.socket) > SOCKET_PATH_MAX) {
        (void)err_set(err, ERR_INVALID,
                      "plugin config: run_dir: socket path \"%s\" has %zu bytes, at most %d are "
                      "allowed",
                      p.socket, strlen(p.socket), SOCKET_PATH_MAX);
        task_paths_fini(&p);
        return false;
    }
    *out = p;
    return true;
}

bool task_paths_init(const char *state_dir, const char *run_dir, const char *alloc_id,
                     const char *task_name, struct task_paths *out, struct err *err)
{
    char key[TASK_KEY_BYTES];
    task_key(view_str(alloc_id), view_str(task_name), key);
    return task_paths_of_key(state_dir, run_dir, key, out, err);
}

void task_paths_fini(struct task_paths *paths)
{
    free(paths->dir);
    free(paths->launch);
    free(paths->lock);
    free(paths->exit_record);
    free(paths->socket);
    free(paths->api);
    *paths = (struct task_paths){ 0 };
}
