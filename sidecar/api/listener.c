#include "sidecar/api/listener.h"

#include "common/base/dir.h"
#include "common/base/own.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

static bool address(const char *path, struct sockaddr_un *out, struct err *err)
{
    size_t len = strlen(path);
    if (path[0] != '/')
        return err_set(err, ERR_INVALID, "socket path \"%s\": must be absolute", path);
    if (len > LISTENER_PATH_MAX)
        return err_set(err, ERR_INVALID, "socket path \"%.60s...\": has %zu bytes, at most %d fit",
                       path, len, LISTENER_PATH_MAX);
    *out = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(out->sun_path, path, len);
    return true;
}

static bool make_socket(struct fd *out, struct err *err)
{
    *out = (struct fd){ socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) };
    return fd_is_open(*out) || err_sys(err, errno, "make a socket");
}

bool listener_connect(const char *path, struct fd *out, struct err *err)
{
    struct sockaddr_un at;
    struct fd fd = FD_NONE;
    if (!address(path, &at, err) || !make_socket(&fd, err))
        return false;
    if (connect(fd.raw, (const struct sockaddr *)&at, sizeof at) == 0) {
        *out = fd;
        return true;
    }
    int why = errno;
    fd_closep(&fd);
    if (why == ENOENT || why == ECONNREFUSED)
        return err_set(err, ERR_NOT_FOUND, "connect to \"%s\": nobody listens there", path);
    if (why == EACCES || why == EPERM)
        return err_set(err, ERR_DENIED, "connect to \"%s\": not permitted", path);
    if (why == EAGAIN)
        return err_set(err, ERR_UNAVAILABLE, "connect to \"%s\": too many wait already", path);
    return err_sys(err, why, "connect to \"%s\"", path);
}

/* Who can rename in the directory could listen in our place and answer for us. */
static bool check_directory(const char *path, struct err *err)
{
    struct stat st;
    CLEANUP(fd_closep) struct fd dir = FD_NONE;
    CLEANUP(str_freep)
    char *name = str_format("%.*s/.", (int)(strrchr(path, '/') - path), path);
    if (!dir_open(name, &dir, err)) {
        if (err->kind == ERR_NOT_FOUND)
            return err_sys(err, ENOENT, "listen at \"%s\"", path);
        return err_wrap(err, "listen at \"%s\"", path);
    }
    if (fstat(dir.raw, &st) != 0)
        return err_sys(err, errno, "listen at \"%s\"", path);
    bool is_ours = st.st_uid == 0 || st.st_uid == geteuid();
    bool is_shared = (st.st_mode & (S_IWGRP | S_IWOTH)) != 0 && (st.st_mode & S_ISVTX) == 0;
    return (is_ours && !is_shared) ||
           err_set(err, ERR_DENIED,
                   "listen at \"%s\": the directory is of user %u, mode %04o: others may exchange "
                   "the socket",
                   path, st.st_uid, st.st_mode & 07777);
}

/* Removes a socket that is left from a dead process; anything else there is kept. */
static bool clear_stale(const char *path, struct err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT || err_sys(err, errno, "look at \"%s\"", path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_CONFLICT, "listen at \"%s\": something else is there", path);
    struct fd other = FD_NONE;
    struct err why;
    if (listener_connect(path, &other, &why) || why.kind != ERR_NOT_FOUND) {
        fd_closep(&other);
        return err_set(err, ERR_CONFLICT, "listen at \"%s\": another process does", path);
    }
    return unlink(path) == 0 || errno == ENOENT || err_sys(err, errno, "remove \"%s\"", path);
}

bool listener_open(const char *path, struct fd *out, struct err *err)
{
    struct sockaddr_un at;
    struct fd fd = FD_NONE;
    if (!address(path, &at, err) || !check_directory(path, err) || !clear_stale(path, err) ||
        !make_socket(&fd, err))
        return false;
    if (bind(fd.raw, (const struct sockaddr *)&at, sizeof at) != 0) {
        int why = errno;
        fd_closep(&fd);
        return why == EADDRINUSE
                   ? err_set(err, ERR_CONFLICT, "listen at \"%s\": another process does", path)
                   : err_sys(err, why, "listen at \"%s\"", path);
    }
    if (chmod(path, 0666) != 0 || listen(fd.raw, SOMAXCONN) != 0) {
        int why = errno;
        fd_closep(&fd);
        (void)unlink(path);
        return err_sys(err, why, "listen at \"%s\"", path);
    }
    *out = fd;
    return true;
}
