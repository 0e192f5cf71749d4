#include "common/proc/identity.h"

#include "common/base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#define STAT_BYTES       1024 /* one line; the name in it is at most 64 bytes */
#define FIELD_START_TIME 22
#define FIELD_STATE      3 /* the first after the name */

/* The whole small file as text. */
static bool read_text(const char *path, char *out, size_t size, struct err *err)
{
    CLEANUP(fd_closep) struct fd file = { open(path, O_RDONLY | O_CLOEXEC) };
    if (file.raw < 0)
        return err_sys(err, errno, "open \"%s\"", path);
    size_t len = 0;
    if (!fd_read_full(file.raw, out, size - 1, &len, err))
        return err_wrap(err, "read \"%s\"", path);
    out[len] = '\0';
    return true;
}

bool proc_boot_id(char out[PROC_BOOT_ID_BYTES], struct err *err)
{
    char text[64];
    if (!read_text("/proc/sys/kernel/random/boot_id", text, sizeof(text), err))
        return false;
    text[strcspn(text, "\n")] = '\0';
    if (strlen(text) != PROC_BOOT_ID_BYTES - 1)
        return err_set(err, ERR_SYSTEM, "read boot id: \"%s\" is not one", text);
    memcpy(out, text, PROC_BOOT_ID_BYTES);
    return true;
}

/* The name may hold spaces and parentheses: fields are counted from the last ')'. */
bool proc_stat_field(const char *line, unsigned field, int64_t *out)
{
    const char *at = strrchr(line, ')');
    for (unsigned i = FIELD_STATE; at != NULL && i <= field; i++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return false;
    char *end = NULL;
    errno = 0;
    *out = strtoll(at + 1, &end, 10);
    return errno == 0 && end != at + 1;
}

bool proc_start_ticks(pid_t pid, uint64_t *out, struct err *err)
{
    char path[64], line[STAT_BYTES];
    struct err why = { 0 };
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (!read_text(path, line, sizeof(line), &why)) {
        if (why.os_errno == ENOENT || why.os_errno == ESRCH)
            return err_set(err, ERR_NOT_FOUND, "find process %d: there is none", (int)pid);
        *err = why;
        return false;
    }
    int64_t ticks = 0;
    const bool is_found = proc_stat_field(line, FIELD_START_TIME, &ticks) && ticks >= 0;
    *out = (uint64_t)ticks;
    return is_found || err_set(err, ERR_SYSTEM, "read \"%s\": no start time", path);
}

bool proc_identify(pid_t pid, struct proc_identity *out, struct err *err)
{
    out->pid = pid;
    return proc_start_ticks(pid, &out->start_ticks, err) && proc_boot_id(out->boot_id, err);
}

bool proc_open(const struct proc_identity *who, struct fd *out, struct err *err)
{
    char boot_id[PROC_BOOT_ID_BYTES];
    uint64_t start = 0;
    if (!proc_boot_id(boot_id, err))
        return false;
    if (strcmp(boot_id, who->boot_id) != 0)
        return err_set(err, ERR_NOT_FOUND, "find process %d: it was of another boot",
                       (int)who->pid);
    if (who->pid <= 0)
        return err_set(err, ERR_NOT_FOUND, "find process %d: no such number", (int)who->pid);
    CLEANUP(fd_closep) struct fd pidfd = { (int)syscall(SYS_pidfd_open, who->pid, 0) };
    if (pidfd.raw < 0 && errno == ESRCH)
        return err_set(err, ERR_NOT_FOUND, "find process %d: there is none", (int)who->pid);
    if (pidfd.raw < 0)
        return err_sys(err, errno, "open process %d", (int)who->pid);
    /* After the open: if the process with this pid is ours now, it was ours then. */
    if (!proc_start_ticks(who->pid, &start, err))
        return false;
    if (start != who->start_ticks)
        return err_set(err, ERR_NOT_FOUND, "find process %d: another one has its number",
                       (int)who->pid);
    *out = fd_take(&pidfd);
    return true;
}
