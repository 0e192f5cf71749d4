#include "sidecar/engine/local.h"

#include "common/base/dir.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/base/text.h"
#include "common/base/time.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

#define UNSAVED_WORD ".unsaved-" /* "<base>.unsaved-<when>-after-<sequence>" */
#define BASE_SHOWN   190         /* bytes of the base in that name: NAME_MAX is 255 */
#define SAME_NAMES   1000        /* tries for a name that is free */
#define NAME_BYTES   256

void local_init(struct local *l, const char *path)
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    *l = (struct local){ .path = str_copy_n(path, len), .lock = FD_NONE, .parent = FD_NONE };
}

void local_fini(struct local *l)
{
    fd_closep(&l->lock);
    fd_closep(&l->parent);
    str_freep(&l->path);
}

static bool split(struct local *l, char **out_parent, const char **out_base, struct err *err)
{
    const char *slash = strrchr(l->path, '/');
    *out_base = slash != NULL ? slash + 1 : l->path;
    if (**out_base == '\0')
        return err_set(err, ERR_INVALID, "state directory \"%s\": is the root", l->path);
    *out_parent = str_format("%.*s.", (int)(*out_base - l->path), l->path);
    return true;
}

/* The parent may belong to the agent's user, who may put links anywhere in it. */
static bool open_parent(const char *parent, struct fd *out, struct err *err)
{
    if (dir_open(parent, out, err))
        return true;
    if (err->kind != ERR_NOT_FOUND)
        return false;
    return dir_make(parent, 0755, err) && dir_open(parent, out, err);
}

/* What is written to must have no other name: the parent may belong to the agent's user, who may
 * have linked a file of ours there. */
