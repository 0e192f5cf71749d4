#include "sidecar/checkpoint/stage.h"

#include "common/base/own.h"
#include "sidecar/checkpoint/scan.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define SET_ID_BITS (S_ISUID | S_ISGID)

/* Paths of a checked tree: short enough, no ".." and no parent that is a link. */
static const char *text_of(struct view path, char out[TREE_PATH_MAX + 1])
{
    if (path.len == 0)
        return ".";
    memcpy(out, path.data, path.len);
    out[path.len] = '\0';
    return out;
}

static bool fail(const char *what, struct view path, struct err *err)
{
    int why = errno;
    char shown[128];
    return err_sys(err, why, "%s \"%s\"", what, scan_show(path, shown));
}

static void times_of(const struct tree_entry *entry, struct timespec out[2])
{
    out[0] = (struct timespec){ .tv_nsec = UTIME_OMIT };
    out[1] = (struct timespec){ .tv_sec = entry->mtime_s, .tv_nsec = entry->mtime_ns };
}

/* An ordinary user may not give files away: they stay ours, without the set-id bits. */
static bool is_refused(int result) { return result < 0 && (errno == EPERM || errno == EINVAL); }

static uid_t uid_for(const struct stage *s, const struct tree_entry *entry)
{
    return s->heir.is_set && entry->uid == s->heir.was_uid ? s->heir.uid : entry->uid;
}

static gid_t gid_for(const struct stage *s, const struct tree_entry *entry)
{
    return s->heir.is_set && entry->gid == s->heir.was_gid ? s->heir.gid : entry->gid;
}

static bool make_symlink(struct stage *s, const struct tree_entry *entry, const char *path,
                         struct err *err)
{
    char target[TREE_TARGET_MAX + 1];
    struct timespec times[2];
    memcpy(target, entry->target.data, entry->target.len);
    target[entry->target.len] = '\0';
    times_of(entry, times);
    if (symlinkat(target, s->root_fd, path) < 0)
        return fail("make link", entry->path, err);
    int result = fchownat(s->root_fd, path, uid_for(s, entry), gid_for(s, entry),
                          AT_SYMLINK_NOFOLLOW);
    if (is_refused(result))
        s->not_owned++;
    else if (result < 0)
        return fail("give owner to", entry->path, err);
    if (utimensat(s->root_fd, path, times, AT_SYMLINK_NOFOLLOW) < 0)
        return fail("set time of", entry->path, err);
    return true;
}

bool stage_make(struct stage *s, const struct tree_entry *entry, struct err *err)
{
    char path[TREE_PATH_MAX + 1], other[TREE_PATH_MAX + 1];
    (void)text_of(entry->path, path);
    switch (entry->type) {
    case TREE_DIR:
        return entry->path.len == 0 || mkdirat(s->root_fd, path, 0700) == 0 ||
               fail("make directory", entry->path, err);
    case TREE_SYMLINK:
        return make_symlink(s, entry, path, err);
    case TREE_HARDLINK:
        return linkat(s->root_fd, text_of(entry->target, other), s->root_fd, path, 0) == 0 ||
               fail("make hard link", entry->path, err);
    case TREE_FILE:
        break;
    }
    return err_set(err, ERR_INVALID, "stage: a file is opened, not made");
}

bool stage_open(struct stage *s, const struct tree_entry *entry, struct stage_file *out,
                struct err *err)
{
    char path[TREE_PATH_MAX + 1];
    out->entry = *entry;
    out->fd = (struct fd){ openat(s->root_fd, text_of(entry->path, path),
                                  O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600) };
    if (!fd_is_open(out->fd))
        return fail("make file", entry->path, err);
    if (entry->holes.len > 0 && ftruncate(out->fd.raw, (off_t)entry->size) < 0)
        return fail("set size of", entry->path, err);
    return true;
}

