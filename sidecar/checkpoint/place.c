#include "sidecar/checkpoint/place.h"

#include "common/base/dir.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/base/text.h"
#include "sidecar/crypto/keys.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define STAGE_WORD ".restoring-" /* ".<base>.restoring-<nonce>" */
#define BASE_SHOWN 200           /* bytes of the base in that name: NAME_MAX is 255 */
#define DIR_HOW    (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

int place_borrow_fd(const struct place *place) { return place->stage.raw; }

/* ".<base>.restoring-": what leftovers begin with. */
static void stage_prefix(const struct place *p, char out[256])
{
    (void)snprintf(out, 256, ".%.*s" STAGE_WORD, BASE_SHOWN, p->base);
}

static char *path_beside(const struct place *p, const char *name)
{
    return str_format("%.*s%s", (int)(p->base - p->target), p->target, name);
}

/* By the parent that was opened and checked: its path may lead elsewhere by now. */
static bool remove_beside(const struct place *p, const char *name, struct err *err)
{
    return dir_remove_at(p->parent.raw, name, err) || err_wrap(err, "beside \"%s\"", p->target);
}

static void close_dir(DIR **dir)
{
    if (*dir != NULL)
        (void)closedir(*dir);
}

/* Only one restore of a target runs at a time: whoever may restore holds the lease. */
static bool remove_leftovers(const struct place *p, struct err *err)
{
    char prefix[256];
    CLEANUP(fd_closep) struct fd fd = { openat(p->parent.raw, ".", DIR_HOW) };
    if (fd.raw < 0)
        return err_sys(err, errno, "open the parent of \"%s\"", p->target);
    CLEANUP(close_dir) DIR *dir = fdopendir(fd.raw);
    if (dir == NULL)
        return err_sys(err, errno, "read the parent of \"%s\"", p->target);
    (void)fd_take(&fd); /* the DIR's now */
    stage_prefix(p, prefix);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir))
        if (strncmp(entry->d_name, prefix, strlen(prefix)) == 0 &&
            !remove_beside(p, entry->d_name, err))
            return false;
    return true;
}

static bool split(const char *target, struct place *p, struct err *err)
{
    size_t len = strlen(target);
    while (len > 1 && target[len - 1] == '/')
        len--;
    p->target = str_copy_n(target, len);
    const char *slash = strrchr(p->target, '/');
    p->base = slash == NULL ? p->target : slash + 1;
    if (len == 0 || p->base[0] == '\0' || strcmp(p->base, ".") == 0 || strcmp(p->base, "..") == 0)
        return err_set(err, ERR_INVALID, "restore to \"%s\": not the name of a directory", target);
    CLEANUP(str_freep) char *parent = path_beside(p, ".");
    if (dir_open(parent, &p->parent, err))
        return true;
    if (err->kind == ERR_NOT_FOUND) /* here that would mean the checkpoint */
        return err_sys(err, ENOENT, "restore to \"%s\": open its parent", target);
    return err_wrap(err, "restore to \"%s\"", target);
}

