#include "driver/shim/panic.h"

#include "driver/shim/fds.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void poke(const char *name)
{
    int fd = openat(SHIM_FD_CGROUP, name, O_WRONLY | O_CLOEXEC);
    ssize_t got = write(fd, "1", 1);
    (void)got; /* nothing better is left to try */
    (void)close(fd);
}

void shim_panic_kill(void)
{
    poke("cgroup.freeze");
    poke("cgroup.kill");
    (void)syscall(SYS_pidfd_send_signal, SHIM_FD_KEEPER, SIGKILL, NULL, 0);
}

_Noreturn void shim_panic(void)
{
    shim_panic_kill();
    abort();
}

/* In place of libc's, which would only abort: a broken invariant must not leave an agent running.
 */
#ifdef __GLIBC__
typedef unsigned int assert_line;
#else /* musl */
typedef int assert_line;
#endif
void __assert_fail(const char *expr, const char *file, assert_line line, const char *function)
{
    const char *const parts[] = { "agent-shim: assertion failed: ", expr, " in ", function, "\n" };
    (void)file, (void)line;
    shim_panic_kill();
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        ssize_t got = write(STDERR_FILENO, parts[i], strlen(parts[i]));
        (void)got;
    }
    abort();
}
