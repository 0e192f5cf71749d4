#include "driver/plugin/handshake.h"

#include "common/base/dir.h"
#include "common/base/own.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#define COOKIE_NAME "NOMAD_PLUGIN_MAGIC_COOKIE"
#define COOKIE      "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"
#define DIR_NAME    "nomad-driver-agent"
#define NAME_BYTES  8 /* of random: as many processes as ever start on a machine */
/* Between bind and listen a live socket refuses like a dead one; no process stays there so long. */
#define STALE_S 60
/* Another process that ends may take the empty directory away between our mkdir and bind. */
#define ATTEMPTS 4

bool handshake_check(struct err *err)
{
    const char *cookie = getenv(COOKIE_NAME);
    if (cookie == NULL || strcmp(cookie, COOKIE) != 0)
        return err_set(err, ERR_INVALID,
                       "This is a Nomad task driver: put it into the agent's plugin_dir and name "
                       "it in a plugin block; it is not started by hand");
    const char *certificate = getenv("PLUGIN_CLIENT_CERT");
    if (certificate != NULL && certificate[0] != '\0')
        return err_set(err, ERR_INVALID, "PLUGIN_CLIENT_CERT is set: TLS is not spoken here");
    return true;
}

/* A socket of a process that is gone refuses; anything else may be alive. */
static void remove_if_dead(int dir_fd, const char *dir, const char *name)
{
    struct stat entry;
    if (fstatat(dir_fd, name, &entry, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISSOCK(entry.st_mode) ||
        wall_now().ns / (NS_PER_MS * MS_PER_S) - entry.st_mtim.tv_sec < STALE_S)
        return;
    CLEANUP(str_freep) char *path = str_format("%s/%s", dir, name);
    CLEANUP(fd_closep) struct fd probe = FD_NONE;
    struct err err;
    if (!socket_connect(path, &probe, &err) && err.kind == ERR_NOT_FOUND)
        (void)unlinkat(dir_fd, name, 0);
}

static void remove_dead(const char *dir)
{
    CLEANUP(dir_closep) DIR *list = opendir(dir);
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;)
        remove_if_dead(dirfd(list), dir, entry->d_name);
}

/* True when `dir` is a directory that only we can write: anybody may have made it in /tmp. */
static bool dir_is_ours(const char *dir)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST)
        return false;
    struct stat found;
    return lstat(dir, &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == geteuid() &&
           (found.st_mode & 0077) == 0;
}

static bool name_fresh(char out[2 * NAME_BYTES + 1], struct err *err)
{
    uint8_t bytes[NAME_BYTES];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return err_sys(err, errno, "get random bytes");
    hex_encode(view_of(bytes, sizeof(bytes)), out);
    return true;
}

static bool listen_once(const char *base, struct handshake *out, struct err *err)
{
    char name[2 * NAME_BYTES + 1];
    if (!name_fresh(name, err))
        return false;
    CLEANUP(str_freep)
    char *dir = str_format("%s/" DIR_NAME "-%u", base, (unsigned)geteuid());
    bool has_dir = dir_is_ours(dir);
    CLEANUP(str_freep)
    char *path = has_dir ? str_format("%s/%s", dir, name)
                         : str_format("%s/" DIR_NAME "-%s", base, name);
    if (has_dir && strlen(dir) < sizeof(out->dir))
        memcpy(out->dir, dir, strlen(dir) + 1);
    if (!socket_listen(path, &out->listener, err)) {
        if (out->dir[0] != '\0')
            (void)rmdir(out->dir);
        out->dir[0] = '\0';
        return false;
    }
    memcpy(out->path, path, strlen(path) + 1);
    if (has_dir)
        remove_dead(dir);
    return true;
}

bool handshake_listen(struct handshake *out, struct err *err)
{
    *out = (struct handshake){ .listener = FD_NONE };
    const char *bases[] = { getenv("PLUGIN_UNIX_SOCKET_DIR"), getenv("TMPDIR"), "/tmp" };
    for (size_t i = 0; i < COUNT(bases); i++) {
        if (bases[i] == NULL || bases[i][0] != '/')
            continue;
        for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
            if (listen_once(bases[i], out, err))
                return true;
            if (err->kind != ERR_SYSTEM || err->os_errno != ENOENT)
                break;
        }
    }
    return false; /* with the error of /tmp */
}

bool handshake_tell(const struct handshake *handshake, int fd, struct err *err)
{
    CLEANUP(str_freep) char *line = str_format("1|2|unix|%s|grpc|\n", handshake->path);
    return fd_write_all(fd, line, strlen(line), err);
}

void handshake_fini(struct handshake *handshake)
{
    if (handshake->path[0] != '\0')
        (void)unlink(handshake->path);
    if (handshake->dir[0] != '\0')
        (void)rmdir(handshake->dir); /* others may still be in it */
    if (handshake->path[0] != '\0')
        fd_closep(&handshake->listener);
    *handshake = (struct handshake){ .listener = FD_NONE };
}
