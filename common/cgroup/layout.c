#include "common/cgroup/layout.h"

#include "common/base/fd.h"
#include "common/base/own.h"

#include <fcntl.h>
#include <stdio.h>

#define NAME_ROW(controller, v1, v2) [CGROUP_##controller] = { v1, v2 },
static const char *const names[CGROUP_CONTROLLER_COUNT][2] = { CGROUP_CONTROLLERS(NAME_ROW) };

const char *cgroup_controller_name(enum cgroup_controller controller, int version)
{
    return names[controller][version == 2];
}

/* The next piece of `text` up to a byte of `ends`; false at its end. */
static bool next_piece(struct view *text, const char *ends, struct view *out)
{
    while (text->len > 0 && strchr(ends, text->data[0]) != NULL)
        *text = view_of(text->data + 1, text->len - 1);
    size_t len = 0;
    while (len < text->len && strchr(ends, text->data[len]) == NULL)
        len++;
    *out = view_of(text->data, len);
    *text = view_of(text->data + len, text->len - len);
    return len > 0;
}

static unsigned bits_of(struct view list, const char *ends, int version)
{
    unsigned bits = 0;
    struct view word;
    while (next_piece(&list, ends, &word))
        for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
            if (view_is_equal(word, view_str(cgroup_controller_name(i, version))))
                bits |= CGROUP_BIT(i);
    return bits;
}

unsigned cgroup_controllers_in(const char *dir, const char *file)
{
    char path[2 * CGROUP_PATH_MAX], text[512];
    struct err ignored = { 0 };
    size_t len = 0;
    (void)snprintf(path, sizeof(path), "%s/%s", dir, file);
    CLEANUP(fd_closep) struct fd in = { open(path, O_RDONLY | O_CLOEXEC) };
    if (!fd_is_open(in) || !fd_read_full(in.raw, text, sizeof(text), &len, &ignored))
        return 0;
    return bits_of(view_of(text, len), " \n", 2);
}

/* A part of the hierarchy is all that a container may see; the whole is better. */
static void keep(char slot[CGROUP_PATH_MAX], const struct cgroup_mount_point *found)
{
    if (slot[0] == '\0')
        memcpy(slot, found->path, CGROUP_PATH_MAX);
}

void cgroup_layout_add(struct cgroup_layout *out, struct view mountinfo_line)
{
    struct cgroup_mount_point found;
    struct view options;
    if (cgroup_mount_parse(mountinfo_line, &found)) {
        keep(out->unified, &found);
        return;
    }
    if (!cgroup_mount_parse_v1(mountinfo_line, &found, &options))
        return;
    const unsigned bits = bits_of(options, ",", 1);
    for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        if (bits & CGROUP_BIT(i))
            keep(out->v1[i], &found);
}

struct reading {
    struct cgroup_layout *out;
    bool is_whole; /* the lines wanted now: mounts of whole hierarchies, then of parts */
};

static bool on_line(void *arg, struct view line)
{
    const struct reading *reading = arg;
    struct cgroup_mount_point found;
    struct view options;
    if ((cgroup_mount_parse(line, &found) || cgroup_mount_parse_v1(line, &found, &options)) &&
        (strcmp(found.root, "/") == 0) == reading->is_whole)
        cgroup_layout_add(reading->out, line);
    return true;
}

/* Puts `root` before a path that is there. */
static void below_root(const char *root, char path[CGROUP_PATH_MAX])
{
    char full[2 * CGROUP_PATH_MAX];
    if (path[0] == '\0' || root[0] == '\0')
        return;
    const int len = snprintf(full, sizeof(full), "%s%s", root, path);
    path[0] = '\0';
    if (len > 0 && len < CGROUP_PATH_MAX)
        memcpy(path, full, (size_t)len + 1);
}

void cgroup_layout_read(const char *root, struct cgroup_layout *out)
{
    char mountinfo[CGROUP_PATH_MAX];
    struct err ignored = { 0 };
    *out = (struct cgroup_layout){ 0 };
    (void)snprintf(mountinfo, sizeof(mountinfo), "%s/proc/self/mountinfo", root);
    for (int is_whole = 1; is_whole >= 0; is_whole--) {
        struct reading reading = { out, is_whole };
        if (!cgroup_each_line(mountinfo, on_line, &reading, &ignored))
            return;
    }
    below_root(root, out->unified);
    for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        below_root(root, out->v1[i]);
    if (out->unified[0] != '\0')
        out->unified_has = cgroup_controllers_in(out->unified, "cgroup.controllers");
}

int cgroup_layout_version(const struct cgroup_layout *layout, enum cgroup_controller controller)
{
    if (layout->unified_has & CGROUP_BIT(controller))
        return 2;
    return layout->v1[controller][0] != '\0' ? 1 : 0;
}

struct finding {
    enum cgroup_controller controller;
    const char *mount;
    char *out;
};

/* "4:memory:/nomad/x": hierarchy, controllers, path. */
static bool on_membership(void *arg, struct view line)
{
    const struct finding *finding = arg;
    struct view id, controllers;
    if (!next_piece(&line, ":", &id) || line.len < 2 || line.data[1] == ':')
        return true; /* v2 has no controllers there */
    if (!next_piece(&line, ":", &controllers) || line.len < 2 ||
        !(bits_of(controllers, ",", 1) & CGROUP_BIT(finding->controller)))
        return true;
    const int len = snprintf(finding->out, CGROUP_PATH_MAX, "%s%.*s", finding->mount,
                             (int)(line.len - 1), (const char *)line.data + 1);
    if (len >= CGROUP_PATH_MAX)
        finding->out[0] = '\0';
    else if (len > 0 && finding->out[len - 1] == '/')
        finding->out[len - 1] = '\0'; /* the root itself */
    return false;
}

void cgroup_layout_find(const struct cgroup_layout *layout, pid_t pid,
                        enum cgroup_controller controller, char out[CGROUP_PATH_MAX])
{
    char path[64];
    struct err ignored = { 0 };
    struct finding finding = { controller, layout->v1[controller], out };
    out[0] = '\0';
    (void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
    if (finding.mount[0] != '\0' && !cgroup_each_line(path, on_membership, &finding, &ignored))
        out[0] = '\0';
}
