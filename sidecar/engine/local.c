#include "sidecar/engine/local.h"

#include "common/base/file.h"
#include "common/base/own.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

void local_init(struct local *l, const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    *l = (struct local){ .path = str_copy_n(path, len), .lock = FD_NONE };
}

void local_fini(struct local *l)
{
    fd_closep(&l->lock);
    str_freep(&l->path);
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return str_copy(".");
    return slash == path ? str_copy("/") : str_copy_n(path, (size_t)(slash - path));
}

static bool lock_beside(struct local *l, struct err *err)
{
    if (fd_is_open(l->lock))
        return true;
    const char *slash = strrchr(l->path, '/');
    const char *base = slash != NULL ? slash + 1 : l->path;
    if (*base == '\0')
        return err_set(err, ERR_INVALID, "state directory \"%s\": is the root", l->path);
    CLEANUP(str_freep) char *parent = parent_of(l->path);
    if (!dir_make(parent, 0755, err))
        return false;
    CLEANUP(str_freep) char *path = str_format("%s/.%s.lock", parent, base);
    const int how = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
    CLEANUP(fd_closep) struct fd lock = { open(path, how, 0600) };
    if (!fd_is_open(lock))
        return err_sys(err, errno, "open \"%s\"", path);
    if (flock(lock.raw, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK ? err_set(err, ERR_UNAVAILABLE,
                                              "state directory \"%s\": is in use by another "
                                              "process",
                                              l->path)
                                    : err_sys(err, errno, "lock \"%s\"", path);
    l->lock = fd_take(&lock);
    return true;
}

static void dir_closep(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir);
}

/* Whatever is in it is somebody's state: only "." and ".." are nothing. */
static bool look(const char *path, bool *out_exists, bool *out_filled, struct err *err)
{
    *out_exists = *out_filled = false;
    CLEANUP(fd_closep)
    struct fd fd = { open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) };
    if (!fd_is_open(fd)) {
        if (errno == ENOENT)
            return true;
        if (errno == ENOTDIR || errno == ELOOP)
            return err_set(err, ERR_INVALID, "state directory \"%s\": is not a directory", path);
        return err_sys(err, errno, "open \"%s\"", path);
    }
    CLEANUP(dir_closep) DIR *dir = fdopendir(fd.raw);
    if (dir == NULL)
        return err_sys(err, errno, "read \"%s\"", path);
    (void)fd_take(&fd);
    *out_exists = true;
    errno = 0;
    for (const struct dirent *entry; !*out_filled && (entry = readdir(dir)) != NULL;)
        *out_filled = strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    return errno == 0 || err_sys(err, errno, "read \"%s\"", path);
}

/* The agent must be able to write there, and may be another user: whoever owns the parent. */
static bool make(const char *path, const char *parent, struct err *err)
{
    struct stat st;
    if (!dir_make(path, 0700, err))
        return false;
    if (geteuid() != 0)
        return true;
    if (stat(parent, &st) != 0 || lchown(path, st.st_uid, st.st_gid) != 0)
        return err_sys(err, errno, "give \"%s\" to the owner of \"%s\"", path, parent);
    return true;
}

static bool first_start(const struct local *l, enum local_found *out, struct err *err)
{
    bool exists, is_filled;
    if (!look(l->path, &exists, &is_filled, err))
        return false;
    *out = is_filled ? LOCAL_FILLED : LOCAL_FRESH;
    if (exists)
        return true;
    CLEANUP(str_freep) char *parent = parent_of(l->path);
    return make(l->path, parent, err);
}

bool local_open(struct local *l, const struct local_wish *wish, enum local_found *out,
                struct restore_report *report, struct err *err)
{
    if (!lock_beside(l, err))
        return false;
    if (wish->head[0] == '\0')
        return first_start(l, out, err);
    *out = LOCAL_RESTORED;
    if (checkpoint_restore_into(wish->cp, wish->head, wish->until, report, err))
        return true;
    if (err->kind == ERR_NOT_FOUND) { /* the record promises it: this is damage, not absence */
        struct err gone = *err;
        return err_set(err, ERR_CORRUPT, "%.200s", gone.msg);
    }
    return false;
}
