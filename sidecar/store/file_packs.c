#include "sidecar/store/file_packs.h"

#include "common/base/own.h"
#include "sidecar/store/name.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>

#define TEMP_BYTES 17

struct file_writer {
    struct pack_writer base;
    struct fd agent, file; /* `file` is flock'd: the next writer knows that we live */
    char *name, *pack;
    char temp[TEMP_BYTES];
};

static struct file_store *file_of(struct store *store)
{
    return (struct file_store *)(void *)store;
}

static struct file_writer *writer_of(struct pack_writer *base)
{
    return (struct file_writer *)(void *)base;
}

/* A failed write of data: a full disk is the kernel's refusal, the rest is a store in trouble. */
static bool write_failed(struct err *err, int os_errno, const char *what)
{
    bool is_full = os_errno == ENOSPC || os_errno == EDQUOT || os_errno == EFBIG;
    return file_failed(err, os_errno, is_full ? ERR_SYSTEM : ERR_UNAVAILABLE, "%s", what);
}

/* Removes temporaries whose writer is gone. The caller holds the agent's lock, under which every
 * temporary is made and locked, so an unlocked one has no owner. */
static void remove_leftovers(int temp_dir)
{
    int copy = openat(temp_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (dir == NULL)
        return;
    for (struct dirent *at; (at = readdir(dir)) != NULL;) {
        CLEANUP(fd_closep)
        struct fd temp = { openat(temp_dir, at->d_name,
                                  O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) };
        if (at->d_name[0] != '.' && temp.raw >= 0 && flock(temp.raw, LOCK_EX | LOCK_NB) == 0)
            (void)unlinkat(temp_dir, at->d_name, 0);
    }
    (void)closedir(dir);
}

static bool temp_make(struct file_writer *w, struct deadline until, struct err *err)
{
    CLEANUP(fd_closep) struct fd temp_dir = FD_NONE;
    CLEANUP(fd_closep) struct fd lock = FD_NONE;
    if (!file_agent_lock(w->agent.raw, until, &lock, err) ||
        !file_dir_make(file_of(w->base.store), FILE_DIR_TEMP, w->agent.raw, "tmp", &temp_dir, err))
        return false;
    remove_leftovers(temp_dir.raw);
    uint64_t random;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        return err_sys(err, errno, "random bytes");
    (void)snprintf(w->temp, sizeof(w->temp), "%016" PRIx64, random);
    w->file = (struct fd){ openat(temp_dir.raw, w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                                  0600) };
    if (w->file.raw < 0)
        return write_failed(err, errno, "create temporary");
    return flock(w->file.raw, LOCK_EX | LOCK_NB) == 0 ||
           file_failed(err, errno, ERR_UNAVAILABLE, "lock temporary");
}

static void writer_abandon(struct pack_writer *base)
{
    struct file_writer *w = writer_of(base);
    char path[8 + TEMP_BYTES];
    (void)snprintf(path, sizeof(path), "tmp/%s", w->temp);
    if (w->temp[0] != '\0')
        (void)unlinkat(w->agent.raw, path, 0);
    fd_closep(&w->file);
    fd_closep(&w->agent);
    free(w->name);
    free(w->pack);
    free(w);
}

static bool writer_create(struct store *store, const char *name, const char *pack,
                          struct deadline until, struct pack_writer **out, struct err *err)
{
    struct file_writer *w = mem_new(struct file_writer);
    CLEANUP(pack_abandonp) struct pack_writer *owned = &w->base;
    *w = (struct file_writer){ .base = { .store = store }, .agent = FD_NONE, .file = FD_NONE };
    w->name = str_copy(name);
    w->pack = str_copy(pack);
    if (!file_agent_open(file_of(store), name, FILE_MAKE, &w->agent, err) ||
        !temp_make(w, until, err))
        return false;
    *out = STEAL(owned);
    return true;
}

static bool writer_put(struct pack_writer *base, struct view bytes, struct deadline until,
                       struct err *err)
{
    (void)until;
    return fd_write_all(writer_of(base)->file.raw, bytes.data, bytes.len, err) ||
           write_failed(err, err->os_errno, "write");
}

/* The path must still lead to the directory that the writer began in. */
static bool check_place(struct file_writer *w, struct err *err)
{
    CLEANUP(fd_closep) struct fd now = FD_NONE;
    struct stat then_st, now_st;
    if (!file_agent_open(file_of(w->base.store), w->name, FILE_EXISTING, &now, err)) {
        if (err->kind == ERR_NOT_FOUND)
            err->kind = ERR_UNAVAILABLE;
        return false;
    }
    if (fstat(w->agent.raw, &then_st) < 0 || fstat(now.raw, &now_st) < 0)
        return file_failed(err, errno, ERR_UNAVAILABLE, "stat directory");
    return (then_st.st_dev == now_st.st_dev && then_st.st_ino == now_st.st_ino) ||
           err_set(err, ERR_UNAVAILABLE, "the store was exchanged meanwhile");
}

static bool writer_link(struct file_writer *w, struct err *err)
{
    CLEANUP(fd_closep) struct fd packs = FD_NONE;
    char temp[8 + TEMP_BYTES];
    (void)snprintf(temp, sizeof(temp), "tmp/%s", w->temp);
    if (fsync(w->file.raw) < 0)
        return write_failed(err, errno, "sync pack");
    if (!file_dir_make(file_of(w->base.store), FILE_DIR_PACKS, w->agent.raw, "packs", &packs, err))
        return false;
    if (linkat(w->agent.raw, temp, packs.raw, w->pack, 0) < 0)
        return errno == EEXIST ? err_set(err, ERR_CONFLICT, "exists")
                               : write_failed(err, errno, "link pack");
    return fsync(packs.raw) == 0 ||
           file_failed(err, errno, ERR_UNAVAILABLE, "sync directory of packs");
}

static bool writer_commit(struct pack_writer *base, struct deadline until, struct err *err)
{
    (void)until;
    struct file_writer *w = writer_of(base);
    return (check_place(w, err) && writer_link(w, err)) ||
           err_wrap(err, "commit pack \"%s\"", w->pack);
}

static bool pack_open(struct store *store, const char *name, const char *pack, struct fd *out,
                      uint64_t *out_bytes, struct err *err)
{
    CLEANUP(fd_closep) struct fd agent = FD_NONE;
    char path[8 + STORE_PACK_MAX];
    (void)snprintf(path, sizeof(path), "packs/%s", pack);
    if (!file_agent_open(file_of(store), name, FILE_EXISTING, &agent, err))
        return false;
    CLEANUP(fd_closep)
    struct fd file = { openat(agent.raw, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) };
    struct stat st;
    if (file.raw < 0 || fstat(file.raw, &st) < 0)
        return file_failed(err, errno, ERR_UNAVAILABLE, "open");
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_CORRUPT, "not a regular file");
    *out_bytes = (uint64_t)st.st_size;
    *out = fd_take(&file);
    return true;
}

