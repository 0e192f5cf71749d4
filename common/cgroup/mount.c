#include "common/cgroup/mount.h"

#include "common/base/fd.h"
#include "common/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define LINE_BYTES 4096 /* longer lines (overlays with many layers) are no cgroup mounts */

bool cgroup_each_line(const char *path, cgroup_line_fn *each, void *arg, struct err *err)
{
    CLEANUP(fd_closep) struct fd file = { open(path, O_RDONLY | O_CLOEXEC) };
    if (file.raw < 0)
        return err_sys(err, errno, "open \"%s\"", path);
    char text[LINE_BYTES];
    size_t len = 0, got = 0;
    bool is_tail = false; /* of a line too long */
    do {
        if (!fd_read_full(file.raw, text + len, sizeof(text) - len, &got, err))
            return err_wrap(err, "read \"%s\"", path);
        len += got;
        char *at = text, *end;
        while ((end = memchr(at, '\n', (size_t)(text + len - at))) != NULL) {
            if (!is_tail && !each(arg, view_of(at, (size_t)(end - at))))
                return true;
            is_tail = false;
            at = end + 1;
        }
        len = (size_t)(text + len - at);
        memmove(text, at, len);
        is_tail = is_tail || len == sizeof(text);
        len = len == sizeof(text) ? 0 : len;
    } while (got > 0);
    return true;
}

/* The next word of `line`, which is moved on. */
static struct view next_word(struct view *line)
{
    const uint8_t *space = line->len == 0 ? NULL : memchr(line->data, ' ', line->len);
    size_t len = space == NULL ? line->len : (size_t)(space - line->data);
    struct view word = view_of(line->data, len);
    size_t step = space == NULL ? len : len + 1;
    *line = view_of(line->data + step, line->len - step);
    return word;
}

/* mountinfo writes space, tab, newline and backslash as three octal digits. */
static bool unescape(struct view word, char out[CGROUP_PATH_MAX])
{
    size_t used = 0;
    for (size_t i = 0; i < word.len; i++) {
        unsigned byte = word.data[i];
        if (byte == '\\' && i + 3 < word.len) {
            byte = (unsigned)((word.data[i + 1] - '0') * 64 + (word.data[i + 2] - '0') * 8 +
                              (word.data[i + 3] - '0'));
            i += 3;
        }
        if (used + 1 >= CGROUP_PATH_MAX)
            return false;
        out[used++] = (char)byte;
    }
    out[used] = '\0';
    return true;
}

/* One of file system `type`; what is left of the line afterwards is source and options. */
static bool parse(struct view *line, const char *type, struct cgroup_mount_point *out)
{
    struct view root = { 0 }, point = { 0 };
    for (int field = 0; field < 5; field++) { /* id, parent, device, root, mount point */
        root = point;
        point = next_word(line);
    }
    struct view word;
    do
        word = next_word(line);
    while (word.len > 0 && !view_is_equal(word, view_str("-")));
    if (!view_is_equal(next_word(line), view_str(type)))
        return false;
    return unescape(root, out->root) && unescape(point, out->path);
}

bool cgroup_mount_parse(struct view line, struct cgroup_mount_point *out)
{
    return parse(&line, "cgroup2", out);
}

bool cgroup_mount_parse_v1(struct view line, struct cgroup_mount_point *out,
                           struct view *out_options)
{
    if (!parse(&line, "cgroup", out))
        return false;
    (void)next_word(&line); /* source */
    *out_options = next_word(&line);
    return true;
}

static bool keep_mount(void *arg, struct view line)
{
    struct cgroup_mount_point *best = arg, found;
    if (!cgroup_mount_parse(line, &found))
        return true;
    if (best->path[0] == '\0' || strcmp(found.root, "/") == 0)
        *best = found;
    return strcmp(best->root, "/") != 0; /* one that shows everything is best */
}

static bool find_mount(struct cgroup_mount_point *out, struct err *err)
{
    out->path[0] = out->root[0] = '\0';
    if (!cgroup_each_line("/proc/self/mountinfo", keep_mount, out, err))
        return false;
    return out->path[0] != '\0' || err_set(err, ERR_NOT_FOUND, "find cgroup v2: not mounted");
}

bool cgroup_mount(char out[CGROUP_PATH_MAX], struct err *err)
{
    struct cgroup_mount_point mount;
    if (!find_mount(&mount, err))
        return false;
    memcpy(out, mount.path, CGROUP_PATH_MAX);
    return true;
}

static bool keep_own(void *arg, struct view line)
{
    char *own = arg;
    if (line.len < 4 || memcmp(line.data, "0::/", 4) != 0)
        return true;
    struct view path = view_of(line.data + 3, line.len - 3);
    if (path.len < CGROUP_PATH_MAX) {
        memcpy(own, path.data, path.len);
        own[path.len] = '\0';
    }
    return false;
}

bool cgroup_own(char out[CGROUP_PATH_MAX], struct err *err)
{
    struct cgroup_mount_point mount;
    char own[CGROUP_PATH_MAX] = "";
    if (!find_mount(&mount, err) || !cgroup_each_line("/proc/self/cgroup", keep_own, own, err))
        return false;
    if (own[0] == '\0')
        return err_set(err, ERR_NOT_FOUND, "find own cgroup: no v2 line in /proc/self/cgroup");
    const char *below = own;
    size_t root = strlen(mount.root);
    if (root > 1 && strncmp(own, mount.root, root) == 0)
        below = own + root; /* bind-mounted part of the hierarchy, as in containers */
    int len = snprintf(out, CGROUP_PATH_MAX, "%s%s", mount.path, strcmp(below, "/") ? below : "");
    if (len < 0 || len >= CGROUP_PATH_MAX)
        return err_set(err, ERR_SYSTEM, "find own cgroup: path of %d bytes", len);
    return true;
}
