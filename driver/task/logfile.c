#include "driver/task/logfile.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "common/base/own.h"

bool logfile_open(const char *path, struct fd *out, struct err *err)
{
    CLEANUP(fd_closep)
    struct fd file = { open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY) };
    struct stat st;
    if (file.raw < 0) {
        if (errno == ENXIO)
            return err_set(err, ERR_UNAVAILABLE, "open \"%.128s\": nobody reads it", path);
        if (errno == ENOENT)
            return err_set(err, ERR_NOT_FOUND, "open \"%.128s\": does not exist", path);
        if (errno == ELOOP)
            return err_set(err, ERR_INVALID, "open \"%.128s\": is a symbolic link", path);
        return err_sys(err, errno, "open \"%.128s\"", path);
    }
    if (fstat(file.raw, &st) < 0)
        return err_sys(err, errno, "look at \"%.128s\"", path);
    if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return err_set(err, ERR_INVALID, "open \"%.128s\": is not a FIFO or device", path);
    if (!fd_set_nonblock(file.raw, false, err))
        return false;
    *out = fd_take(&file);
    return true;
}
