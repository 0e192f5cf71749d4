#include "common/cgroup/layout.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/file.h"
#include "common/base/own.h"

static struct cgroup_layout layout_of(const char *const *lines)
{
    struct cgroup_layout got = { 0 };
    for (; *lines != NULL; lines++)
        cgroup_layout_add(&got, view_str(*lines));
    return got;
}

Test(layout, a_hybrid_host_has_its_controllers_in_v1)
{
    static const char *const lines[] = {
        "25 30 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755",
        "26 25 0:23 / /sys/fs/cgroup/unified rw shared:5 - cgroup2 cgroup2 rw,nsdelegate",
        "27 25 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd",
        "28 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
        "29 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
        "30 25 0:27 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio",
        NULL
    };
    const struct cgroup_layout got = layout_of(lines);
    cr_expect_str_eq(got.unified, "/sys/fs/cgroup/unified");
    cr_expect_str_eq(got.v1[CGROUP_MEMORY], "/sys/fs/cgroup/memory");
    cr_expect_str_eq(got.v1[CGROUP_CPU], "/sys/fs/cgroup/cpu,cpuacct");
    cr_expect_str_eq(got.v1[CGROUP_CPUACCT], "/sys/fs/cgroup/cpu,cpuacct");
    cr_expect_str_eq(got.v1[CGROUP_IO], "/sys/fs/cgroup/blkio");
    cr_expect_str_eq(got.v1[CGROUP_PIDS], "");
    cr_expect_eq(cgroup_layout_version(&got, CGROUP_MEMORY), 1);
    cr_expect_eq(cgroup_layout_version(&got, CGROUP_PIDS), 0);
}

Test(layout, a_second_mount_of_a_hierarchy_does_not_count)
{
    static const char *const lines[] = {
        "29 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
        "99 25 0:26 / /tmp/jail/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
        "98 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        "97 25 0:26 / /tmp/jail/cgroup rw - cgroup2 cgroup2 rw", NULL
    };
    const struct cgroup_layout got = layout_of(lines);
    cr_expect_str_eq(got.v1[CGROUP_MEMORY], "/sys/fs/cgroup/memory");
    cr_expect_str_eq(got.unified, "/sys/fs/cgroup");
}

static void put(const char *root, const char *path, const char *text)
{
    struct err err = { 0 };
    CLEANUP(str_freep) char *full = str_format("%s%s", root, path);
    CLEANUP(str_freep) char *dir = str_copy(full);
    *strrchr(dir, '/') = '\0';
    cr_assert(dir_make(dir, 0755, &err), "%s", err.msg);
    cr_assert(file_publish(AT_FDCWD, full, view_str(text), 0644, FILE_REPLACE, &err), "%s",
              err.msg);
}

Test(layout, a_unified_host_says_what_its_root_offers)
{
    char root[] = "/tmp/layout-XXXXXX";
    struct err err = { 0 };
    struct cgroup_layout got;
    cr_assert_not_null(mkdtemp(root));
    put(root, "/proc/self/mountinfo",
        "40 30 0:31 /docker/7 /part rw - cgroup2 cgroup rw\n"
        "41 30 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n");
    put(root, "/sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n");
    cgroup_layout_read(root, &got);
    CLEANUP(str_freep) char *unified = str_format("%s/sys/fs/cgroup", root);
    cr_expect_str_eq(got.unified, unified);
    cr_expect_eq(got.unified_has, CGROUP_BIT(CGROUP_CPUSET) | CGROUP_BIT(CGROUP_CPU) |
                                      CGROUP_BIT(CGROUP_IO) | CGROUP_BIT(CGROUP_MEMORY) |
                                      CGROUP_BIT(CGROUP_PIDS));
    cr_expect_eq(cgroup_layout_version(&got, CGROUP_IO), 2);
    cr_expect_eq(cgroup_layout_version(&got, CGROUP_FREEZER), 0);
    cr_assert(dir_remove_tree(root, &err));
}

Test(layout, what_cannot_be_read_is_absent)
{
    struct cgroup_layout got;
    cgroup_layout_read("/nowhere", &got);
    cr_expect_str_eq(got.unified, "");
    cr_expect_eq(cgroup_controllers_in("/nowhere", "cgroup.controllers"), 0);
    for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        cr_expect_eq(cgroup_layout_version(&got, i), 0);
}

Test(layout, this_machine_is_read_without_an_error)
{
    struct cgroup_layout got;
    struct err err = { 0 };
    char mount[CGROUP_PATH_MAX] = "";
    cgroup_layout_read("", &got);
    if (!cgroup_mount(mount, &err))
        cr_skip_test("no cgroup v2 here");
    cr_expect_str_eq(got.unified, mount);
}

Test(layout, a_process_is_found_in_v1)
{
    struct cgroup_layout layout;
    char found[CGROUP_PATH_MAX];
    cgroup_layout_read("", &layout);
    const char *mount = layout.v1[CGROUP_PIDS];
    CLEANUP(str_freep) char *dir = str_format("%s/layout-test-%d", mount, (int)getpid());
    if (mount[0] == '\0' || mkdir(dir, 0755) < 0)
        cr_skip_test("no v1 pids controller that we may use");
    const pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    CLEANUP(str_freep) char *procs = str_format("%s/cgroup.procs", dir);
    FILE *out = fopen(procs, "we");
    cr_assert_not_null(out);
    cr_assert_gt(fprintf(out, "%d", (int)child), 0);
    cr_assert_eq(fclose(out), 0);
    cgroup_layout_find(&layout, child, CGROUP_PIDS, found);
    cr_expect_str_eq(found, dir);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_expect_eq(rmdir(dir), 0);
    cgroup_layout_find(&layout, child, CGROUP_PIDS, found);
    cr_expect_str_eq(found, "", "a process that is gone is nowhere");
}
