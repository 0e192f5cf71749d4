#include "sidecar/store/file_root.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/json/json.h"
#include "common/json/out.h"
#include "sidecar/store/name.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>

#define MARKER_MAX_BYTES  ((size_t)512)
#define LOCK_FIRST_NAP_NS 200000L /* a writer holds the lock for one or two fsyncs */
#define LOCK_NAP_MAX_NS   10000000L

static const struct {
    int os_errno;
    enum err_kind kind;
} kinds[] = {
    /* Not ENOTDIR: a link or a file in the way is no answer that there is nothing behind it. */
    { ENOENT, ERR_NOT_FOUND }, { EACCES, ERR_DENIED }, { EPERM, ERR_DENIED },
    { EROFS, ERR_DENIED },     { ELOOP, ERR_DENIED },
};

/* Locks and renames on these may be seen by one client only. Magics: statfs(2), linux/magic.h. */
static const struct {
    unsigned long magic;
    const char *name;
} network[] = {
    { 0x6969, "NFS" },      { 0x517b, "SMB" },      { 0xfe534d42, "SMB2" }, { 0xff534d42, "CIFS" },
    { 0x65735546, "FUSE" }, { 0x01021997, "9P" },   { 0x00c36400, "Ceph" }, { 0x5346414f, "AFS" },
    { 0x6b414653, "AFS" },  { 0x73757245, "Coda" },
};

bool file_failed(struct err *err, int os_errno, enum err_kind other, const char *fmt, ...)
{
    char what[160];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    (void)err_sys(err, os_errno, "%s", what);
    err->kind = other;
    for (size_t i = 0; i < COUNT(kinds); i++)
        if (kinds[i].os_errno == os_errno)
            err->kind = kinds[i].kind;
    return false;
}

bool file_dir_open(int dir_fd, const char *path, enum file_make make, struct fd *out,
                   struct err *err)
{
    const int how = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    struct err why;
    CLEANUP(fd_closep) struct fd at = { fcntl(dir_fd, F_DUPFD_CLOEXEC, 0) };
    while (at.raw >= 0 && *path != '\0') {
        size_t len = strcspn(path, "/");
        CLEANUP(str_freep) char *part = str_copy_n(path, len);
        if (make == FILE_MAKE && !dir_make_at(at.raw, part, 0700, &why))
            return file_failed(err, why.os_errno, ERR_UNAVAILABLE, "make directory \"%.80s\"",
                               part);
        CLEANUP(fd_closep) struct fd next = { openat(at.raw, part, how) };
        if (next.raw < 0)
            return file_failed(err, errno, ERR_UNAVAILABLE, "open directory \"%.80s\"", part);
        fd_closep(&at);
        at = fd_take(&next);
        path += len + (path[len] == '/');
    }
    if (at.raw < 0)
        return file_failed(err, errno, ERR_UNAVAILABLE, "duplicate descriptor");
    *out = fd_take(&at);
    return true;
}

/* What this handle has made durable before: nobody replaces it by a directory that is not, and a
 * sync of each parent for each pack would be paid for nothing. */
bool file_dir_make(struct file_store *store, enum file_dir which, int dir_fd, const char *path,
                   struct fd *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd dir = FD_NONE;
    struct file_place *known = &store->made[which];
    struct stat st;
    struct err absent;
    if (file_dir_open(dir_fd, path, FILE_EXISTING, &dir, &absent) && fstat(dir.raw, &st) == 0 &&
        known->is_known && known->dev == st.st_dev && known->ino == st.st_ino) {
        *out = fd_take(&dir);
        return true;
    }
    fd_closep(&dir);
    if (!file_dir_open(dir_fd, path, FILE_MAKE, &dir, err))
        return false;
    if (fstat(dir.raw, &st) < 0)
        return file_failed(err, errno, ERR_UNAVAILABLE, "stat directory");
    *known = (struct file_place){ true, st.st_dev, st.st_ino };
    *out = fd_take(&dir);
    return true;
}

bool file_agent_open(struct file_store *store, const char *name, enum file_make make,
                     struct fd *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd root = FD_NONE;
    if (!file_root_open(store, &root, err))
        return false;
    char path[NAME_PATH_BYTES + 16] = "agents/";
    name_encode(name, path + strlen(path));
    return make == FILE_MAKE ? file_dir_make(store, FILE_DIR_AGENT, root.raw, path, out, err)
                             : file_dir_open(root.raw, path, make, out, err);
}

