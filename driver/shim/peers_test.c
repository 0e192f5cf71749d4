#include "driver/shim/peers.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/base/own.h"

static void listen_somewhere(struct shim_peers *peers, char path[64])
{
    struct err err = { 0 };
    (void)snprintf(path, 64, "/tmp/shim-peers-%d", getpid());
    *peers = SHIM_PEERS_NONE;
    cr_assert(shim_peers_listen(peers, path, &err), "%s", err.msg);
}

static int connect_to(const char *path)
{
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    memcpy(at.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    return connect(fd, (const struct sockaddr *)&at, sizeof(at)) == 0 ? fd : -1;
}

Test(peers, a_stale_socket_is_replaced_and_the_mode_is_private)
{
    struct shim_peers first, second;
    char path[64];
    struct stat st;
    listen_somewhere(&first, path);
    listen_somewhere(&second, path);
    cr_assert_eq(stat(path, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0600);
    cr_expect_geq(connect_to(path), 0);
    cr_expect(shim_peers_accept(&second));
    shim_peers_unlisten(&second);
    cr_expect_eq(access(path, F_OK), -1);
}

Test(peers, the_newest_connection_is_the_driver)
{
    struct shim_peers peers;
    char path[64], byte;
    listen_somewhere(&peers, path);
    int first = connect_to(path);
    cr_assert(shim_peers_accept(&peers));
    cr_assert_not(shim_peers_accept(&peers));
    int second = connect_to(path);
    cr_assert(shim_peers_accept(&peers));
    cr_expect_eq(recv(first, &byte, 1, 0), 0);
    struct shim_msg msg = { .type = SHIM_EVENT, .event = { "hello" } };
    cr_assert(shim_peers_tell_driver(&peers, &msg, 0));
    uint8_t bytes[SHIM_MSG_MAX];
    cr_expect_gt(recv(second, bytes, sizeof(bytes), 0), 0);
    shim_peers_unlisten(&peers);
}

Test(peers, a_stranger_is_closed_and_the_driver_stays)
{
    struct shim_peers peers;
    char path[64], byte;
    if (geteuid() != 0)
        cr_skip_test("needs root to become somebody else");
    listen_somewhere(&peers, path);
    int driver = connect_to(path);
    cr_assert(shim_peers_accept(&peers));
    cr_assert_eq(chmod(path, 0666), 0);
    pid_t pid = fork();
    if (pid == 0) {
        int fd = setuid(65534) == 0 ? connect_to(path) : -1;
        _exit(fd >= 0 && recv(fd, &byte, 1, 0) == 0 ? 0 : 1); /* hung up on us */
    }
    int status = -1;
    while (waitpid(pid, &status, WNOHANG) == 0)
        cr_assert_not(shim_peers_accept(&peers));
    cr_expect_eq(status, 0);
    struct shim_msg msg = { .type = SHIM_EVENT };
    cr_expect(shim_peers_tell_driver(&peers, &msg, 0));
    cr_expect_gt(recv(driver, &byte, 1, 0), 0);
    shim_peers_unlisten(&peers);
}

Test(peers, messages_garbage_silence_and_the_end_are_told_apart)
{
    struct err err = { 0 };
    struct shim_peers peers = SHIM_PEERS_NONE;
    struct fd theirs = FD_NONE;
    struct shim_msg msg = { .type = SHIM_THAW }, got;
    uint8_t bytes[SHIM_MSG_MAX];
    cr_assert(shim_peers_pair(&peers, &theirs, &err));
    int fd = peers.sidecar.raw;
    cr_expect_eq(shim_peers_receive(&peers, fd, SHIM_SIDECAR_SENDS, &got), SHIM_NOTHING);
    size_t len = shim_msg_encode(&msg, bytes);
    cr_assert_eq(send(theirs.raw, bytes, len, 0), (ssize_t)len);
    cr_assert_eq(send(theirs.raw, "", 0, 0), 0); /* empty: garbage, not the end */
    cr_assert_eq(send(theirs.raw, "xyz", 3, 0), 3);
    cr_expect_eq(shim_peers_receive(&peers, fd, SHIM_SIDECAR_SENDS, &got), SHIM_GOT);
    cr_expect_eq(got.type, SHIM_THAW);
    cr_expect_eq(shim_peers_receive(&peers, fd, SHIM_SIDECAR_SENDS, &got), SHIM_BAD);
    cr_expect_eq(shim_peers_receive(&peers, fd, SHIM_SIDECAR_SENDS, &got), SHIM_BAD);
    cr_expect_eq(peers.bad, 2);
    msg.type = SHIM_STOP; /* the driver's to say */
    len = shim_msg_encode(&msg, bytes);
    cr_assert_eq(send(theirs.raw, bytes, len, 0), (ssize_t)len);
    cr_expect_eq(shim_peers_receive(&peers, fd, SHIM_SIDECAR_SENDS, &got), SHIM_BAD);
    uint8_t big[SHIM_MSG_MAX + 1] = { SHIM_VERSION, SHIM_THAW };
    cr_assert_eq(send(theirs.raw, big, sizeof(big), 0), (ssize_t)sizeof(big));
    cr_expect_eq(shim_peers_receive(&peers, fd, SHIM_SIDECAR_SENDS, &got), SHIM_BAD);
    const uint8_t later[] = { SHIM_VERSION, 200, 0, 0, 0, 0, 7 }; /* a type that we do not know */
    const uint64_t bad = peers.bad;
    cr_assert_eq(send(theirs.raw, later, sizeof(later), 0), (ssize_t)sizeof(later));
    cr_expect_eq(shim_peers_receive(&peers, fd, SHIM_SIDECAR_SENDS, &got), SHIM_PASSED_OVER);
    cr_expect_eq(peers.bad, bad);
    fd_closep(&theirs);
    cr_expect_eq(shim_peers_receive(&peers, fd, SHIM_SIDECAR_SENDS, &got), SHIM_CLOSED);
}

Test(peers, what_was_sent_before_the_end_is_still_read)
{
    struct err err = { 0 };
    struct shim_peers peers = SHIM_PEERS_NONE;
    struct fd theirs = FD_NONE;
    struct shim_msg msg = { .type = SHIM_DONE }, got;
    uint8_t bytes[SHIM_MSG_MAX];
    cr_assert(shim_peers_pair(&peers, &theirs, &err));
    size_t len = shim_msg_encode(&msg, bytes);
    cr_assert_eq(send(theirs.raw, bytes, len, 0), (ssize_t)len);
    fd_closep(&theirs);
    int fd = peers.sidecar.raw;
    cr_expect_eq(shim_peers_receive(&peers, fd, SHIM_SIDECAR_SENDS, &got), SHIM_GOT);
    cr_expect_eq(shim_peers_receive(&peers, fd, SHIM_SIDECAR_SENDS, &got), SHIM_CLOSED);
}

Test(peers, a_driver_that_reads_nothing_is_disconnected_a_sidecar_only_misses_it)
{
    struct err err = { 0 };
    struct shim_peers peers;
    struct fd theirs = FD_NONE;
    char path[64];
    listen_somewhere(&peers, path);
    cr_assert_geq(connect_to(path), 0);
    cr_assert(shim_peers_accept(&peers));
    cr_assert(shim_peers_pair(&peers, &theirs, &err));
    struct shim_msg msg = { .type = SHIM_EVENT, .event = { "tick" } };
    bool sent = true;
    for (int i = 0; i < 100000 && sent; i++)
        sent = shim_peers_tell_driver(&peers, &msg, 0);
    cr_expect_not(sent);
    cr_expect_not(fd_is_open(peers.driver));
    cr_expect_not(shim_peers_tell_driver(&peers, &msg, 0));
    struct shim_msg hello = { .type = SHIM_HELLO };
    for (sent = true; sent;)
        sent = shim_peers_tell_sidecar(&peers, &hello);
    cr_expect(fd_is_open(peers.sidecar));
    shim_peers_unlisten(&peers);
}

Test(peers, a_path_that_does_not_fit_is_refused)
{
    struct err err = { 0 };
    struct shim_peers peers = SHIM_PEERS_NONE;
    char path[SHIM_SOCKET_PATH_MAX + 2];
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    cr_expect_not(shim_peers_listen(&peers, path, &err));
    cr_expect_eq(err.os_errno, ENAMETOOLONG);
    cr_expect_not(shim_peers_listen(&peers, "/does/not/exist", &err));
    cr_expect(shim_peers_listen(&peers, "", &err));
}