static bool pack_size(struct store *store, const char *name, const char *pack,
                      struct deadline until, uint64_t *out_bytes, struct err *err)
{
    (void)until;
    CLEANUP(fd_closep) struct fd file = FD_NONE;
    return pack_open(store, name, pack, &file, out_bytes, err);
}

static bool pack_read(struct store *store, const char *name, const char *pack,
                      struct pack_range range, struct deadline until, struct err *err)
{
    (void)until;
    CLEANUP(fd_closep) struct fd file = FD_NONE;
    uint64_t size;
    if (!pack_open(store, name, pack, &file, &size, err))
        return false;
    if (range.offset > size || range.len > size - range.offset)
        return err_set(err, ERR_CORRUPT, "ends at byte %" PRIu64 ", before the range", size);
    for (size_t done = 0; done < range.len;) {
        ssize_t got = pread(file.raw, range.out + done, range.len - done,
                            (off_t)(range.offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return file_failed(err, errno, ERR_UNAVAILABLE, "read");
        if (got == 0)
            return err_set(err, ERR_CORRUPT, "was cut while it was read");
        done += (size_t)got;
    }
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_fini(struct buf *names)
{
    char **all = (char **)(void *)names->data;
    for (size_t i = 0; i < names->len / sizeof(*all); i++)
        free(all[i]);
    buf_fini(names);
}

/* Every well-formed name in packs/, sorted; readdir's failure is an error, not an end (F-39). */
static bool names_read(int agent, struct buf *names, struct err *err)
{
    CLEANUP(fd_closep) struct fd packs = FD_NONE;
    if (!file_dir_open(agent, "packs", FILE_EXISTING, &packs, err))
        return err->kind == ERR_NOT_FOUND; /* no pack yet */
    DIR *dir = fdopendir(packs.raw);
    if (dir == NULL)
        return file_failed(err, errno, ERR_UNAVAILABLE, "list");
    packs = FD_NONE;
    errno = 0;
    for (struct dirent *at; (at = readdir(dir)) != NULL; errno = 0) {
        struct err ignored;
        if (!pack_name_check(at->d_name, &ignored))
            continue;
        char *copy = str_copy(at->d_name);
        buf_put(names, view_of(&copy, sizeof(copy)));
    }
    int failed = errno;
    (void)closedir(dir);
    if (failed != 0)
        return file_failed(err, failed, ERR_UNAVAILABLE, "list");
    if (names->len > 0)
        qsort(names->data, names->len / sizeof(char *), sizeof(char *), by_name);
    return true;
}

static bool pack_list(struct store *store, const char *name, struct deadline until,
                      pack_list_fn *each, void *arg, struct err *err)
{
    CLEANUP(fd_closep) struct fd agent = FD_NONE;
    CLEANUP(names_fini) struct buf names = { 0 };
    if (!file_agent_open(file_of(store), name, FILE_EXISTING, &agent, err))
        return err->kind == ERR_NOT_FOUND;
    if (!names_read(agent.raw, &names, err))
        return false;
    char **all = (char **)(void *)names.data;
    for (size_t i = 0; i < names.len / sizeof(*all); i++) {
        struct pack_info info = { .pack = all[i] };
        struct err mine;
        if (!pack_size(store, name, all[i], until, &info.size_bytes, &mine)) {
            if (mine.kind == ERR_NOT_FOUND)
                continue; /* removed meanwhile */
            *err = mine;
            return false;
        }
        if (!each(arg, &info, err))
            return false;
    }
    return true;
}

static bool pack_remove(struct store *store, const char *name, const char *pack,
                        struct deadline until, struct err *err)
{
    (void)until;
    CLEANUP(fd_closep) struct fd agent = FD_NONE;
    CLEANUP(fd_closep) struct fd packs = FD_NONE;
    if (!file_agent_open(file_of(store), name, FILE_EXISTING, &agent, err) ||
        !file_dir_open(agent.raw, "packs", FILE_EXISTING, &packs, err))
        return err->kind == ERR_NOT_FOUND;
    if (unlinkat(packs.raw, pack, 0) < 0 && errno != ENOENT)
        return file_failed(err, errno, ERR_UNAVAILABLE, "unlink");
    return true;
}

const struct pack_ops file_pack_ops = {
    .create = writer_create,
    .put = writer_put,
    .commit = writer_commit,
    .abandon = writer_abandon,
    .size = pack_size,
    .read = pack_read,
    .list = pack_list,
    .remove = pack_remove,
};