static bool write_at(const struct stage_file *file, uint64_t at, struct view bytes, struct err *err)
{
    while (bytes.len > 0) {
        ssize_t put = pwrite(file->fd.raw, bytes.data, bytes.len, (off_t)at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return fail("write", file->entry.path, err);
        at += (uint64_t)put;
        bytes = view_of(bytes.data + put, bytes.len - (size_t)put);
    }
    return true;
}

bool stage_write(const struct stage_file *file, uint64_t at, struct view bytes, struct err *err)
{
    struct cursor holes = cursor_of(file->entry.holes, "tree");
    uint64_t data = 0, pos = 0; /* the same place, without and with holes */
    while (holes.rest.len > 0 && bytes.len > 0) {
        struct tree_hole hole;
        if (!tree_take_hole(&holes, &hole, err))
            return false;
        uint64_t end = data + (hole.offset - pos); /* of the data before this hole */
        if (at < end) {
            size_t len = bytes.len < end - at ? bytes.len : (size_t)(end - at);
            if (!write_at(file, pos + (at - data), view_of(bytes.data, len), err))
                return false;
            bytes = view_of(bytes.data + len, bytes.len - len);
            at += len;
        }
        data = end;
        pos = hole.offset + hole.len;
    }
    if (bytes.len == 0)
        return true;
    if (pos + (at - data) > file->entry.size || bytes.len > file->entry.size - (pos + (at - data)))
        return err_set(err, ERR_CORRUPT, "write: chunk beyond the end of its file");
    return write_at(file, pos + (at - data), bytes, err);
}

/* user.* needs write permission, so it comes before the mode; lists of access depend on the mode
 * and capabilities on the owner, so they come after both. */
static bool put_xattrs(struct stage *s, int fd, const struct tree_entry *entry, bool is_user,
                       struct err *err)
{
    struct cursor c = cursor_of(entry->xattrs, "tree");
    while (c.rest.len > 0) {
        struct view name, value;
        char text[256];
        if (!tree_take_xattr(&c, &name, &value, err))
            return false;
        memcpy(text, name.data, name.len);
        text[name.len] = '\0';
        if ((strncmp(text, "user.", 5) == 0) != is_user)
            continue;
        if (fsetxattr(fd, text, value.data, value.len, 0) == 0)
            continue;
        if (errno != EPERM && errno != ENOTSUP && errno != EACCES)
            return fail("set attribute of", entry->path, err);
        s->not_marked++;
    }
    return true;
}

static bool put_facts(struct stage *s, int fd, const struct tree_entry *entry, struct err *err)
{
    struct timespec times[2];
    const uid_t uid = uid_for(s, entry);
    const gid_t gid = gid_for(s, entry);
    mode_t mode = entry->mode;
    times_of(entry, times);
    int result = fchown(fd, uid, gid);
    const bool is_ours = is_refused(result);
    if (result < 0 && !is_ours)
        return fail("give owner to", entry->path, err);
    s->not_owned += is_ours ? 1 : 0;
    if (is_ours || (entry->type == TREE_FILE && (uid != entry->uid || gid != entry->gid)))
        mode &= ~(mode_t)SET_ID_BITS;
    if (!put_xattrs(s, fd, entry, true, err))
        return false;
    if (fchmod(fd, mode) < 0)
        return fail("set mode of", entry->path, err);
    if (!put_xattrs(s, fd, entry, false, err))
        return false;
    if (futimens(fd, times) < 0)
        return fail("set time of", entry->path, err);
    return true;
}

bool stage_finish(struct stage *s, struct stage_file *file, struct err *err)
{
    bool good = put_facts(s, file->fd.raw, &file->entry, err);
    fd_closep(&file->fd);
    return good;
}

bool stage_finish_dir(struct stage *s, const struct tree_entry *entry, struct err *err)
{
    char path[TREE_PATH_MAX + 1];
    CLEANUP(fd_closep)
    struct fd dir = { openat(s->root_fd, text_of(entry->path, path),
                             O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) };
    if (!fd_is_open(dir))
        return fail("open directory", entry->path, err);
    return put_facts(s, dir.raw, entry, err);
}
