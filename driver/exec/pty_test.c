#include "driver/exec/pty.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "common/base/own.h"

Test(pty, both_ends_are_one_terminal)
{
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd ours = FD_NONE;
    CLEANUP(fd_closep) struct fd theirs = FD_NONE;
    struct stat st;
    char text[16] = "";
    cr_assert(pty_open(geteuid(), &ours, &theirs, &err), "%s", err.msg);
    cr_expect(isatty(theirs.raw));
    cr_assert_eq(fstat(theirs.raw, &st), 0);
    cr_expect_eq(st.st_uid, geteuid());
    cr_expect_eq(st.st_mode & 07777, 0620);
    cr_expect_eq(fcntl(ours.raw, F_GETFD), FD_CLOEXEC);
    cr_expect_eq(fcntl(theirs.raw, F_GETFD), FD_CLOEXEC);
    cr_expect_eq(read(ours.raw, text, sizeof(text)), -1, "our end does not block");
    cr_assert_eq(write(ours.raw, "in\n", 3), 3);
    cr_expect_eq(read(theirs.raw, text, sizeof(text)), 3);
}

Test(pty, its_size_is_seen_at_the_other_end)
{
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd ours = FD_NONE;
    CLEANUP(fd_closep) struct fd theirs = FD_NONE;
    struct winsize size;
    cr_assert(pty_open(geteuid(), &ours, &theirs, &err), "%s", err.msg);
    pty_resize(ours.raw, (struct pty_size){ 33, 101 });
    cr_assert_eq(ioctl(theirs.raw, TIOCGWINSZ, &size), 0);
    cr_expect_eq(size.ws_row, 33);
    cr_expect_eq(size.ws_col, 101);
    pty_resize(-1, (struct pty_size){ 1, 1 }); /* gone: nothing */
}

Test(pty, the_end_character_is_what_the_terminal_says)
{
    struct err err = { 0 };
    CLEANUP(fd_closep) struct fd ours = FD_NONE;
    CLEANUP(fd_closep) struct fd theirs = FD_NONE;
    struct termios settings;
    cr_assert(pty_open(geteuid(), &ours, &theirs, &err), "%s", err.msg);
    cr_expect_eq(pty_end_character(ours.raw), 4);
    cr_assert_eq(tcgetattr(theirs.raw, &settings), 0);
    settings.c_cc[VEOF] = 26;
    cr_assert_eq(tcsetattr(theirs.raw, TCSANOW, &settings), 0);
    cr_expect_eq(pty_end_character(ours.raw), 26);
    cr_expect_eq(pty_end_character(-1), 4);
}
