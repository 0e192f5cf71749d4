#include "driver/task/logfile.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static char root[] = "/tmp/logfile-XXXXXX";
static char path[64];
static struct err err;

static void setup(void)
{
    cr_assert_not_null(mkdtemp(root));
    (void)snprintf(path, sizeof(path), "%s/f", root);
}

static void teardown(void)
{
    (void)unlink(path);
    (void)rmdir(root);
}

TestSuite(logfile, .init = setup, .fini = teardown);

static void refuse(const char *what, enum err_kind kind)
{
    struct fd file = FD_NONE;
    cr_assert_not(logfile_open(what, &file, &err));
    cr_assert_eq(err.kind, kind, "%s", err.msg);
    cr_assert_not(fd_is_open(file));
}

Test(logfile, a_fifo_opens_once_it_has_a_reader_and_then_blocks)
{
    cr_assert_eq(mkfifo(path, 0600), 0);
    refuse(path, ERR_UNAVAILABLE);
    struct fd reader = { open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) };
    struct fd file = FD_NONE;
    cr_assert(logfile_open(path, &file, &err), "%s", err.msg);
    cr_assert_eq(fcntl(file.raw, F_GETFL) & O_NONBLOCK, 0);
    cr_assert_eq(fcntl(file.raw, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    fd_closep(&file);
    fd_closep(&reader);
}

Test(logfile, the_null_device_opens)
{
    struct fd file = FD_NONE;
    cr_assert(logfile_open("/dev/null", &file, &err), "%s", err.msg);
    fd_closep(&file);
}

Test(logfile, nothing_is_created_and_no_link_followed)
{
    refuse(path, ERR_NOT_FOUND);
    cr_assert_eq(symlink("/dev/null", path), 0);
    refuse(path, ERR_INVALID);
}

Test(logfile, a_plain_file_or_directory_is_refused)
{
    struct fd file = { open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600) };
    fd_closep(&file);
    refuse(path, ERR_INVALID);
    refuse("/tmp", ERR_SYSTEM);
}
