#include "sidecar/store/file_register.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/base/text.h"
#include "sidecar/store/file_spare.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/random.h>

#define RECORD_FILE    "record"
#define HEADER_MAX     ((size_t)96)
#define RECORD_SPACE   ((size_t)20480) /* the largest record and its header, in whole blocks */
#define LOOK_LOCAL_MS  500
#define LOOK_REMOTE_MS 100 /* inotify does not see what other clients write */

_Static_assert(RECORD_SPACE >= STORE_RECORD_MAX + HEADER_MAX, "every record fits");

struct header {
    uint64_t counter;
    uint64_t random;
    size_t header_len, record_len;
};

static struct file_store *file_of(struct store *store)
{
    return (struct file_store *)(void *)store;
}

static void version_print(const struct header *h, struct store_version *out)
{
    *out = (struct store_version){ 0 };
    (void)snprintf(out->text, sizeof(out->text), "%" PRIu64 "-%016" PRIx64, h->counter, h->random);
}

static size_t header_print(const struct header *h, char out[HEADER_MAX])
{
    int len = snprintf(out, HEADER_MAX, "agent-register 1 %" PRIu64 " %016" PRIx64 " %zu\n",
                       h->counter, h->random, h->record_len);
    return (size_t)len;
}

/* Accepts exactly what header_print writes, so that there is one form of each version. */
static bool header_parse(struct view bytes, struct header *out, struct err *err)
{
    char line[HEADER_MAX], again[HEADER_MAX];
    const uint8_t *end = memchr(bytes.data, '\n', bytes.len < HEADER_MAX ? bytes.len : HEADER_MAX);
    size_t len = end == NULL ? 0 : (size_t)(end - bytes.data) + 1;
    if (len == 0 || len >= sizeof(line))
        return err_set(err, ERR_CORRUPT, "no header line");
    memcpy(line, bytes.data, len);
    line[len] = '\0';
    *out = (struct header){ .header_len = len };
    if (sscanf(line, "agent-register 1 %" SCNu64 " %" SCNx64 " %zu", &out->counter, &out->random,
               &out->record_len) != 3)
        return err_set(err, ERR_CORRUPT, "not a record of format 1");
    (void)header_print(out, again);
    bytes = view_of(bytes.data + len, bytes.len - len);
    if (strcmp(line, again) != 0 || out->record_len == 0 || out->record_len > STORE_RECORD_MAX ||
        out->record_len > bytes.len)
        return err_set(err, ERR_CORRUPT, "header does not fit the %zu bytes that follow",
                       bytes.len);
    for (size_t i = out->record_len; i < bytes.len; i++)
        if (bytes.data[i] != 0)
            return err_set(err, ERR_CORRUPT, "more than the %zu bytes of the header follow",
                           out->record_len);
    return true;
}

/* The whole file; NOT_FOUND when there is none. */
static bool load(int agent_dir, struct deadline until, struct buf *out, struct header *out_header,
                 struct err *err)
{
    return file_spare_read(agent_dir, RECORD_FILE, RECORD_SPACE, until, out, err) &&
           header_parse(buf_view(out), out_header, err);
}

/* A missing directory means that the agent has no record, in a store that answered. */
static bool load_by_name(struct file_store *store, const char *name, struct deadline until,
                         struct buf *out, struct header *out_header, struct err *err)
{
    CLEANUP(fd_closep) struct fd dir = FD_NONE;
    return file_agent_open(store, name, FILE_EXISTING, &dir, err) &&
           load(dir.raw, until, out, out_header, err);
}

bool file_record_read(struct store *store, const char *name, struct deadline until, struct buf *out,
                      struct store_version *out_version, struct err *err)
{
    CLEANUP(buf_fini) struct buf file = { 0 };
    struct header header;
    if (!load_by_name(file_of(store), name, until, &file, &header, err))
        return false;
    buf_put(out, view_of(file.data + header.header_len, header.record_len));
    version_print(&header, out_version);
    return true;
}

