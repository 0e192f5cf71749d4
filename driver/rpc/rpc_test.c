#include "driver/rpc/rpc.h"

#include "common/loop/loop.h"
#include "driver/rpc/world_test.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

Test(rpc, starts_and_stops_with_nothing_in_flight)
{
    struct world w;
    world_init(&w);
    world_fini(&w);
}

Test(rpc, starts_again_in_the_same_process)
{
    for (int i = 0; i < 3; i++) {
        struct world w;
        world_init(&w);
        world_fini(&w);
    }
}

Test(rpc, removes_the_variables_of_the_library_from_the_environment)
{
    setenv("GRPC_TRACE", "all", 1);
    setenv("GRPC_VERBOSITY", "DEBUG", 1);
    setenv("NOMAD_GRPC_OTHER", "kept", 1);
    struct world w;
    world_init(&w);
    cr_assert_null(getenv("GRPC_TRACE"));
    cr_assert_null(getenv("GRPC_VERBOSITY"));
    cr_assert_str_eq(getenv("NOMAD_GRPC_OTHER"), "kept");
    world_fini(&w);
}

Test(rpc, names_every_code_and_no_other)
{
    cr_assert_str_eq(rpc_code_name(RPC_OK), "OK");
    cr_assert_str_eq(rpc_code_name(RPC_UNAUTHENTICATED), "UNAUTHENTICATED");
    cr_assert_str_eq(rpc_code_name((enum rpc_code)17), "?");
    cr_assert_str_eq(rpc_code_name((enum rpc_code) - 1), "?");
}

/* The signals that its threads block, by the kernel's word. */
Test(rpc, its_threads_take_no_signals)
{
    struct world w;
    world_init(&w);
    DIR *tasks = opendir("/proc/self/task");
    int others = 0;
    for (struct dirent *entry; (entry = readdir(tasks)) != NULL;) {
        char path[300], line[256];
        snprintf(path, sizeof(path), "/proc/self/task/%s/status", entry->d_name);
        bool is_main = strtol(entry->d_name, NULL, 10) == getpid();
        FILE *status = entry->d_name[0] == '.' || is_main ? NULL : fopen(path, "re");
        if (status == NULL)
            continue;
        bool is_rpc = false;
        while (fgets(line, sizeof(line), status) != NULL) {
            is_rpc |= strncmp(line, "Name:\trpc", 9) == 0;
            if (is_rpc && strncmp(line, "SigBlk:\t", 8) == 0) {
                unsigned long long blocked = strtoull(line + 8, NULL, 16);
                cr_assert(blocked & (1ULL << (15 - 1)), "SIGTERM is open in a thread: %s", line);
                others++;
            }
        }
        fclose(status);
    }
    closedir(tasks);
    cr_assert_eq(others, 1);
    world_fini(&w);
}
