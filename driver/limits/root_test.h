/* root_test.h - a machine's cgroup file systems as plain directories, made and looked at by tests.
 *
 * A directory stands for a cgroup; the files that a kernel would make are made by the test. */
#pragma once
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "driver/limits/apply.h"

struct fake {
    char root[40];
    struct cgroup_layout layout;
    char agent_v2[512];
    struct limits_site site;
};

static inline void fake_path(const struct fake *fake, const char *path, char out[512])
{
    (void)snprintf(out, 512, "%s/%.400s", fake->root, path);
}

static inline void fake_dir(const struct fake *fake, const char *path)
{
    char full[512];
    struct err err = { 0 };
    fake_path(fake, path, full);
    cr_assert(dir_make(full, 0755, &err), "%s", err.msg);
}

static inline void fake_file(const struct fake *fake, const char *path, const char *text)
{
    char full[512];
    struct err err = { 0 };
    fake_path(fake, path, full);
    cr_assert(file_publish(AT_FDCWD, full, view_str(text), 0644, FILE_REPLACE, &err), "%s",
              err.msg);
}

/* What was written, or "absent". A kernel takes a value at a time; a plain file keeps the longest
 * tail, which no test here relies on. */
static inline const char *fake_text(const struct fake *fake, const char *path)
{
    static char text[512];
    char full[512];
    fake_path(fake, path, full);
    FILE *in = fopen(full, "re");
    if (!in)
        return "absent";
    const size_t len = fread(text, 1, sizeof(text) - 1, in);
    text[len] = '\0';
    (void)fclose(in);
    return text;
}

static inline bool fake_has(const struct fake *fake, const char *path)
{
    char full[512];
    fake_path(fake, path, full);
    return access(full, F_OK) == 0;
}

static inline void fake_init(struct fake *fake)
{
    *fake = (struct fake){ .root = "/tmp/limits-XXXXXX" };
    cr_assert_not_null(mkdtemp(fake->root));
    fake->site = (struct limits_site){ .place = { .layout = &fake->layout,
                                                  .agent_v2 = fake->agent_v2,
                                                  .nomad = "",
                                                  .alloc_id = "1a2b",
                                                  .task_name = "web",
                                                  .key = "0123456789abcdef" },
                                       .cpuset = "",
                                       .has_sidecar = true };
}

static inline void fake_fini(struct fake *fake)
{
    struct err err = { 0 };
    cr_assert(dir_remove_tree(fake->root, &err), "%s", err.msg);
}

/* A v1 hierarchy below the root. */
static inline void fake_v1(struct fake *fake, enum cgroup_controller controller)
{
    const char *name = cgroup_controller_name(controller, 1);
    fake_dir(fake, name);
    (void)snprintf(fake->layout.v1[controller], CGROUP_PATH_MAX, "%s/%s", fake->root, name);
}
