#include "common/base/fd.h"

#include "common/base/own.h"

#include <fcntl.h>
#include <sys/mman.h>

#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

bool fd_write_all(int fd, const void *bytes, size_t len, struct err *err)
{
    const char *at = bytes;
    while (len > 0) {
        ssize_t put = write(fd, at, len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_sys(err, errno, "write %zu bytes", len);
        at += put;
        len -= (size_t)put;
    }
    return true;
}

bool fd_read_full(int fd, void *bytes, size_t len, size_t *out_len, struct err *err)
{
    size_t have = 0;
    while (have < len) {
        ssize_t got = read(fd, (char *)bytes + have, len - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, errno, "read %zu bytes", len - have);
        if (got == 0)
            break;
        have += (size_t)got;
    }
    *out_len = have;
    return true;
}

bool fd_set_nonblock(int fd, bool on, struct err *err)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return err_sys(err, errno, "read flags of descriptor %d", fd);
    flags = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    if (fcntl(fd, F_SETFL, flags) < 0)
        return err_sys(err, errno, "set flags of descriptor %d", fd);
    return true;
}

bool fd_sealed(const char *name, const void *bytes, size_t len, struct fd *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd file = { memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING) };
    if (file.raw < 0)
        return err_sys(err, errno, "create memory file \"%s\"", name);
    if (!fd_write_all(file.raw, bytes, len, err))
        return err_wrap(err, "fill memory file \"%s\"", name);
    if (lseek(file.raw, 0, SEEK_SET) < 0 || fcntl(file.raw, F_ADD_SEALS, ALL_SEALS) < 0)
        return err_sys(err, errno, "seal memory file \"%s\"", name);
    *out = fd_take(&file);
    return true;
}

bool fd_is_sealed(int fd) { return fcntl(fd, F_GET_SEALS) == ALL_SEALS; }
