#include "driver/enter/v1.h"

#include "common/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES 4096

struct line_reader {
    int fd;
    char bytes[LINE_MAX_BYTES];
    size_t begin, end;
};

/* The next line without its newline, lent; false at the end. A longer line comes in pieces, none of
 * which is a line of ours. */
static bool next_line(struct line_reader *r, struct view *out)
{
    for (;;) {
        char *at = memchr(r->bytes + r->begin, '\n', r->end - r->begin);
        bool is_full = r->begin == 0 && r->end == sizeof(r->bytes);
        if (at != NULL || is_full) {
            size_t len = at != NULL ? (size_t)(at - r->bytes) - r->begin : r->end;
            *out = view_of(r->bytes + r->begin, len);
            r->begin += len + (at != NULL);
            return true;
        }
        memmove(r->bytes, r->bytes + r->begin, r->end - r->begin);
        r->end -= r->begin;
        r->begin = 0;
        ssize_t got = read(r->fd, r->bytes + r->end, sizeof(r->bytes) - r->end);
        if (got <= 0)
            return false;
        r->end += (size_t)got;
    }
}

/* Up to the first `stop`, which is taken too; false when it does not come. */
static bool take_until(struct view *rest, char stop, struct view *out)
{
    const uint8_t *at = rest->len == 0 ? NULL : memchr(rest->data, stop, rest->len);
    if (at == NULL)
        return false;
    *out = view_of(rest->data, (size_t)(at - rest->data));
    *rest = view_of(at + 1, rest->len - out->len - 1);
    return true;
}

static bool copy_text(char *out, size_t size, struct view text)
{
    if (text.len >= size)
        return false;
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

bool v1_place_parse(struct view line, struct v1_place *out)
{
    struct view number, controllers;
    return take_until(&line, ':', &number) && take_until(&line, ':', &controllers) &&
           controllers.len > 0 && line.len > 0 && line.data[0] == '/' &&
           copy_text(out->controllers, sizeof(out->controllers), controllers) &&
           copy_text(out->path, sizeof(out->path), line);
}

static bool has_option(struct view options, struct view wanted)
{
    while (options.len > 0) {
        struct view one = options;
        if (!take_until(&options, ',', &one))
            options.len = 0;
        if (view_is_equal(one, wanted))
            return true;
    }
    return false;
}

static bool has_controllers(struct view options, const char *controllers)
{
    struct view rest = view_str(controllers);
    while (rest.len > 0) {
        struct view one = rest;
        if (!take_until(&rest, ',', &one))
            rest.len = 0;
        if (!has_option(options, one))
            return false;
    }
    return true;
}

/* 36 35 0:30 ROOT POINT rw,nosuid shared:11 - cgroup cgroup rw,cpu,cpuacct */
bool v1_mount_parse(struct view line, const char *controllers, struct v1_mount *out)
{
    struct view word, root = { 0 }, point = { 0 };
    for (int i = 0; i < 5; i++) {
        if (!take_until(&line, ' ', &word))
            return false;
        if (i == 3)
            root = word;
        if (i == 4)
            point = word;
    }
    do
        if (!take_until(&line, ' ', &word))
            return false;
    while (!view_is_equal(word, view_str("-")));
    return take_until(&line, ' ', &word) && view_is_equal(word, view_str("cgroup")) &&
           take_until(&line, ' ', &word) && has_controllers(line, controllers) &&
           copy_text(out->root, sizeof(out->root), root) &&
           copy_text(out->point, sizeof(out->point), point);
}

/* `path` of the hierarchy as a path of ours; false when that part of it is not mounted. */
static bool path_at(const struct v1_mount *mount, const char *path, char *out, size_t size)
{
    size_t root_len = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);
    if (strncmp(path, mount->root, root_len) != 0 ||
        (path[root_len] != '/' && path[root_len] != '\0'))
        return false;
    return snprintf(out, size, "%s%s/tasks", mount->point, path + root_len) < (int)size;
}

static bool open_place(const struct v1_place *place, struct fd *out, struct err *err)
{
    struct view line;
    struct v1_mount mount;
    char path[2 * V1_PATH_MAX + 16];
    CLEANUP(fd_closep) struct fd file = { open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC) };
    struct line_reader reader = { .fd = file.raw };
    while (next_line(&reader, &line)) {
        if (!v1_mount_parse(line, place->controllers, &mount) ||
            !path_at(&mount, place->path, path, sizeof(path)))
            continue;
        out->raw = open(path, O_WRONLY | O_CLOEXEC);
        return fd_is_open(*out) || err_sys(err, errno, "open \"%.128s\"", path);
    }
    return err_sys(err, ENOENT, "find cgroup \"%.64s\" of %s", place->path, place->controllers);
}

/* Where we are in that hierarchy. */
static bool is_ours(const struct v1_place *place)
{
    struct view line;
    struct v1_place own;
    CLEANUP(fd_closep) struct fd file = { open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC) };
    struct line_reader reader = { .fd = file.raw };
    while (next_line(&reader, &line))
        if (v1_place_parse(line, &own) && strcmp(own.controllers, place->controllers) == 0)
            return strcmp(own.path, place->path) == 0;
    return false;
}

bool v1_open(pid_t pid, struct v1_cgroups *out, struct err *err)
{
    char path[32];
    struct view line;
    struct v1_place place;
    out->count = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
    CLEANUP(fd_closep) struct fd file = { open(path, O_RDONLY | O_CLOEXEC) };
    if (!fd_is_open(file) && errno == ENOENT)
        return err_set(err, ERR_NOT_FOUND, "join the task: it has ended");
    if (!fd_is_open(file))
        return err_sys(err, errno, "read \"%s\"", path);
    struct line_reader reader = { .fd = file.raw };
    while (next_line(&reader, &line)) {
        if (!v1_place_parse(line, &place) || is_ours(&place))
            continue;
        if (out->count == V1_MAX)
            return err_sys(err, E2BIG, "read \"%s\"", path);
        if (!open_place(&place, &out->tasks[out->count], err))
            return false;
        out->count++;
    }
    return true;
}

int v1_join(const struct v1_cgroups *cgroups)
{
    for (size_t i = 0; i < cgroups->count; i++)
        if (write(cgroups->tasks[i].raw, "0", 1) != 1)
            return errno;
    return 0;
}

void v1_fini(struct v1_cgroups *cgroups)
{
    for (size_t i = 0; i < cgroups->count; i++)
        fd_closep(&cgroups->tasks[i]);
    cgroups->count = 0;
}
