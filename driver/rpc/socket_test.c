#include "driver/rpc/socket.h"

#include "common/base/own.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

static char dir[] = "/tmp/socket-test-XXXXXX";
static char path[64];

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/s", dir);
}
static void tear_down(void)
{
    (void)unlink(path);
    (void)rmdir(dir);
}
TestSuite(socket, .init = set_up, .fini = tear_down);

Test(socket, is_for_its_owner_only_from_the_first_instant)
{
    struct err err;
    CLEANUP(fd_closep) struct fd listener = FD_NONE;
    cr_assert(socket_listen(path, &listener, &err), "%s", err.msg);
    struct stat stat_buf;
    cr_assert_eq(lstat(path, &stat_buf), 0);
    cr_assert_eq(stat_buf.st_mode & 0777, 0600);
}

Test(socket, connects_and_knows_the_peer)
{
    struct err err;
    CLEANUP(fd_closep) struct fd listener = FD_NONE;
    CLEANUP(fd_closep) struct fd mine = FD_NONE;
    cr_assert(socket_listen(path, &listener, &err));
    cr_assert(socket_connect(path, &mine, &err), "%s", err.msg);
    CLEANUP(fd_closep) struct fd theirs = { accept4(listener.raw, NULL, NULL, SOCK_CLOEXEC) };
    cr_assert(fd_is_open(theirs));
    uid_t uid = 12345;
    cr_assert(socket_peer_uid(theirs.raw, &uid, &err));
    cr_assert_eq(uid, geteuid());
}

Test(socket, refuses_a_path_that_does_not_fit)
{
    struct err err;
    struct fd got = FD_NONE;
    char longer[SOCKET_PATH_MAX + 2];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[0] = '/';
    longer[sizeof(longer) - 1] = '\0';
    cr_assert_not(socket_listen(longer, &got, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not(socket_connect(longer, &got, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not(socket_listen("", &got, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not(fd_is_open(got));
}

Test(socket, never_takes_the_place_of_what_is_there)
{
    struct err err;
    CLEANUP(fd_closep) struct fd first = FD_NONE;
    struct fd second = FD_NONE;
    cr_assert(socket_listen(path, &first, &err));
    cr_assert_not(socket_listen(path, &second, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
}

Test(socket, says_when_nobody_listens)
{
    struct err err;
    struct fd got = FD_NONE;
    cr_assert_not(socket_connect(path, &got, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    struct fd listener = FD_NONE;
    cr_assert(socket_listen(path, &listener, &err));
    fd_closep(&listener); /* the path stays behind, as after kill -9 */
    cr_assert_not(socket_connect(path, &got, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
}

Test(socket, reports_a_directory_that_is_not_there)
{
    struct err err;
    struct fd got = FD_NONE;
    cr_assert_not(socket_listen("/nonexistent/dir/s", &got, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    cr_assert_eq(err.os_errno, ENOENT);
}

Test(socket, has_no_peer_without_a_socket)
{
    struct err err;
    uid_t uid;
    cr_assert_not(socket_peer_uid(-1, &uid, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
}
