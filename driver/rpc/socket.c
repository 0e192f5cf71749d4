#include "driver/rpc/socket.h"

#include "common/base/own.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* Connections that may wait for us; when it is full a peer is refused, so it is never short. */
#define BACKLOG 1024

static bool address_of(const char *path, struct sockaddr_un *out, struct err *err)
{
    *out = (struct sockaddr_un){ .sun_family = AF_UNIX };
    size_t len = strlen(path);
    _Static_assert(sizeof(out->sun_path) == SOCKET_PATH_MAX + 1, "what the kernel takes");
    if (len == 0 || len > SOCKET_PATH_MAX)
        return err_set(err, ERR_INVALID, "use socket \"%.120s\": %zu bytes, 1 to %d are possible",
                       path, len, SOCKET_PATH_MAX);
    memcpy(out->sun_path, path, len);
    return true;
}

static const struct sockaddr *generic(const struct sockaddr_un *address)
{
    return (const struct sockaddr *)(const void *)address;
}

bool socket_listen(const char *path, struct fd *out, struct err *err)
{
    struct sockaddr_un address;
    if (!address_of(path, &address, err))
        return false;
    CLEANUP(fd_closep)
    struct fd made = { socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
    if (made.raw < 0)
        return err_sys(err, errno, "make a socket");
    /* On Linux the mode of the descriptor is, less the umask, the mode that bind gives the file:
     * there is no instant at which others could connect. */
    if (fchmod(made.raw, 0600) != 0)
        return err_sys(err, errno, "restrict socket \"%s\"", path);
    if (bind(made.raw, generic(&address), sizeof(address)) != 0) {
        if (errno == EADDRINUSE)
            return err_set(err, ERR_CONFLICT, "listen at \"%s\": something is there", path);
        return err_sys(err, errno, "listen at \"%s\"", path);
    }
    if (listen(made.raw, BACKLOG) != 0) {
        int os_errno = errno;
        (void)unlink(path);
        return err_sys(err, os_errno, "listen at \"%s\"", path);
    }
    *out = fd_take(&made);
    return true;
}

bool socket_connect(const char *path, struct fd *out, struct err *err)
{
    struct sockaddr_un address;
    if (!address_of(path, &address, err))
        return false;
    CLEANUP(fd_closep)
    struct fd made = { socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    if (made.raw < 0)
        return err_sys(err, errno, "make a socket");
    if (connect(made.raw, generic(&address), sizeof(address)) != 0) {
        if (errno == ENOENT || errno == ECONNREFUSED)
            return err_set(err, ERR_NOT_FOUND, "connect to \"%s\": nobody listens", path);
        return err_sys(err, errno, "connect to \"%s\"", path);
    }
    if (!fd_set_nonblock(made.raw, true, err))
        return false;
    *out = fd_take(&made);
    return true;
}

bool socket_peer_uid(int fd, uid_t *out, struct err *err)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return err_sys(err, errno, "ask who the peer is");
    *out = peer.uid;
    return true;
}
