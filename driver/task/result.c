#include "driver/task/result.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* How much of the story is the driver's: with a text Nomad counts the task as failed. */
enum tell { TELL_NOTHING, TELL_CAUSE };
static const enum tell tells[EXIT_CAUSE_END] = {
    [EXIT_NONE] = TELL_CAUSE,         [EXIT_EXITED] = TELL_NOTHING,
    [EXIT_SIGNALED] = TELL_NOTHING,   [EXIT_STOPPED] = TELL_NOTHING,
    [EXIT_KILLED] = TELL_NOTHING,     [EXIT_FENCED] = TELL_CAUSE,
    [EXIT_SIDECAR_LOST] = TELL_CAUSE, [EXIT_START_REFUSED] = TELL_CAUSE,
    [EXIT_EXEC_FAILED] = TELL_CAUSE,  [EXIT_SHIM_ERROR] = TELL_CAUSE,
};

static void put_text(char *out, size_t size, const char *head, const char *text)
{
    (void)snprintf(out, size, "%s%s%s", head, text[0] ? ": " : "", text);
}

struct task_result result_of_record(const struct exit_record *record)
{
    struct task_result got = { .exit_code = record->exit_code,
                               .signal = record->signal,
                               .oom_killed = record->oom_killed };
    const int status = exit_record_status(record);
    if (tells[record->cause] == TELL_CAUSE) {
        got.exit_code = status;
        put_text(got.err, sizeof(got.err), exit_cause_text(record->cause), record->message);
    } else if (got.exit_code == 0 && got.signal == 0 && status != 0) {
        got.exit_code = status; /* it returned 0, but its last state is not in the store */
        put_text(got.err, sizeof(got.err), "final checkpoint failed", record->message);
    }
    if (record->oom_killed && got.exit_code == 0) {
        got.exit_code = 128 + SIGKILL; /* Nomad does not look at the flag */
        got.signal = SIGKILL;
    }
    if (record->oom_killed && got.err[0] == '\0')
        put_text(got.err, sizeof(got.err), "OOM Killed",
                 ""); /* the flag alone Nomad shows nobody */
    return got;
}

struct task_result result_lost(const char *why)
{
    struct task_result got = { .exit_code = -1 };
    put_text(got.err, sizeof(got.err), "supervisor lost", why);
    return got;
}

bool result_has_run(const struct exit_record *record)
{
    return record->cause != EXIT_EXEC_FAILED && record->cause != EXIT_START_REFUSED &&
           record->cause != EXIT_SHIM_ERROR;
}

static enum err_kind kind_of_errno(int code)
{
    switch (code) {
    case ENOENT:
    case ENOTDIR:
        return ERR_NOT_FOUND;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    case ENOEXEC:
    case E2BIG:
        return ERR_INVALID;
    case ENOMEM:
    case EAGAIN:
    case EMFILE:
    case ENFILE:
        return ERR_UNAVAILABLE;
    default:
        return ERR_SYSTEM;
    }
}

bool result_start_error(const struct exit_record *record, struct err *err)
{
    enum err_kind kind = ERR_SYSTEM;
    if (record->cause == EXIT_EXEC_FAILED || record->cause == EXIT_SHIM_ERROR)
        kind = kind_of_errno(record->os_errno);
    else if (record->cause == EXIT_START_REFUSED && record->done_kind > ERR_NONE &&
             record->done_kind < ERR_KIND_COUNT)
        kind = (enum err_kind)record->done_kind;
    (void)err_set(err, kind, "start task: %s%s%s", exit_cause_text(record->cause),
                  record->message[0] ? ": " : "", record->message);
    err->os_errno = record->os_errno;
    return false;
}
