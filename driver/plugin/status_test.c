#include "driver/plugin/status.h"

#include <criterion/criterion.h>

/* What the agent takes for the plugin's death must not be said about a task. */
Test(status, never_says_unavailable_or_cancelled)
{
    for (int kind = ERR_NONE + 1; kind < ERR_KIND_COUNT; kind++) {
        for (int use = STATUS_START; use <= STATUS_OTHER; use++) {
            enum rpc_code code = status_code((enum err_kind)kind, (enum status_use)use);
            cr_assert_neq(code, RPC_OK);
            cr_assert_neq(code, RPC_UNAVAILABLE);
            cr_assert_neq(code, RPC_CANCELLED);
        }
    }
}

Test(status, tells_a_known_task_from_a_running_one)
{
    cr_assert_eq(status_code(ERR_CONFLICT, STATUS_START), RPC_ALREADY_EXISTS);
    cr_assert_eq(status_code(ERR_CONFLICT, STATUS_OTHER), RPC_FAILED_PRECONDITION);
    cr_assert_eq(status_code(ERR_NOT_FOUND, STATUS_OTHER), RPC_NOT_FOUND);
    cr_assert_eq(status_code(ERR_CORRUPT, STATUS_OTHER), RPC_DATA_LOSS);
}
