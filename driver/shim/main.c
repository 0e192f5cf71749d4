/* agent-shim: one per task, the parent of its sidecar and its agent; and one per exec into a task,
 * the parent of its command (driver/enter). No arguments but -version: which of the two, and
 * everything else, is in the spec at descriptor 3 (proto/shim.md). See DESIGN.md. */
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "driver/enter/enter.h"
#include "driver/shim/run.h"

static int refuse(const struct err *err)
{
    const char *const parts[] = { "agent-shim: ", err->msg, "\n" };
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        ssize_t got = write(STDERR_FILENO, parts[i], strlen(parts[i]));
        (void)got;
    }
    return err_exit_code(err->kind);
}

static int tell_version(void)
{
    static const char text[] = "agent-shim " AGENT_VERSION "\n";
    return write(STDOUT_FILENO, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1 ? 0 : 1;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "-version") == 0)
        return tell_version();
    struct err err = { 0 };
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    bool is_exec = exec_spec_is_in(SHIM_SPEC_FD);
    /* From the kernel, not from an allocator: zeroed, and pages that are not used cost nothing. */
    void *state = mmap(NULL, is_exec ? sizeof(struct enter) : sizeof(struct shim_run),
                       PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (state == MAP_FAILED) {
        (void)err_set(&err, ERR_SYSTEM, "start: no memory");
        return refuse(&err);
    }
    if (is_exec) {
        struct enter *enter = state;
        if (!enter_take_spec(enter, &err))
            return refuse(&err);
        _exit(enter_live(enter)); /* as below */
    }
    struct shim_run *run = state;
    if (!shim_run_take_spec(run, &err))
        return refuse(&err);
    _exit(shim_run_live(run)); /* nothing of libc is to be flushed or torn down */
}
