#include "driver/enter/strays.h"

#include "common/base/fd.h"
#include "common/base/own.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define ENTRY_BYTES 2048

static bool take_number(const char **at, const char *end, pid_t *out)
{
    pid_t value = 0;
    const char *begin;
    bool is_below = *at < end && **at == '-'; /* an unset group or terminal */
    *at += is_below;
    for (begin = *at; *at < end && **at >= '0' && **at <= '9' && value < 100000000; ++*at)
        value = value * 10 + (**at - '0');
    if (*at == begin)
        return false;
    *out = is_below ? -value : value;
    *at += *at < end && **at == ' ';
    return true;
}

/* Fields after the name, which is in parentheses and may hold more of them: state, parent, group,
 * session. */
bool stray_parse(struct view line, struct stray *out)
{
    const char *text = (const char *)line.data, *end = text + line.len, *at = end;
    pid_t group;
    while (at > text && at[-1] != ')')
        at--;
    if (at == text || end - at < 3 || at[0] != ' ' || at[2] != ' ')
        return false;
    out->state = at[1];
    at += 3;
    return take_number(&at, end, &out->parent) && take_number(&at, end, &group) &&
           take_number(&at, end, &out->session);
}

static bool is_stray(int proc, const char *name, pid_t leader)
{
    char path[32], text[512];
    struct stray who;
    (void)snprintf(path, sizeof(path), "%.16s/stat", name);
    CLEANUP(fd_closep) struct fd file = { openat(proc, path, O_RDONLY | O_CLOEXEC) };
    ssize_t len = file.raw < 0 ? -1 : read(file.raw, text, sizeof(text));
    if (len <= 0 || !stray_parse(view_of(text, (size_t)len), &who))
        return false;
    return who.state != 'Z' && who.state != 'X' &&
           (who.parent == getpid() || who.session == leader);
}

/* The number was read a moment ago from a live process. */
static unsigned kill_if_stray(int proc, const char *name, pid_t leader)
{
    pid_t pid = 0;
    for (const char *at = name; *at >= '0' && *at <= '9' && pid < 100000000; at++)
        pid = pid * 10 + (*at - '0');
    if (pid <= 1 || pid == getpid() || !is_stray(proc, name, leader))
        return 0;
    (void)kill(pid, SIGKILL);
    return 1;
}

unsigned strays_kill(pid_t leader)
{
    _Alignas(struct dirent64) char entries[ENTRY_BYTES];
    unsigned count = 0;
    ssize_t len;
    CLEANUP(fd_closep) struct fd proc = { open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
    while (fd_is_open(proc) && (len = getdents64(proc.raw, (void *)entries, sizeof(entries))) > 0)
        for (ssize_t at = 0; at < len;) {
            const struct dirent64 *entry = (const void *)(entries + at);
            if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
                count += kill_if_stray(proc.raw, entry->d_name, leader);
            at += entry->d_reclen;
        }
    return count;
}
