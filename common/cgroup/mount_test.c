#include "common/cgroup/mount.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

Test(mount, finds_unified_hybrid_and_partial_mounts)
{
    static const struct {
        const char *line, *path, *root;
    } rows[] = {
        { "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate",
          "/sys/fs/cgroup", "/" },
        { "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
          "/sys/fs/cgroup/unified", "/" },
        { "9 8 0:26 /docker/abc /sys/fs/cgroup ro shared:1 master:2 - cgroup2 cgroup rw",
          "/sys/fs/cgroup", "/docker/abc" },
        { "9 8 0:26 / /mnt/with\\040space rw - cgroup2 none rw", "/mnt/with space", "/" },
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cgroup_mount_point got;
        cr_assert(cgroup_mount_parse(view_str(rows[i].line), &got), "row %zu", i);
        cr_expect_str_eq(got.path, rows[i].path);
        cr_expect_str_eq(got.root, rows[i].root);
    }
}

Test(mount, other_mounts_and_broken_lines_are_none)
{
    static const char *const rows[] = {
        "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755",
        "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu",
        "",
        "1 2 3",
        "9 8 0:26 / /x rw -",
        "9 8 0:26 / /x rw",
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct cgroup_mount_point got;
        cr_expect_not(cgroup_mount_parse(view_str(rows[i]), &got), "row %zu", i);
    }
}

Test(mount, a_path_that_does_not_fit_is_none)
{
    char line[2200] = "9 8 0:26 / /";
    memset(line + strlen(line), 'x', 1100);
    (void)memcpy(line + strlen(line), " rw - cgroup2 c rw", 19);
    struct cgroup_mount_point got;
    cr_assert_not(cgroup_mount_parse(view_str(line), &got));
}

Test(mount, of_this_process_is_a_directory_or_a_clear_error)
{
    struct err err = { 0 };
    char path[CGROUP_PATH_MAX];
    struct stat st;
    if (cgroup_own(path, &err)) {
        cr_assert_eq(stat(path, &st), 0, "%s", path);
        cr_assert(S_ISDIR(st.st_mode));
        cr_assert(cgroup_mount(path, &err));
    } else {
        cr_assert_eq(err.kind, ERR_NOT_FOUND, "%s", err.msg);
    }
}

Test(mount, a_v1_mount_says_its_controllers)
{
    struct cgroup_mount_point got;
    struct view options;
    cr_assert(cgroup_mount_parse_v1(
        view_str("32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"), &got,
        &options));
    cr_expect_str_eq(got.path, "/sys/fs/cgroup/cpu,cpuacct");
    cr_expect(view_is_equal(options, view_str("rw,cpu,cpuacct")));
    cr_expect_not(cgroup_mount_parse_v1(
        view_str("30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"), &got, &options));
}