static bool is_plain(int dir_fd, const char *name, int fd)
{
    struct stat named, opened;
    return fstat(fd, &opened) == 0 && fstatat(dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           S_ISREG(named.st_mode) && named.st_nlink == 1 && named.st_dev == opened.st_dev &&
           named.st_ino == opened.st_ino;
}

static bool lock_beside(struct local *l, struct err *err)
{
    CLEANUP(str_freep) char *parent = NULL;
    CLEANUP(fd_closep) struct fd dir = FD_NONE;
    const char *base;
    if (fd_is_open(l->lock))
        return true;
    if (!split(l, &parent, &base, err) || !open_parent(parent, &dir, err))
        return false;
    CLEANUP(str_freep) char *name = str_format(".%s.lock", base);
    const int how = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
    CLEANUP(fd_closep) struct fd lock = { openat(dir.raw, name, how, 0600) };
    if (!fd_is_open(lock))
        return err_sys(err, errno, "open \"%s\" beside \"%s\"", name, l->path);
    if (!is_plain(dir.raw, name, lock.raw))
        return err_set(err, ERR_INVALID, "open \"%s\" beside \"%s\": not a file of its own", name,
                       l->path);
    if (flock(lock.raw, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK
                   ? err_set(err, ERR_UNAVAILABLE,
                             "state directory \"%s\": is in use by another "
                             "process",
                             l->path)
                   : err_sys(err, errno, "lock \"%s\" beside \"%s\"", name, l->path);
    l->lock = fd_take(&lock);
    l->parent = fd_take(&dir);
    l->base = base;
    return true;
}

/* Whatever is in it is somebody's state: only "." and ".." are nothing. */
static bool look(const struct local *l, bool *out_exists, bool *out_filled, struct err *err)
{
    const char *path = l->path;
    *out_exists = *out_filled = false;
    CLEANUP(fd_closep)
    struct fd fd = { openat(l->parent.raw, l->base,
                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) };
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
static bool make(const struct local *l, struct err *err)
{
    struct stat st;
    if (mkdirat(l->parent.raw, l->base, 0700) != 0)
        return err_sys(err, errno, "make \"%s\"", l->path);
    if (geteuid() != 0)
        return true;
    if (fstat(l->parent.raw, &st) != 0 ||
        fchownat(l->parent.raw, l->base, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
        return err_sys(err, errno, "give \"%s\" to the owner of its parent", l->path);
    return true;
}

static bool first_start(const struct local *l, enum local_found *out, struct err *err)
{
    bool exists, is_filled;
    if (!look(l, &exists, &is_filled, err))
        return false;
    *out = is_filled ? LOCAL_FILLED : LOCAL_FRESH;
    return exists || make(l, err);
}

/* What is wrong with the directory is waited out: a mount may come back. */
static bool not_usable(const struct local *l, int os_errno, struct err *err)
{
    if (os_errno == ENOENT)
        return err_set(err, ERR_UNAVAILABLE, "state directory \"%s\": is gone", l->path);
    (void)err_sys(err, os_errno, "state directory \"%s\"", l->path);
    err->kind = ERR_UNAVAILABLE;
    return false;
}

static bool find_home(const struct local *l, dev_t *out_dev, uint64_t *out_mount, struct err *err)
{
    struct statx st;
    if (statx(AT_FDCWD, l->path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
              STATX_TYPE | STATX_INO | STATX_MNT_ID, &st) != 0)
        return not_usable(l, errno, err);
    if (!S_ISDIR(st.stx_mode))
        return not_usable(l, ENOTDIR, err);
    *out_dev = makedev(st.stx_dev_major, st.stx_dev_minor);
    *out_mount = (st.stx_mask & STATX_MNT_ID) != 0 ? st.stx_mnt_id : 0;
    return true;
}

static bool is_read_only(const struct local *l, bool *out, struct err *err)
{
    struct statvfs fs;
    if (statvfs(l->path, &fs) != 0)
        return not_usable(l, errno, err);
    *out = (fs.f_flag & ST_RDONLY) != 0;
    return true;
}

static bool note_home(struct local *l, struct err *err)
{
    return l->home.is_known = find_home(l, &l->home.dev, &l->home.mount, err) &&
                              is_read_only(l, &l->home.is_read_only, err);
}

bool local_check(const struct local *l, struct err *err)
{
    dev_t dev;
    uint64_t mount;
    assert(l->home.is_known);
    if (!find_home(l, &dev, &mount, err))
        return false;
    return (dev == l->home.dev && mount == l->home.mount) ||
           err_set(err, ERR_UNAVAILABLE,
                   "state directory \"%s\": is on another mount than at the start", l->path);
}

bool local_check_use(const struct local *l, struct err *err)
{
    bool is_now_read_only = false;
    if (!local_check(l, err) || !is_read_only(l, &is_now_read_only, err))
        return false;
    if (is_now_read_only && !l->home.is_read_only)
        return not_usable(l, EROFS, err);
    CLEANUP(fd_closep)
    struct fd fd = { open(l->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) };
    if (!fd_is_open(fd))
        return not_usable(l, errno, err);
    CLEANUP(dir_closep) DIR *dir = fdopendir(fd.raw);
    if (dir == NULL)
        return not_usable(l, errno, err);
    (void)fd_take(&fd);
    errno = 0;
    return readdir(dir) != NULL || errno == 0 || not_usable(l, errno, err);
}

bool local_note(const struct local *l, const struct mark *mark, struct err *err)
{
    return mark_write(l->lock.raw, mark, err) ||
           err_wrap(err, "note beside \"%s\" whether it is saved", l->path);
}

static void unsaved_prefix(const struct local *l, char out[NAME_BYTES])
{
    (void)snprintf(out, NAME_BYTES, "%.*s" UNSAVED_WORD, BASE_SHOWN, l->base);
}

/* "20261125T123919Z" */
static void when(int64_t wall_ms, char out[WALL_TEXT_BYTES])
{
    char text[WALL_TEXT_BYTES];
    const struct wall at = wall_ms > 0 ? (struct wall){ wall_ms * NS_PER_MS } : wall_now();
    wall_format(at, text);
    (void)snprintf(out, WALL_TEXT_BYTES, "%.4s%.2s%.5s%.2s%.2sZ", text, text + 5, text + 8,
                   text + 14, text + 17);
}

/* A name that nothing has, for the tree that is not saved. Nobody else makes such names, and the
 * rename refuses one that came meanwhile. */
static bool name_unsaved(const struct local *l, char out[NAME_BYTES], struct err *err)
{
    char prefix[NAME_BYTES], since[WALL_TEXT_BYTES];
    struct stat st;
    unsaved_prefix(l, prefix);
    when(l->mark.wall_ms, since);
    for (unsigned i = 1; i <= SAME_NAMES; i++) {
        char again[16] = "";
        if (i > 1)
            (void)snprintf(again, sizeof again, "-%u", i);
        (void)snprintf(out, NAME_BYTES, "%.200s%s-after-%lld%s", prefix, since,
                       (long long)l->mark.sequence, again);
        if (fstatat(l->parent.raw, out, &st, AT_SYMLINK_NOFOLLOW) != 0)
            return errno == ENOENT ||
                   err_sys(err, errno, "stat \"%s\" beside \"%s\"", out, l->path);
    }
    return err_set(err, ERR_CONFLICT, "keep \"%s\": %u trees are kept already, move them away",
                   l->path, SAME_NAMES);
}

static void show_unsaved(struct local *l, const char *name)
{
    const int parent = name[0] == '\0' ? 0 : (int)(l->base - l->path);
    (void)snprintf(l->unsaved.newest, sizeof l->unsaved.newest, "%.*s%s", parent, l->path, name);
}

static bool find_unsaved(struct local *l, struct err *err)
{
    char prefix[NAME_BYTES], newest[NAME_BYTES] = "";
    CLEANUP(fd_closep)
    struct fd fd = { openat(l->parent.raw, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    CLEANUP(dir_closep) DIR *dir = fd_is_open(fd) ? fdopendir(fd.raw) : NULL;
    if (dir == NULL)
        return err_sys(err, errno, "read the parent of \"%s\"", l->path);
    (void)fd_take(&fd);
    unsaved_prefix(l, prefix);
    l->unsaved.count = 0;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        l->unsaved.count++;
        if (strcmp(entry->d_name, newest) > 0)
            (void)snprintf(newest, sizeof newest, "%s", entry->d_name);
    }
    show_unsaved(l, newest);
    return true;
}

/* What is there now is the head, or nothing: from here on the mark says so. */
static bool settle(struct local *l, bool is_whole, struct err *err)
{
    const struct mark was = l->mark;
    l->mark = (struct mark){ 0 };
    return (is_whole && !was.is_unsaved) || local_note(l, &l->mark, err);
}

static bool restore(const struct local_wish *wish, const char *keep_as,
                    struct restore_report *report, struct err *err)
{
    if (checkpoint_restore_into(wish->cp, wish->head, keep_as, wish->until, report, err))
        return true;
    if (err->kind == ERR_NOT_FOUND) { /* the record promises it: this is damage, not absence */
        struct err gone = *err;
        return err_set(err, ERR_CORRUPT, "%.200s", gone.msg);
    }
    return false;
}

static bool open_restored(struct local *l, const struct local_wish *wish, bool is_whole,
                          struct restore_report *report, struct err *err)
{
    char aside[NAME_BYTES];
    const char *keep_as = l->mark.is_unsaved ? aside : NULL;
    if ((keep_as != NULL && !name_unsaved(l, aside, err)) || !restore(wish, keep_as, report, err) ||
        !find_unsaved(l, err))
        return false;
    if (report->is_put_aside) {
        show_unsaved(l, aside);
        l->unsaved.is_new = true;
        (void)snprintf(l->unsaved.why, sizeof l->unsaved.why, "%s", l->mark.why);
    }
    return settle(l, is_whole, err);
}

static bool open_first(struct local *l, bool is_whole, enum local_found *out, struct err *err)
{
    if (!first_start(l, out, err) || !find_unsaved(l, err))
        return false;
    /* What an unsaved tree holds is still there, and saved next. */
    return (*out == LOCAL_FILLED && l->mark.is_unsaved) || settle(l, is_whole, err);
}

bool local_open(struct local *l, const struct local_wish *wish, enum local_found *out,
                struct restore_report *report, struct err *err)
{
    bool is_whole;
    if (!lock_beside(l, err))
        return false;
    if (!mark_read(l->lock.raw, &l->mark, &is_whole, err))
        return err_wrap(err, "state directory \"%s\"", l->path);
    *out = LOCAL_RESTORED;
    return (wish->head[0] == '\0' ? open_first(l, is_whole, out, err)
                                  : open_restored(l, wish, is_whole, report, err)) &&
           note_home(l, err);
}
