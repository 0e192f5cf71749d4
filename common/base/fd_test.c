#include "common/base/fd.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>

Test(fd, take_leaves_the_source_empty)
{
    struct fd first = { open("/dev/null", O_RDONLY | O_CLOEXEC) };
    struct fd second = fd_take(&first);
    cr_assert_not(fd_is_open(first));
    cr_assert(fd_is_open(second));
    fd_closep(&second);
    cr_assert_not(fd_is_open(second));
}

Test(fd, a_sealed_file_reads_back_and_refuses_every_change)
{
    struct err err = { 0 };
    struct fd file = FD_NONE;
    cr_assert(fd_sealed("spec", "hello", 5, &file, &err), "%s", err.msg);
    char bytes[8] = "";
    size_t len = 0;
    cr_assert(fd_read_full(file.raw, bytes, sizeof(bytes), &len, &err));
    cr_assert_eq(len, 5);
    cr_assert_eq(memcmp(bytes, "hello", 5), 0);
    cr_assert(fd_is_sealed(file.raw));
    cr_assert_eq(write(file.raw, "x", 1), -1);
    cr_assert_eq(ftruncate(file.raw, 0), -1);
    cr_assert(fcntl(file.raw, F_GETFD) & FD_CLOEXEC);
    fd_closep(&file);
}

Test(fd, an_ordinary_file_is_not_sealed)
{
    struct fd file = { open("/dev/null", O_RDONLY | O_CLOEXEC) };
    cr_assert_not(fd_is_sealed(file.raw));
    fd_closep(&file);
}

Test(fd, write_all_reports_the_kernel)
{
    struct err err = { 0 };
    struct fd file = { open("/dev/full", O_WRONLY | O_CLOEXEC) };
    cr_assert_not(fd_write_all(file.raw, "x", 1, &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    cr_assert_eq(err.os_errno, ENOSPC);
    fd_closep(&file);
}

Test(fd, nonblock_can_be_set_and_cleared)
{
    struct err err = { 0 };
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert(fd_set_nonblock(ends[0], true, &err));
    cr_assert(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
    cr_assert(fd_set_nonblock(ends[0], false, &err));
    cr_assert_not(fcntl(ends[0], F_GETFL) & O_NONBLOCK);
}
