#include "sidecar/api/peer.h"

#include <criterion/criterion.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

Test(peer, credentials_are_those_of_the_other_end)
{
    int ends[2];
    struct peer peer;
    struct err err;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    cr_assert(peer_of(ends[0], &peer, &err));
    cr_assert(peer.pid == getpid() && peer.uid == geteuid());
    cr_assert_not(peer_of(-1, &peer, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
}

Test(peer, root_and_our_own_user_may)
{
    cr_assert(peer_is_allowed(&(struct peer){ 1, 0 }, 0));
    cr_assert(peer_is_allowed(&(struct peer){ getpid(), geteuid() }, 0));
}

/* A grandchild that runs as nobody; the test is root, or there is nothing to tell apart. */
static pid_t spawn_nobody(int *out_hold)
{
    int ends[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            char byte;
            pid_t self = getpid();
            if (setuid(65534) != 0 || write(ends[1], &self, sizeof self) != sizeof self)
                _exit(1);
            close(ends[0]);
            _exit(read(ends[1], &byte, 1) == 0);
        }
        close(ends[0]);
        close(ends[1]);
        (void)waitpid(grandchild, NULL, 0);
        _exit(0);
    }
    pid_t found;
    cr_assert_eq(read(ends[0], &found, sizeof found), (ssize_t)sizeof found);
    close(ends[1]);
    *out_hold = ends[0];
    return found;
}

Test(peer, descendants_of_the_shim_may_and_others_not)
{
    if (geteuid() != 0)
        cr_skip("needs root to be somebody else");
    int hold;
    pid_t grandchild = spawn_nobody(&hold);
    struct peer peer = { grandchild, 65534 };
    cr_assert(peer_is_allowed(&peer, getpid()), "we stand for the shim");
    cr_assert_not(peer_is_allowed(&peer, getpid() + 100000));
    cr_assert_not(peer_is_allowed(&peer, 0));
    cr_assert_not(peer_is_allowed(&(struct peer){ grandchild, 12345 }, getpid()),
                  "a process that is not that user's any more");
    cr_assert_not(peer_is_allowed(&(struct peer){ 0, 65534 }, getpid()));
    close(hold);
    while (wait(NULL) > 0) {}
}
