#include "driver/host/health.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/own.h"
#include "common/proc/spawn.h"

#define PROBE       ".health"
#define PROBE_BYTES 4096 /* an empty file fits on a full disk */
#define VERSION_MS  2000
#define VERSION_MAX 128
#define CLOCK_FLOOR INT64_C(1735689600) /* 2025: before this program was written */
#define NS_PER_SEC  INT64_C(1000000000)

#define TEXT_ROW(fault, text) [HOST_##fault] = (text),
static const char *const texts[] = { HOST_HEALTHS(TEXT_ROW) };

const char *host_health_text(enum host_health health) { return texts[health]; }

static bool check_write(const char *dir, struct err *err)
{
    static const char bytes[PROBE_BYTES];
    CLEANUP(str_freep) char *path = str_format("%s/" PROBE, dir);
    CLEANUP(fd_closep)
    struct fd file = { open(path, O_CREAT | O_TRUNC | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0600) };
    if (!fd_is_open(file))
        return err_sys(err, errno, "write in \"%s\"", dir);
    const bool is_written = fd_write_all(file.raw, bytes, sizeof(bytes), err);
    (void)unlink(path);
    return is_written || err_wrap(err, "write in \"%s\"", dir);
}

static bool check_cgroup(const char *parent, struct err *err)
{
    if (!parent)
        return true;
    CLEANUP(str_freep) char *path = str_format("%s/health-%d", parent, (int)getpid());
    (void)mkdir(parent, 0755);
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        return err_sys(err, errno, "make a cgroup in \"%s\"", parent);
    return rmdir(path) == 0 || err_sys(err, errno, "remove cgroup \"%s\"", path);
}

/* What comes until the end, or until VERSION_MS after now: one that dribbles gets no more time. */
static void read_for_a_while(int file, char out[VERSION_MAX])
{
    const struct mono begun = mono_now();
    struct pollfd wait = { .fd = file, .events = POLLIN };
    size_t len = 0;
    while (len < VERSION_MAX - 1) {
        const int64_t left_ms = VERSION_MS - mono_diff_us(mono_now(), begun) / 1000;
        if (left_ms <= 0 || poll(&wait, 1, (int)left_ms) != 1)
            break;
        const ssize_t got = read(file, out + len, VERSION_MAX - 1 - len);
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    out[len] = '\0';
}

/* What the program says within VERSION_MS; then it is ended. */
static bool run_for_text(const char *path, char out[VERSION_MAX], struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(err, errno, "make pipe");
    CLEANUP(fd_closep) struct fd reader = { ends[0] };
    CLEANUP(fd_closep) struct fd writer = { ends[1] };
    CLEANUP(fd_closep) struct fd null = { open("/dev/null", O_RDWR | O_CLOEXEC) };
    const char *const argv[] = { path, "-version", NULL };
    const char *const envp[] = { NULL };
    const struct proc_map map[] = { { null.raw, 0 }, { writer.raw, 1 }, { null.raw, 2 } };
    const struct proc_spec spec = {
        .argv = argv, .envp = envp, .fds = map, .fd_count = COUNT(map), .cgroup_fd = -1
    };
    struct proc child = PROC_NONE;
    if (!proc_spawn(&spec, &child, err))
        return err_wrap(err, "run \"%s\"", path);
    fd_closep(&writer);
    read_for_a_while(reader.raw, out);
    struct err inner = { 0 };
    const bool is_over = proc_signal(&child, SIGKILL, &inner) || inner.kind == ERR_NOT_FOUND;
    if (is_over)
        (void)waitpid(child.pid, NULL, 0);
    proc_fini(&child);
    return is_over || err_set(err, inner.kind, "end \"%s\": %.100s", path, inner.msg);
}

static bool is_same_file(const struct host_file *known, const struct stat *st)
{
    return known->ino == st->st_ino && known->dev == st->st_dev &&
           known->changed.tv_sec == st->st_ctim.tv_sec &&
           known->changed.tv_nsec == st->st_ctim.tv_nsec;
}

/* A helper is asked once for as long as its file stays the same. */
static bool check_helper(const char *path, const char *name, const char *version,
                         struct host_file *known, struct err *err)
{
    struct stat st;
    char text[VERSION_MAX];
    if (stat(path, &st) < 0)
        return err_sys(err, errno, "find \"%s\"", path);
    if (access(path, X_OK) < 0)
        return err_sys(err, errno, "execute \"%s\"", path);
    if (known->is_good && is_same_file(known, &st))
        return true;
    *known = (struct host_file){ .dev = st.st_dev, .ino = st.st_ino, .changed = st.st_ctim };
    if (!run_for_text(path, text, err))
        return false;
    CLEANUP(str_freep) char *wanted = str_format("%s %s\n", name, version);
    text[strcspn(text, "\n") + (strchr(text, '\n') != NULL)] = '\0';
    known->is_good = strcmp(text, wanted) == 0;
    text[strcspn(text, "\n")] = '\0';
    return known->is_good ||
           err_set(err, ERR_CONFLICT, "use \"%s\": it says it is \"%.60s\", not \"%s %s\"", path,
                   text, name, version);
}

static bool check_clock(struct wall now, struct err *err)
{
    return now.ns / NS_PER_SEC >= CLOCK_FLOOR ||
           err_set(err, ERR_INVALID, "trust the clock: it shows a time before 2025");
}

enum host_health host_health_check(const struct host_health_ask *ask,
                                   struct host_health_memory *memory, struct err *err)
{
    if (!check_write(ask->state_dir, err))
        return HOST_STATE_DIR;
    if (!check_write(ask->run_dir, err))
        return HOST_RUN_DIR;
    if (!check_cgroup(ask->cgroup_parent, err))
        return HOST_CGROUP;
    if (!check_helper(ask->shim, "agent-shim", ask->version, &memory->shim, err))
        return HOST_SHIM;
    if (!check_helper(ask->sidecar, "agent-sidecar", ask->version, &memory->sidecar, err))
        return HOST_SIDECAR;
    return check_clock(ask->now, err) ? HOST_GOOD : HOST_CLOCK;
}
