#include "driver/logs/rotation.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/base/own.h"

#define LOG_MODE   0644
#define TRIES_MAX  64 /* numbers that somebody else has taken */
#define DIGITS_MAX 9

void rotation_init(struct rotation *rotation, int dir_fd, const char *stem, uint64_t max_bytes,
                   uint32_t max_files)
{
    assert(strlen(stem) <= ROTATION_STEM_MAX && max_bytes > 0 && max_files > 0);
    *rotation = (struct rotation){
        .dir_fd = dir_fd, .max_bytes = max_bytes, .max_files = max_files, .file = FD_NONE
    };
    memcpy(rotation->stem, stem, strlen(stem) + 1);
}

struct name {
    char text[ROTATION_STEM_MAX + 16];
};

static struct name name_of(const struct rotation *rotation, uint32_t number)
{
    struct name name;
    (void)snprintf(name.text, sizeof(name.text), "%s.%u", rotation->stem, (unsigned)number);
    return name;
}

/* The number behind "<stem>."; false for any other name, "01" among them. */
static bool number_of(const struct rotation *rotation, const char *name, uint32_t *out)
{
    const size_t len = strlen(rotation->stem);
    if (strncmp(name, rotation->stem, len) != 0 || name[len] != '.')
        return false;
    const char *digits = name + len + 1;
    const size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > DIGITS_MAX || digits[count] != '\0' ||
        (digits[0] == '0' && count > 1))
        return false;
    *out = 0;
    for (size_t i = 0; i < count; i++)
        *out = *out * 10 + (uint32_t)(digits[i] - '0');
    return true;
}

static bool is_ours(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_nlink == 1 && st->st_uid == geteuid();
}

struct kernel_entry { /* of getdents64(2) */
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
};

typedef void entry_fn(struct rotation *rotation, uint32_t number, uint32_t *state);

/* Calls `each` with the number of every file of this stream. A directory that cannot be read has
 * none. opendir would allocate. */
static void each_number(struct rotation *rotation, entry_fn *each, uint32_t *state)
{
    _Alignas(struct kernel_entry) char block[4096];
    long len;
    CLEANUP(fd_closep)
    struct fd dir = { openat(rotation->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    while (fd_is_open(dir) && (len = syscall(SYS_getdents64, dir.raw, block, sizeof(block))) > 0)
        for (long at = 0; at < len;) {
            const struct kernel_entry *entry = (const void *)(block + at);
            uint32_t number;
            if (number_of(rotation, entry->name, &number))
                each(rotation, number, state);
            at += entry->length;
        }
}

static void keep_newest(struct rotation *rotation, uint32_t number, uint32_t *newest)
{
    struct stat st;
    if (*newest != UINT32_MAX && number <= *newest)
        return;
    const struct name name = name_of(rotation, number);
    if (fstatat(rotation->dir_fd, name.text, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_ours(&st))
        *newest = number;
}

static void remove_old(struct rotation *rotation, uint32_t number, uint32_t *first_kept)
{
    struct stat st;
    if (number >= *first_kept)
        return;
    const struct name name = name_of(rotation, number);
    if (fstatat(rotation->dir_fd, name.text, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_ours(&st))
        (void)unlinkat(rotation->dir_fd, name.text, 0);
}

/* False with EEXIST in errno when what has that name is not ours to write in. */
static bool open_number(struct rotation *rotation, uint32_t number)
{
    struct stat st;
    const struct name name = name_of(rotation, number);
    CLEANUP(fd_closep)
    struct fd file = { openat(rotation->dir_fd, name.text,
                              O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                              LOG_MODE) };
    if (!fd_is_open(file)) { /* a link, a FIFO without a reader, a directory, a file of another */
        if (errno == ELOOP || errno == ENXIO || errno == EISDIR || errno == EACCES)
            errno = EEXIST;
        return false;
    }
    if (fstat(file.raw, &st) != 0)
        return false;
    /* Locked: an earlier launch's scribe may still write its last words, at a position of its own.
     */
    const bool is_free = is_ours(&st) && flock(file.raw, LOCK_EX | LOCK_NB) == 0;
    const off_t end = is_free ? lseek(file.raw, 0, SEEK_END) : -1;
    if (end < 0) {
        errno = EEXIST;
        return false;
    }
    rotation->file = fd_take(&file);
    rotation->number = number;
    rotation->size = (uint64_t)end;
    return true;
}

static void keep_highest(struct rotation *rotation, uint32_t number, uint32_t *highest)
{
    (void)rotation;
    *highest = number > *highest ? number : *highest;
}

/* The first number from `from` on that can be ours; when too many are taken, behind them all. */
static bool open_from(struct rotation *rotation, uint32_t from, struct err *err)
{
    uint32_t number = from;
    errno = EEXIST;
    for (int i = 0; i < TRIES_MAX && number <= ROTATION_LAST; i++, number++) {
        if (open_number(rotation, number))
            return true;
        if (errno != EEXIST)
            break;
    }
    uint32_t highest = 0;
    if (errno == EEXIST)
        each_number(rotation, keep_highest, &highest);
    if (highest >= number && highest < ROTATION_LAST && open_number(rotation, highest + 1))
        return true;
    return err_sys(err, errno, "open log \"%s.%u\"", rotation->stem, (unsigned)number);
}

static bool is_full(const struct rotation *rotation)
{
    return rotation->size >= rotation->max_bytes && rotation->number < ROTATION_LAST;
}

static bool has_name(const struct rotation *rotation)
{
    struct stat st;
    return fstat(rotation->file.raw, &st) == 0 && st.st_nlink > 0;
}

static bool open_newest(struct rotation *rotation, struct err *err)
{
    uint32_t newest = UINT32_MAX;
    each_number(rotation, keep_newest, &newest);
    return open_from(rotation, newest == UINT32_MAX ? 0 : newest, err);
}

static bool open_next(struct rotation *rotation, struct err *err)
{
    const uint32_t next = rotation->number + 1;
    fd_closep(&rotation->file);
    if (!open_from(rotation, next, err))
        return false;
    uint32_t first_kept = rotation->number < rotation->max_files
                              ? 0
                              : rotation->number - rotation->max_files + 1;
    each_number(rotation, remove_old, &first_kept);
    return true;
}

bool rotation_ready(struct rotation *rotation, struct err *err)
{
    if (fd_is_open(rotation->file) && !has_name(rotation))
        fd_closep(&rotation->file);
    if (!fd_is_open(rotation->file) && !open_newest(rotation, err))
        return false;
    return !is_full(rotation) || open_next(rotation, err);
}

void rotation_wrote(struct rotation *rotation, uint64_t count) { rotation->size += count; }

void rotation_fini(struct rotation *rotation) { fd_closep(&rotation->file); }
