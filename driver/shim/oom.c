#include "driver/shim/oom.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/base/own.h"

#define TEXT_BYTES 1024

static bool open_file(const char *dir, const char *name, int how, struct fd *out)
{
    char path[PATH_MAX];
    const int len = snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (len < 0 || len >= (int)sizeof(path))
        return false;
    out->raw = open(path, how | O_CLOEXEC);
    return fd_is_open(*out);
}

/* The number of the line "oom_kill N". */
static uint64_t count_of(const struct shim_oom *oom)
{
    static const char key[] = "\noom_kill ";
    char text[TEXT_BYTES] = "\n";
    if (!fd_is_open(oom->counter))
        return 0;
    const ssize_t len = pread(oom->counter.raw, text + 1, sizeof(text) - 2, 0);
    text[1 + (len > 0 ? len : 0)] = '\0';
    const char *at = strstr(text, key);
    return at != NULL ? strtoull(at + sizeof(key) - 1, NULL, 10) : 0;
}

/* Kernel doc: cgroup-v1/memory, section 10. */
static void ask_to_be_told(struct shim_oom *oom, const char *dir)
{
    char line[32];
    CLEANUP(fd_closep) struct fd control = FD_NONE;
    CLEANUP(fd_closep) struct fd told = { eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
    if (!fd_is_open(told) || !open_file(dir, "cgroup.event_control", O_WRONLY, &control))
        return;
    const int len = snprintf(line, sizeof(line), "%d %d", told.raw, oom->counter.raw);
    if (write(control.raw, line, (size_t)len) == len)
        oom->told = fd_take(&told);
}

void shim_oom_open(struct shim_oom *oom, const char *dir)
{
    *oom = SHIM_OOM_NONE;
    if (dir[0] == '\0')
        return;
    if (!open_file(dir, "memory.events", O_RDONLY, &oom->counter) &&
        open_file(dir, "memory.oom_control", O_RDONLY, &oom->counter))
        ask_to_be_told(oom, dir);
    oom->before = count_of(oom);
}

void shim_oom_close(struct shim_oom *oom)
{
    fd_closep(&oom->counter);
    fd_closep(&oom->told);
}

struct pollfd shim_oom_poll(const struct shim_oom *oom)
{
    if (fd_is_open(oom->told))
        return (struct pollfd){ .fd = oom->told.raw, .events = POLLIN };
    return (struct pollfd){ .fd = oom->counter.raw, .events = POLLPRI };
}

static bool is_undecided(const struct shim_oom *oom, struct boot now)
{
    return oom->at.ns != 0 && boot_diff_ms(now, oom->at) < SHIM_OOM_RECENT_MS;
}

int shim_oom_wait_ms(const struct shim_oom *oom, struct boot now)
{
    return is_undecided(oom, now) || oom->kills > oom->survived ? SHIM_OOM_LOOK_MS : -1;
}

static void read_counter(struct shim_oom *oom, struct boot now)
{
    uint64_t told = 0;
    if (fd_is_open(oom->told) && read(oom->told.raw, &told, sizeof(told)) == sizeof(told))
        oom->at = now;
    const uint64_t count = count_of(oom);
    if (count <= oom->before + oom->kills)
        return;
    oom->kills = count - oom->before;
    oom->at = now;
}

bool shim_oom_look(struct shim_oom *oom, struct boot now, uint64_t *out_kills)
{
    read_counter(oom, now);
    if (oom->kills == oom->survived || is_undecided(oom, now))
        return false;
    *out_kills = oom->kills - oom->survived;
    oom->survived = oom->kills;
    return true;
}

bool shim_oom_is_recent(struct shim_oom *oom, struct boot now)
{
    read_counter(oom, now);
    return oom->kills > oom->survived;
}
