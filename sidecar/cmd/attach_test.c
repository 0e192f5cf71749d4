#include "sidecar/cmd/attach.h"

#include "common/base/fd.h"
#include "common/shimwire/spec.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* The whole life is proved by sidecar/engine and tests/scenario; here: what is wrong at the start
 * is told to the shim. Runs in a child, because descriptors 3 and 4 are given numbers. */
static int attach_with(const char *config, struct shim_msg *out)
{
    int ends[2], status;
    struct err err;
    struct fd text = FD_NONE;
    uint8_t bytes[SHIM_MSG_MAX];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert(fd_sealed("test", config, strlen(config), &text, &err));
    pid_t child = fork();
    if (child == 0) {
        int channel = fcntl(ends[1], F_DUPFD, 20), conf = fcntl(text.raw, F_DUPFD, 20);
        struct args args = { 0 };
        if (dup2(channel, SHIM_SIDECAR_FD) < 0 || dup2(conf, SHIM_SIDECAR_CONFIG) < 0)
            _exit(99);
        close(channel);
        close(conf);
        _exit(cmd_attach(&args, &err) ? 0 : err_exit_code(err.kind));
    }
    close(ends[1]);
    ssize_t got = recv(ends[0], bytes, sizeof bytes, 0);
    cr_assert(got > 0 &&
              shim_msg_decode(view_of(bytes, (size_t)got), SHIM_SIDECAR_SENDS, out, &err));
    cr_assert_eq(waitpid(child, &status, 0), child);
    close(ends[0]);
    fd_closep(&text);
    return WEXITSTATUS(status);
}

Test(attach, broken_configuration_is_told_to_the_shim)
{
    struct shim_msg msg;
    cr_assert_eq(attach_with("nonsense = 1\n", &msg), 64);
    cr_assert_eq(msg.type, SHIM_DONE);
    cr_assert_eq(msg.done.kind, ERR_INVALID);
    cr_assert_not_null(strstr(msg.done.text, "nonsense"));
}

Test(attach, configuration_without_state_and_lease_is_refused)
{
    struct shim_msg msg;
    cr_assert_eq(attach_with("name = \"a\"\n", &msg), 64);
    cr_assert_eq(msg.done.kind, ERR_INVALID);
}
