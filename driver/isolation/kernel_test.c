#include "driver/isolation/kernel.h"

#include <criterion/criterion.h>
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "driver/isolation/landlock.h"
#include "driver/isolation/mounts.h"

Test(kernel, says_what_the_parts_say)
{
    struct isolation_kernel kernel;
    isolation_kernel_read(&kernel);
    cr_expect_eq(kernel.landlock_abi, isolation_landlock_abi());
    cr_expect(!kernel.can_mount || isolation_can_mount());
}

Test(kernel, an_ordinary_user_may_not_mount)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct isolation_kernel kernel;
        if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0))
            _exit(1);
        isolation_kernel_read(&kernel);
        _exit(!kernel.is_root && !kernel.can_mount ? 0 : 2);
    }
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0);
}
