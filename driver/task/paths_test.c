#include "driver/task/paths.h"

#include <criterion/criterion.h>
#include <string.h>

Test(paths, follow_from_directories_and_key)
{
    struct task_paths paths;
    struct err err = { 0 };
    cr_assert(task_paths_of_key("/s", "/r", "0123456789abcdef", &paths, &err));
    cr_assert_str_eq(paths.dir, "/s/tasks/0123456789abcdef");
    cr_assert_str_eq(paths.launch, "/s/tasks/0123456789abcdef/launch");
    cr_assert_str_eq(paths.lock, "/s/tasks/0123456789abcdef/lock");
    cr_assert_str_eq(paths.exit_record, "/s/tasks/0123456789abcdef/exit");
    cr_assert_str_eq(paths.socket, "/r/0123456789abcdef.sock");
    cr_assert_str_eq(paths.api, "/r/0123456789abcdef.api");
    task_paths_fini(&paths);
    task_paths_fini(&paths);
}

Test(paths, differ_by_allocation_and_by_task)
{
    struct task_paths a, b, c;
    struct err err = { 0 };
    cr_assert(task_paths_init("/s", "/r", "a1", "web", &a, &err));
    cr_assert(task_paths_init("/s", "/r", "a2", "web", &b, &err));
    cr_assert(task_paths_init("/s", "/r", "a1", "db", &c, &err));
    cr_assert_str_neq(a.key, b.key);
    cr_assert_str_neq(a.key, c.key);
    task_paths_fini(&a);
    task_paths_fini(&b);
    task_paths_fini(&c);
}

/* Report F-53: the limit is met, never cut, and the error names length and limit. */
Test(paths, a_socket_path_has_at_most_107_bytes)
{
    struct task_paths paths;
    struct err err = { 0 };
    char run[100];
    memset(run, 'r', sizeof(run));
    run[0] = '/';
    run[107 - 22] = '\0';
    cr_assert(task_paths_of_key("/s", run, "0123456789abcdef", &paths, &err), "%s", err.msg);
    cr_assert_eq(strlen(paths.socket), 107);
    task_paths_fini(&paths);
    run[107 - 22] = 'r';
    run[107 - 21] = '\0';
    cr_assert_not(task_paths_of_key("/s", run, "0123456789abcdef", &paths, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert(strstr(err.msg, "run_dir") && strstr(err.msg, "108 bytes, at most 107"), "%s",
              err.msg);
}