static bool check_target(struct place *p, bool is_new_only, struct err *err)
{
    struct stat parent, st;
    if (fstat(p->parent.raw, &parent) < 0)
        return err_sys(err, errno, "stat the parent of \"%s\"", p->target);
    if (fstatat(p->parent.raw, p->base, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || err_sys(err, errno, "stat \"%s\"", p->target);
    p->has_old = true;
    p->old_uid = st.st_uid;
    p->old_gid = st.st_gid;
    if (is_new_only)
        return err_set(err, ERR_CONFLICT, "restore to \"%s\": it exists", p->target);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "restore to \"%s\": not a directory", p->target);
    if (st.st_dev != parent.st_dev)
        return err_set(err, ERR_INVALID,
                       "restore to \"%s\": a mount point cannot be replaced; use a directory in it",
                       p->target);
    return true;
}

static bool make_stage(struct place *p, struct err *err)
{
    char prefix[256], nonce_text[17];
    uint8_t nonce[8];
    stage_prefix(p, prefix);
    crypto_random(nonce, sizeof(nonce));
    hex_encode(view_of(nonce, sizeof(nonce)), nonce_text);
    (void)snprintf(p->stage_name, sizeof(p->stage_name), "%.230s%s", prefix, nonce_text);
    if (mkdirat(p->parent.raw, p->stage_name, 0700) < 0)
        return err_sys(err, errno, "restore to \"%s\": make a directory beside it", p->target);
    p->is_made = true;
    p->stage = (struct fd){ openat(p->parent.raw, p->stage_name, DIR_HOW | O_NOFOLLOW) };
    if (p->stage.raw < 0)
        return err_sys(err, errno, "restore to \"%s\": open the directory beside it", p->target);
    return true;
}

bool place_open(const char *target, bool is_new_only, struct place *out, struct err *err)
{
    *out = (struct place){ .parent = FD_NONE, .stage = FD_NONE };
    return split(target, out, err) && check_target(out, is_new_only, err) &&
           remove_leftovers(out, err) && make_stage(out, err);
}

void place_fini(struct place *place)
{
    struct err ignored = { 0 };
    if (place->target == NULL)
        return;
    fd_closep(&place->stage);
    if (place->is_made && !place->is_swapped)
        (void)remove_beside(place, place->stage_name, &ignored);
    fd_closep(&place->parent);
    free(place->target);
    *place = (struct place){ .parent = FD_NONE, .stage = FD_NONE };
}

bool place_has_room(const struct place *place, uint64_t bytes, struct err *err)
{
    struct statvfs fs;
    if (fstatvfs(place->stage.raw, &fs) < 0)
        return err_sys(err, errno, "restore to \"%s\": stat its file system", place->target);
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (bytes <= room)
        return true;
    return err_sys(err, ENOSPC, "restore to \"%s\": needs %llu bytes, %llu are free", place->target,
                   (unsigned long long)bytes, (unsigned long long)room);
}

static bool put_aside(struct place *place, const char *aside, struct err *err)
{
    if (renameat2(place->parent.raw, place->base, place->parent.raw, aside, RENAME_NOREPLACE) < 0)
        return errno == EEXIST ? err_set(err, ERR_CONFLICT, "keep \"%s\" as \"%s\": it exists",
                                         place->target, aside)
                               : err_sys(err, errno, "keep \"%s\" as \"%s\"", place->target, aside);
    place->has_old = false;
    return fsync(place->parent.raw) == 0 ||
           err_sys(err, errno, "restore to \"%s\": sync its parent", place->target);
}

/* A failure between the two renames: the old tree goes back to where it was. */
static void put_back(struct place *place, const char *aside)
{
    if (!place->is_swapped && !place->has_old &&
        renameat2(place->parent.raw, aside, place->parent.raw, place->base, RENAME_NOREPLACE) == 0)
        place->has_old = true;
}

static bool put_in_place(struct place *place, struct err *err)
{
    unsigned how = place->has_old ? RENAME_EXCHANGE : RENAME_NOREPLACE;
    if (renameat2(place->parent.raw, place->stage_name, place->parent.raw, place->base, how) < 0)
        return err_sys(err, errno, "restore to \"%s\": put it in place", place->target);
    place->is_swapped = true;
    if (fsync(place->parent.raw) < 0)
        return err_sys(err, errno, "restore to \"%s\": sync its parent", place->target);
    return true;
}

bool place_swap(struct place *place, const char *aside, struct err *err)
{
    if (syncfs(place->stage.raw) < 0)
        return err_sys(err, errno, "restore to \"%s\": sync", place->target);
    if (aside == NULL || !place->has_old)
        return put_in_place(place, err);
    if (put_aside(place, aside, err) && put_in_place(place, err))
        return true;
    put_back(place, aside);
    return false;
}

bool place_remove_old(struct place *place, char *left, size_t left_room, struct err *err)
{
    left[0] = '\0';
    if (!place->has_old || remove_beside(place, place->stage_name, err))
        return true;
    CLEANUP(str_freep) char *path = path_beside(place, place->stage_name);
    (void)snprintf(left, left_room, "%s", path);
    return false;
}