/* Only writers of this record make such names here, and they hold the lock that we hold now. */
static void remove_leftovers(int agent_dir)
{
    int copy = openat(agent_dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (dir == NULL)
        return;
    for (struct dirent *at; (at = readdir(dir)) != NULL;)
        if (strncmp(at->d_name, FILE_TEMP, strlen(FILE_TEMP)) == 0)
            (void)unlinkat(agent_dir, at->d_name, 0);
    (void)closedir(dir);
}

static bool compare(int agent_dir, const struct store_version *expected, struct deadline until,
                    uint64_t *out_counter, struct err *err)
{
    CLEANUP(buf_fini) struct buf file = { 0 };
    struct header header;
    struct store_version now;
    struct err mine;
    *out_counter = 0;
    if (!load(agent_dir, until, &file, &header, &mine)) {
        if (mine.kind == ERR_NOT_FOUND)
            return expected == NULL || err_set(err, ERR_CONFLICT, "there is none any more");
        *err = mine;
        return false;
    }
    version_print(&header, &now);
    if (expected == NULL)
        return err_set(err, ERR_CONFLICT, "exists");
    if (!store_version_is_equal(expected, &now))
        return err_set(err, ERR_CONFLICT, "version is %s, not %s", now.text, expected->text);
    *out_counter = header.counter;
    return true;
}

static bool publish(int agent_dir, bool is_new, struct header *header, struct view record,
                    struct deadline until, struct err *err)
{
    char line[HEADER_MAX];
    CLEANUP(buf_fini) struct buf file = { 0 };
    header->record_len = record.len;
    buf_put(&file, view_of(line, header_print(header, line)));
    buf_put(&file, record);
    /* A failure after the rename leaves the outcome open, and nothing tells it from one before. */
    return file_spare_publish(agent_dir, RECORD_FILE, is_new, buf_view(&file), RECORD_SPACE, until,
                              err) ||
           err_wrap(err, "publish record");
}

bool file_record_write(struct store *store, const char *name, const struct store_version *expected,
                       struct view record, struct deadline until, struct store_version *out_version,
                       struct err *err)
{
    CLEANUP(fd_closep) struct fd dir = FD_NONE;
    enum file_make make = expected == NULL ? FILE_MAKE : FILE_EXISTING;
    if (!file_agent_open(file_of(store), name, make, &dir, err)) {
        if (err->kind == ERR_NOT_FOUND)
            err->kind = make == FILE_EXISTING ? ERR_CONFLICT : ERR_UNAVAILABLE;
        return false;
    }
    CLEANUP(fd_closep) struct fd lock = FD_NONE;
    if (!file_agent_lock(dir.raw, until, &lock, err))
        return false;
    remove_leftovers(dir.raw);
    struct header header = { 0 };
    if (!compare(dir.raw, expected, until, &header.counter, err))
        return false;
    header.counter++;
    if (getrandom(&header.random, sizeof(header.random), 0) != (ssize_t)sizeof(header.random))
        return err_sys(err, errno, "random bytes");
    if (!publish(dir.raw, expected == NULL, &header, record, until, err))
        return false;
    version_print(&header, out_version);
    return true;
}

/* Waits on `notify` (-1: only time passes) for at most `look_ms`, within the deadline. */
static void wait_for_event(int notify, int64_t look_ms, struct deadline until)
{
    int64_t left_ms = deadline_left_ms(until, boot_now());
    struct pollfd watched = { .fd = notify, .events = POLLIN };
    (void)poll(&watched, 1, (int)(left_ms < look_ms ? left_ms : look_ms));
    uint8_t drained[4096];
    while (notify >= 0 && read(notify, drained, sizeof(drained)) > 0)
        continue;
}

/* -1 when the kernel has no instance left for us: then we look by ourselves. */
static int notify_start(struct file_store *store, const char *name)
{
    CLEANUP(fd_closep) struct fd dir = FD_NONE;
    struct err ignored;
    if (!file_agent_open(store, name, FILE_EXISTING, &dir, &ignored))
        return -1;
    CLEANUP(fd_closep) struct fd notify = { inotify_init1(IN_CLOEXEC | IN_NONBLOCK) };
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", dir.raw);
    if (notify.raw < 0 || inotify_add_watch(notify.raw, path, IN_MOVED_TO | IN_DELETE_SELF) < 0)
        return -1;
    return fd_take(&notify).raw;
}

bool file_record_watch(struct store *store, const char *name, const struct store_version *seen,
                       struct deadline until, struct err *err)
{
    struct file_store *file = file_of(store);
    int64_t look_ms = file->may_network ? LOOK_REMOTE_MS : LOOK_LOCAL_MS;
    CLEANUP(fd_closep) struct fd notify = { notify_start(file, name) };
    while (true) { /* looks after the watch was added: no change falls between */
        CLEANUP(buf_fini) struct buf bytes = { 0 };
        struct store_version now = { 0 };
        struct err mine;
        bool found = file_record_read(store, name, until, &bytes, &now, &mine);
        if (!found && mine.kind != ERR_NOT_FOUND) {
            *err = mine;
            return false;
        }
        if (!store_version_is_equal(seen, &now) || deadline_is_past(until, boot_now()))
            return true;
        wait_for_event(notify.raw, look_ms, until);
    }
}
