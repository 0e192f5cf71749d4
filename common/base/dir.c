#include "common/base/dir.h"

#include "common/base/own.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40 /* as the kernel */

struct walk {
    struct fd at;
    char *rest; /* of the path, from `at` */
    unsigned links;
};

static void walk_fini(struct walk *w)
{
    fd_closep(&w->at);
    str_freep(&w->rest);
}

static bool go_to(struct walk *w, const char *start, struct err *err)
{
    fd_closep(&w->at);
    w->at = (struct fd){ open(start, O_PATH | O_DIRECTORY | O_CLOEXEC) };
    return fd_is_open(w->at) || err_sys(err, errno, "open \"%s\"", start);
}

/* The link is looked at and read through one descriptor: it cannot be exchanged in between. */
static bool follow(struct walk *w, int link, const struct stat *st, const char *behind,
                   struct err *err)
{
    char target[PATH_MAX];
    if (st->st_uid != 0 && st->st_uid != geteuid())
        return err_set(err, ERR_DENIED, "is a symlink of user %u", st->st_uid);
    ssize_t len = readlinkat(link, "", target, sizeof(target) - 1);
    if (len < 0 || ++w->links > LINKS_MAX)
        return err_sys(err, len < 0 ? errno : ELOOP, "follow symlink");
    target[len] = '\0';
    char *rest = str_format("%s/%s", target + strspn(target, "/"), behind);
    str_freep(&w->rest);
    w->rest = rest;
    return target[0] != '/' || go_to(w, "/", err);
}

/* Takes the first part of the rest. */
static bool step(struct walk *w, struct err *err)
{
    struct stat st;
    size_t len = strcspn(w->rest, "/");
    CLEANUP(str_freep) char *part = str_copy_n(w->rest, len);
    CLEANUP(str_freep) char *behind = str_copy(w->rest + len + strspn(w->rest + len, "/"));
    bool is_last = w->rest[len] == '\0';
    CLEANUP(fd_closep)
    struct fd next = { openat(w->at.raw, part, O_PATH | O_NOFOLLOW | O_CLOEXEC) };
    if (!fd_is_open(next) && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "no such directory");
    if (!fd_is_open(next) || fstat(next.raw, &st) < 0)
        return err_sys(err, errno, "open \"%s\"", part);
    if (S_ISLNK(st.st_mode) && !is_last)
        return follow(w, next.raw, &st, behind, err) || err_wrap(err, "\"%s\"", part);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "\"%s\" is not a directory", part);
    fd_closep(&w->at);
    w->at = fd_take(&next);
    str_freep(&w->rest);
    w->rest = STEAL(behind);
    return true;
}

bool dir_open(const char *path, struct fd *out, struct err *err)
{
    CLEANUP(walk_fini) struct walk w = { FD_NONE, str_copy(path + strspn(path, "/")), 0 };
    if (!go_to(&w, path[0] == '/' ? "/" : ".", err))
        return false;
    while (w.rest[0] != '\0')
        if (!step(&w, err))
            return err_wrap(err, "open directory \"%s\"", path);
    *out = (struct fd){ openat(w.at.raw, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    return fd_is_open(*out) || err_sys(err, errno, "open directory \"%s\"", path);
}
