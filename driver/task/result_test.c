#include "driver/task/result.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static bool is_success(const struct task_result *r)
{
    return r->exit_code == 0 && r->signal == 0 && r->err[0] == '\0';
}

Test(result, an_exit_code_is_passed_on)
{
    struct exit_record record = { .cause = EXIT_EXITED, .exit_code = 7 };
    struct task_result got = result_of_record(&record);
    cr_assert_eq(got.exit_code, 7);
    cr_assert_eq(got.signal, 0);
    cr_assert_str_eq(got.err, "");
    record.exit_code = 0;
    got = result_of_record(&record);
    cr_assert(is_success(&got));
}

Test(result, a_signal_is_128_and_it)
{
    const struct exit_record record = { .cause = EXIT_KILLED, .exit_code = 137, .signal = 9 };
    const struct task_result got = result_of_record(&record);
    cr_assert_eq(got.exit_code, 137);
    cr_assert_eq(got.signal, 9);
    cr_assert_str_eq(got.err, "");
}

/* Nomad counts exit code 0 as success whatever the flag says. */
Test(result, out_of_memory_is_never_success)
{
    const struct exit_record record = { .cause = EXIT_EXITED, .oom_killed = true };
    const struct task_result got = result_of_record(&record);
    cr_assert(got.oom_killed);
    cr_assert_str_eq(got.err, "OOM Killed");
    cr_assert_neq(got.exit_code, 0);
    cr_assert_eq(got.signal, 9);
}

Test(result, an_end_of_the_products_making_is_told_and_never_success)
{
    const enum exit_cause causes[] = { EXIT_FENCED, EXIT_SIDECAR_LOST, EXIT_START_REFUSED,
                                       EXIT_EXEC_FAILED, EXIT_SHIM_ERROR };
    for (int i = 0; i < 5; i++) {
        const struct exit_record record = { .cause = causes[i], .message = "why it was" };
        const struct task_result got = result_of_record(&record);
        cr_assert_neq(got.exit_code, 0);
        cr_assert(strstr(got.err, "why it was"), "%s", got.err);
    }
}

Test(result, a_lost_final_checkpoint_is_not_success)
{
    const struct exit_record record = { .cause = EXIT_EXITED,
                                        .done_kind = ERR_UNAVAILABLE,
                                        .message = "store unreachable" };
    const struct task_result got = result_of_record(&record);
    cr_assert_neq(got.exit_code, 0);
    cr_assert(strstr(got.err, "store unreachable"), "%s", got.err);
}

Test(result, a_lost_supervisor_is_named)
{
    cr_assert_str_eq(result_lost("").err, "supervisor lost");
    cr_assert_str_eq(result_lost("disk full").err, "supervisor lost: disk full");
    cr_assert_eq(result_lost("").exit_code, -1);
}

Test(result, a_failed_exec_has_the_kind_of_its_errno)
{
    const struct {
        int os_errno;
        enum err_kind kind;
    } rows[] = { { ENOENT, ERR_NOT_FOUND }, { EACCES, ERR_DENIED },      { ENOEXEC, ERR_INVALID },
                 { E2BIG, ERR_INVALID },    { ENOMEM, ERR_UNAVAILABLE }, { EIO, ERR_SYSTEM } };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct exit_record record = { .cause = EXIT_EXEC_FAILED,
                                            .os_errno = rows[i].os_errno };
        struct err err = { 0 };
        cr_assert_not(result_start_error(&record, &err));
        cr_assert_eq(err.kind, rows[i].kind);
        cr_assert_not(result_has_run(&record));
    }
}

Test(result, a_refusal_has_the_kind_the_sidecar_gave)
{
    const struct exit_record record = { .cause = EXIT_START_REFUSED,
                                        .done_kind = ERR_CORRUPT,
                                        .message = "manifest" };
    struct err err = { 0 };
    cr_assert_not(result_start_error(&record, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
}
