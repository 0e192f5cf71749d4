#include "driver/exec/pty.h"

#include "common/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>

#define MODE        0620 /* as grantpt gives it: others may write a message, nobody else reads */
#define END_OF_FILE 4    /* ^D */

bool pty_open(uint32_t uid, struct fd *out_ours, struct fd *out_theirs, struct err *err)
{
    CLEANUP(fd_closep)
    struct fd ours = { open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) };
    int unlocked = 0;
    if (ours.raw < 0 || ioctl(ours.raw, TIOCSPTLCK, &unlocked) != 0)
        return err_sys(err, errno, "open a terminal by \"/dev/ptmx\"");
    CLEANUP(fd_closep)
    struct fd theirs = { ioctl(ours.raw, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC) };
    if (theirs.raw < 0 || fchown(theirs.raw, uid, (gid_t)-1) != 0 || fchmod(theirs.raw, MODE) != 0)
        return err_sys(err, errno, "open the other end of a terminal");
    *out_ours = fd_take(&ours);
    *out_theirs = fd_take(&theirs);
    return true;
}

void pty_resize(int ours, struct pty_size size)
{
    const struct winsize wanted = { .ws_row = size.rows, .ws_col = size.columns };
    (void)ioctl(ours, TIOCSWINSZ, &wanted);
}

uint8_t pty_end_character(int ours)
{
    struct termios settings;
    return tcgetattr(ours, &settings) == 0 ? settings.c_cc[VEOF] : END_OF_FILE;
}