bool file_lock(int fd, struct deadline until, struct err *err)
{
    for (long nap = LOCK_FIRST_NAP_NS; flock(fd, LOCK_EX | LOCK_NB) < 0;) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return file_failed(err, errno, ERR_UNAVAILABLE, "lock");
        if (deadline_is_past(until, boot_now()))
            return err_set(err, ERR_UNAVAILABLE, "lock: held by another writer until the deadline");
        (void)nanosleep(&(struct timespec){ .tv_nsec = nap }, NULL);
        nap = nap * 2 < LOCK_NAP_MAX_NS ? nap * 2 : LOCK_NAP_MAX_NS;
    }
    return true;
}

/* True when the name still leads to the file that we have locked. */
static bool is_in_place(int agent_dir, int lock)
{
    struct stat ours, there;
    return fstat(lock, &ours) == 0 &&
           fstatat(agent_dir, FILE_LOCK, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

bool file_agent_lock(int agent_dir, struct deadline until, struct fd *out, struct err *err)
{
    const int how = O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC;
    for (;;) {
        CLEANUP(fd_closep) struct fd lock = { openat(agent_dir, FILE_LOCK, how, 0600) };
        if (!fd_is_open(lock))
            return file_failed(err, errno, ERR_UNAVAILABLE, "open lock");
        if (!file_lock(lock.raw, until, err))
            return false;
        if (is_in_place(agent_dir, lock.raw)) {
            *out = fd_take(&lock);
            return true;
        }
        if (deadline_is_past(until, boot_now()))
            return err_set(err, ERR_UNAVAILABLE, "lock: its file is being exchanged");
    }
}

struct marker {
    int64_t format;
    uint8_t id[STORE_ID_BYTES];
};
static const struct json_field marker_rows[] = {
    JSON_INT_ROW(struct marker, "agent_store", format, JSON_REQUIRED, 1, 1),
    JSON_HEX_ROW(struct marker, "id", id, JSON_REQUIRED),
};
static const struct json_table marker_table = JSON_TABLE(marker_rows);

static bool marker_read(int root, struct marker *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    if (!file_read(root, FILE_MARKER, MARKER_MAX_BYTES, &text, err)) {
        if (err->kind == ERR_SYSTEM)
            err->kind = err->os_errno == EACCES || err->os_errno == EPERM ? ERR_DENIED
                                                                          : ERR_UNAVAILABLE;
        return false;
    }
    if (json_read(buf_view(&text), FILE_MARKER, MARKER_MAX_BYTES, &marker_table, out, err))
        return true;
    err->kind = ERR_CORRUPT;
    return false;
}

/* What a mkfs or a killed creator leaves, and the marker of who makes it at this instant. */
static bool is_nothing(const char *name)
{
    static const char *const nothing[] = { ".", "..", "lost+found", FILE_MARKER };
    for (size_t i = 0; i < COUNT(nothing); i++)
        if (strcmp(name, nothing[i]) == 0)
            return true;
    return strncmp(name, FILE_TEMP, strlen(FILE_TEMP)) == 0;
}

/* A directory that does not list is not empty. */
static bool is_empty(int root, bool *out, struct err *err)
{
    int copy = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (dir == NULL)
        return file_failed(err, errno, ERR_UNAVAILABLE, "list directory");
    *out = true;
    errno = 0;
    for (struct dirent *at; (at = readdir(dir)) != NULL; errno = 0)
        *out = *out && is_nothing(at->d_name);
    int failed = errno;
    (void)closedir(dir);
    return failed == 0 || file_failed(err, failed, ERR_UNAVAILABLE, "list directory");
}

static bool marker_make(int root, struct err *err)
{
    bool empty = false;
    if (!is_empty(root, &empty, err))
        return false;
    if (!empty)
        return err_set(err, ERR_UNAVAILABLE, "no \"%s\" in it, and it is not empty", FILE_MARKER);
    uint8_t id[STORE_ID_BYTES];
    if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
        return err_sys(err, errno, "random bytes");
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct json_out o = json_out_to(&text);
    json_out_object(&o, NULL);
    json_out_int(&o, "agent_store", 1);
    json_out_hex(&o, "id", view_of(id, sizeof(id)));
    json_out_close(&o);
    json_out_finish(&o);
    buf_put_str(&text, "\n");
    struct err mine;
    if (file_publish(root, FILE_MARKER, buf_view(&text), 0600, FILE_EXCLUSIVE, &mine) ||
        mine.kind == ERR_CONFLICT) /* somebody made it at the same instant */
        return true;
    return file_failed(err, mine.os_errno, ERR_UNAVAILABLE, "make \"%s\"", FILE_MARKER);
}

const char *file_network_name(unsigned long magic)
{
    for (size_t i = 0; i < COUNT(network); i++)
        if (network[i].magic == (magic & 0xffffffffUL))
            return network[i].name;
    return NULL;
}

static bool check_filesystem(const struct file_store *store, int root, struct err *err)
{
    struct statfs fs;
    if (store->may_network)
        return true;
    if (fstatfs(root, &fs) < 0)
        return file_failed(err, errno, ERR_UNAVAILABLE, "stat file system");
    const char *name = file_network_name((unsigned long)fs.f_type);
    return name == NULL || err_set(err, ERR_INVALID,
                                   "on %s, whose locks may be local to one client; "
                                   "\"?network=true\" accepts it",
                                   name);
}

static bool root_find(struct file_store *store, bool may_create, struct fd *out, struct err *err)
{
    const int how = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
    *out = (struct fd){ open(store->root, how) };
    if (out->raw < 0 && errno == ENOENT && may_create) {
        if (!dir_make(store->root, 0700, err))
            return file_failed(err, err->os_errno, ERR_UNAVAILABLE, "make directory");
        *out = (struct fd){ open(store->root, how) };
    }
    return out->raw >= 0 || file_failed(err, errno, ERR_UNAVAILABLE, "open");
}

/* What this path must hold: the store of the first visit, of the URL, or of the note. */
struct expected {
    bool has_id, is_noted; /* is_noted: by the note alone */
    uint8_t id[STORE_ID_BYTES];
};

static bool root_expect(const struct file_store *store, struct expected *out, struct err *err)
{
    *out = (struct expected){ .has_id = store->has_id };
    memcpy(out->id, store->id, sizeof(out->id));
    if (out->has_id)
        return true;
    if (!known_read(&store->known, &out->is_noted, out->id, err))
        return false;
    out->has_id = out->is_noted;
    return true;
}

/* Names the note that holds us back. It comes first and there is no command to type in it: the text
 * ends as a task event, which is cut; store.c keeps what it puts before short. What to do with the
 * note: docs/stores.md. */
static bool name_note(const struct file_store *store, struct err *err)
{
    return err_wrap(err, "note %s in " KNOWN_DIR " beside the key file expects its store",
                    store->known.name);
}

/* A path with nothing at it, on a node that never met a store there: a first start, perhaps. */
static bool advise_create(struct err *err)
{
    struct err why = *err;
    (void)err_set(err, why.kind, "%.120s; for a new store add ?create=true", why.msg);
    err->os_errno = why.os_errno;
    return false;
}

/* Noted before it counts as seen: the next process may be the one that finds the path empty. */
static bool root_recognise(struct file_store *store, const struct expected *expected,
                           const struct marker *marker, struct err *err)
{
    if (expected->has_id && memcmp(expected->id, marker->id, sizeof(marker->id)) != 0)
        return err_set(err, ERR_UNAVAILABLE, "another store is at this path now");
    if (!expected->has_id && !known_note(&store->known, store->base.url, marker->id, err))
        return err_wrap(err, "remember this store");
    memcpy(store->id, marker->id, sizeof(store->id));
    store->has_id = true;
    return true;
}

static bool root_prove(struct file_store *store, const struct expected *expected, struct fd *out,
                       struct err *err)
{
    bool may_create = store->may_create && !expected->has_id && !store->known.is_fixed;
    if (!root_find(store, may_create, out, err)) {
        bool may_be_first = !expected->has_id && !store->may_create && !store->known.is_fixed;
        return may_be_first && err->os_errno == ENOENT && advise_create(err);
    }
    if (!check_filesystem(store, out->raw, err))
        return false;
    struct marker marker;
    struct err first;
    bool good = marker_read(out->raw, &marker, &first);
    if (!good && first.kind == ERR_NOT_FOUND && may_create)
        good = marker_make(out->raw, &first) && marker_read(out->raw, &marker, &first);
    if (!good) {
        *err = first;
        return false;
    }
    return root_recognise(store, expected, &marker, err);
}

bool file_root_open(struct file_store *store, struct fd *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd root = FD_NONE;
    struct expected expected;
    struct err why = { 0 };
    if (!root_expect(store, &expected, &why) || !root_prove(store, &expected, &root, &why)) {
        *err = why;
        if (err->kind == ERR_NOT_FOUND)
            err->kind = ERR_UNAVAILABLE; /* the store did not answer: it is not there */
        if (expected.is_noted && err->kind == ERR_UNAVAILABLE)
            return name_note(store, err);
        return false;
    }
    *out = fd_take(&root);
    return true;
}
