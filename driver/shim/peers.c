#include "driver/shim/peers.h"

#include "common/base/own.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#define BACKLOG 4

bool shim_peers_listen(struct shim_peers *peers, const char *path, struct err *err)
{
    size_t len = strlen(path);
    if (len == 0)
        return true;
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    if (len > SHIM_SOCKET_PATH_MAX)
        return err_sys(err, ENAMETOOLONG, "listen at \"%s\"", path);
    memcpy(at.sun_path, path, len + 1);
    CLEANUP(fd_closep)
    struct fd sock = { socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
    if (!fd_is_open(sock))
        return err_sys(err, errno, "make control socket");
    (void)unlink(path); /* of a dead shim: the launch lock is ours */
    if (bind(sock.raw, (const struct sockaddr *)&at, sizeof(at)) != 0)
        return err_sys(err, errno, "bind \"%s\"", path);
    memcpy(peers->socket_path, path, len + 1);
    if (chmod(path, 0600) != 0 || listen(sock.raw, BACKLOG) != 0)
        return err_sys(err, errno, "listen at \"%s\"", path);
    peers->listener = fd_take(&sock);
    return true;
}

bool shim_peers_pair(struct shim_peers *peers, struct fd *out_theirs, struct err *err)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
        return err_sys(err, errno, "make the sidecar's channel");
    peers->sidecar.raw = ends[0];
    out_theirs->raw = ends[1];
    return true;
}

static bool is_allowed(int fd)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0)
        return false;
    return who.uid == 0 || who.uid == geteuid();
}

bool shim_peers_accept(struct shim_peers *peers)
{
    bool any = false;
    if (!fd_is_open(peers->listener))
        return false;
    for (int i = 0; i < BACKLOG; i++) {
        struct fd conn = { accept4(peers->listener.raw, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) };
        if (!fd_is_open(conn))
            break;
        if (!is_allowed(conn.raw)) {
            fd_closep(&conn);
            continue;
        }
        fd_closep(&peers->driver); /* the newest is the driver */
        peers->driver = conn;
        any = true;
    }
    return any;
}

/* An empty datagram reads like the end of the connection; only the latter shows as a hang-up. */
static bool is_hung_up(int fd)
{
    struct pollfd now = { .fd = fd };
    return poll(&now, 1, 0) != 0 && (now.revents & (POLLHUP | POLLERR)) != 0;
}

enum shim_receipt shim_peers_receive(struct shim_peers *peers, int fd, unsigned direction,
                                     struct shim_msg *out)
{
    uint8_t bytes[SHIM_MSG_MAX];
    struct err why = { 0 };
    ssize_t len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return SHIM_NOTHING;
    if (len < 0 || (len == 0 && is_hung_up(fd)))
        return SHIM_CLOSED;
    if (len <= SHIM_MSG_MAX && shim_msg_decode(view_of(bytes, (size_t)len), direction, out, &why))
        return SHIM_GOT;
    if (why.kind == ERR_NOT_FOUND)
        return SHIM_PASSED_OVER;
    peers->bad++;
    return SHIM_BAD;
}

static bool send_msg(int fd, const struct shim_msg *msg, int max_ms)
{
    uint8_t bytes[SHIM_MSG_MAX];
    size_t len = shim_msg_encode(msg, bytes);
    if (send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
        return true;
    if (errno != EAGAIN || max_ms == 0)
        return false;
    struct pollfd wait = { .fd = fd, .events = POLLOUT };
    (void)poll(&wait, 1, max_ms);
    return send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

bool shim_peers_tell_sidecar(struct shim_peers *peers, const struct shim_msg *msg)
{
    return fd_is_open(peers->sidecar) && send_msg(peers->sidecar.raw, msg, 0);
}

bool shim_peers_tell_driver(struct shim_peers *peers, const struct shim_msg *msg, int max_ms)
{
    if (!fd_is_open(peers->driver))
        return false;
    if (send_msg(peers->driver.raw, msg, max_ms))
        return true;
    fd_closep(&peers->driver);
    return false;
}

void shim_peers_unlisten(struct shim_peers *peers)
{
    if (fd_is_open(peers->listener))
        (void)unlink(peers->socket_path);
    fd_closep(&peers->listener);
}
