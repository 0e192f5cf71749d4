#include "driver/shim/fds.h"

#include "common/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>

#define HIGH 64 /* above every number that is handed out below */

struct fd_row {
    const char *name;
    size_t in_spec, in_fds;
    int number;
};
#define ROW(field, member, number)                                                           \
    {                                                                                        \
#field, offsetof(struct shim_spec, field), offsetof(struct shim_fds, member), number \
    }
static const struct fd_row rows[] = {
    ROW(lock_fd, lock, SHIM_FD_LOCK),          ROW(control_fd, control, SHIM_FD_CONTROL),
    ROW(stdin_fd, in, SHIM_FD_STDIN),          ROW(stdout_fd, out, SHIM_FD_STDOUT),
    ROW(stderr_fd, err, SHIM_FD_STDERR),       ROW(config_fd, config, SHIM_FD_CONFIG),
    ROW(log_dir_fd, log_dir, SHIM_FD_LOG_DIR),
};

static bool close_between(unsigned first, unsigned last, struct err *err)
{
    if (syscall(SYS_close_range, first, last, 0) != 0)
        return err_sys(err, errno, "close descriptors %u to %u", first, last);
    return true;
}

/* 0, 1 and 2 are free: the next three opens get them. */
static bool open_null(struct err *err)
{
    for (int i = 0; i < 3; i++) {
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (fd != i)
            return err_sys(err, fd < 0 ? errno : EBADF, "open \"/dev/null\" as %d", i);
    }
    return true;
}

bool shim_fd_move(struct fd *fd, int number, struct err *err)
{
    if (dup3(fd->raw, number, O_CLOEXEC) < 0)
        return err_sys(err, errno, "move descriptor %d to %d", fd->raw, number);
    fd_closep(fd);
    fd->raw = number;
    return true;
}

bool shim_fds_take(const struct shim_spec *spec, struct shim_fds *out, struct err *err)
{
    int high[COUNT(rows)];
    for (size_t i = 0; i < COUNT(rows); i++) {
        int32_t given;
        memcpy(&given, (const char *)spec + rows[i].in_spec, sizeof(given));
        high[i] = given < 0 ? -1 : fcntl(given, F_DUPFD_CLOEXEC, HIGH);
        if (given >= 0 && high[i] < 0)
            return err_sys(err, errno, "take %s %d", rows[i].name, (int)given);
    }
    if (!close_between(0, HIGH - 1, err) || !open_null(err))
        return false;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct fd *slot = (struct fd *)(void *)((char *)out + rows[i].in_fds);
        *slot = FD_NONE;
        if (high[i] >= 0 && dup3(high[i], rows[i].number, O_CLOEXEC) < 0)
            return err_sys(err, errno, "move %s", rows[i].name);
        if (high[i] >= 0)
            slot->raw = rows[i].number;
    }
    return close_between(HIGH, ~0U, err);
}
