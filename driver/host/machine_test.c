#include "driver/host/machine.h"

#include <criterion/criterion.h>

Test(machine, what_was_read_once_is_what_the_kernel_says)
{
    struct machine machine;
    struct isolation_kernel kernel;
    struct cgroup_layout layout;
    char own[CGROUP_PATH_MAX] = "";
    struct err err = { 0 };
    machine_read(&machine);
    isolation_kernel_read(&kernel);
    cgroup_layout_read("", &layout);
    cr_expect_eq(machine.kernel.is_root, kernel.is_root);
    cr_expect_eq(machine.kernel.can_mount, kernel.can_mount);
    cr_expect_eq(machine.kernel.landlock_abi, kernel.landlock_abi);
    cr_expect_str_eq(machine.layout.unified, layout.unified);
    for (unsigned c = 0; c < CGROUP_CONTROLLER_COUNT; c++)
        cr_expect_str_eq(machine.layout.v1[c], layout.v1[c]);
    if (cgroup_own(own, &err))
        cr_expect_str_eq(machine.own_cgroup, own);
    else
        cr_expect_eq(machine.own_cgroup[0], '\0');
}

Test(machine, its_descriptors_are_raised_and_what_they_were_is_known)
{
    struct rlimit now;
    struct machine machine;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
    now.rlim_cur = 64;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
    machine_read(&machine);
    machine_raise_files(&machine);
    cr_expect_eq(machine.files.rlim_cur, 64);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
    cr_expect_eq(now.rlim_cur, now.rlim_max);
    cr_expect_eq(now.rlim_max, machine.files.rlim_max);
}
