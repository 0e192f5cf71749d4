#include "sidecar/api/peer.h"

#include "common/base/fd.h"
#include "common/proc/identity.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define FIELD_PARENT 4  /* of /proc/<pid>/stat */
#define DEPTH_MAX    64 /* generations between shim and agent's helper; a loop cannot happen */

bool peer_of(int socket, struct peer *out, struct err *err)
{
    struct ucred cred;
    socklen_t len = sizeof cred;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return err_sys(err, errno, "read peer's credentials");
    *out = (struct peer){ cred.pid, cred.uid };
    return true;
}

static bool parent_of(pid_t pid, pid_t *out)
{
    char path[32], text[512];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    struct fd file = { open(path, O_RDONLY | O_CLOEXEC) };
    if (!fd_is_open(file))
        return false;
    struct err err;
    size_t len;
    bool is_read = fd_read_full(file.raw, text, sizeof text - 1, &len, &err);
    fd_closep(&file);
    if (!is_read)
        return false;
    text[len] = '\0';
    int64_t parent;
    if (!proc_stat_field(text, FIELD_PARENT, &parent))
        return false;
    *out = (pid_t)parent;
    return true;
}

static bool runs_as(pid_t pid, uid_t uid)
{
    char path[32];
    struct stat st;
    (void)snprintf(path, sizeof path, "/proc/%d", pid);
    return stat(path, &st) == 0 && st.st_uid == uid;
}

bool peer_is_allowed(const struct peer *peer, pid_t shim)
{
    if (peer->uid == 0 || peer->uid == geteuid())
        return true;
    if (shim <= 1 || peer->pid <= 1 || !runs_as(peer->pid, peer->uid))
        return false;
    pid_t pid = peer->pid;
    for (unsigned depth = 0; depth < DEPTH_MAX && pid > 1; depth++) {
        if (pid == shim)
            return true;
        if (!parent_of(pid, &pid))
            return false;
    }
    return false;
}
