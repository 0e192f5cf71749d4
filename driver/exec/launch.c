#include "driver/exec/launch.h"

#include "common/base/own.h"
#include "common/cgroup/cgroup.h"
#include "common/shimwire/exec_spec.h"
#include "driver/exec/pty.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#define CLEAR_MS 2000

struct far_ends { /* the command's */
    struct fd in, out, err;
};

/* A pipe of which our end does not block. */
static bool make_pipe(bool is_input, struct fd *out_ours, struct fd *out_theirs, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_sys(err, errno, "make pipe");
    out_ours->raw = ends[is_input ? 1 : 0];
    out_theirs->raw = ends[is_input ? 0 : 1];
    return fd_set_nonblock(out_ours->raw, true, err);
}

static bool copy_fd(int from, struct fd *out, struct err *err)
{
    out->raw = fcntl(from, F_DUPFD_CLOEXEC, 3);
    return fd_is_open(*out) || err_sys(err, errno, "copy a descriptor");
}

static bool make_ends(const struct exec_launch_in *in, struct exec_launch_out *ours,
                      struct far_ends *theirs, struct err *err)
{
    switch (in->mode) {
    case EXEC_PIPES:
        return make_pipe(true, &ours->in, &theirs->in, err) &&
               make_pipe(false, &ours->out, &theirs->out, err) &&
               make_pipe(false, &ours->err, &theirs->err, err);
    case EXEC_TTY: /* two descriptors of ours: each is watched for itself */
        return pty_open(in->uid, &ours->out, &theirs->out, err) &&
               copy_fd(ours->out.raw, &ours->in, err) &&
               copy_fd(theirs->out.raw, &theirs->in, err) &&
               copy_fd(theirs->out.raw, &theirs->err, err);
    case EXEC_ONE_PIPE:
        theirs->in.raw = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (!fd_is_open(theirs->in))
            return err_sys(err, errno, "open \"/dev/null\"");
        return make_pipe(false, &ours->out, &theirs->out, err) &&
               copy_fd(theirs->out.raw, &theirs->err, err);
    }
    return false;
}

static bool spawn_helper(const struct exec_launch_in *in, const struct far_ends *theirs,
                         struct exec_launch_out *out, struct err *err)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_sys(err, errno, "make the helper's socket");
    out->control.raw = pair[0];
    CLEANUP(fd_closep) struct fd its_control = { pair[1] };
    CLEANUP(fd_closep) struct fd null = { open("/dev/null", O_RDWR | O_CLOEXEC) };
    if (!fd_is_open(null))
        return err_sys(err, errno, "open \"/dev/null\"");
    /* 0, 1 and 2 too: our own lead to Nomad, who must notice when we die. */
    const struct proc_map fds[] = {
        { null.raw, 0 },
        { null.raw, 1 },
        { null.raw, 2 },
        { in->spec, EXEC_FD_SPEC },
        { its_control.raw, EXEC_FD_CONTROL },
        { theirs->in.raw, EXEC_FD_STDIN },
        { theirs->out.raw, EXEC_FD_STDOUT },
        { theirs->err.raw, EXEC_FD_STDERR },
    };
    const char *const argv[] = { in->shim, NULL }, *const envp[] = { NULL };
    const struct proc_spec spec = { .argv = argv,
                                    .envp = envp,
                                    .fds = fds,
                                    .fd_count = COUNT(fds),
                                    .cgroup_fd = -1,
                                    .new_session = true };
    return (proc_spawn(&spec, &out->helper, err) && proc_wait_start(&out->helper, err)) ||
           err_wrap(err, "start helper \"%.128s\"", in->shim);
}

bool exec_launch(const struct exec_launch_in *in, struct exec_launch_out *out, struct err *err)
{
    struct far_ends theirs = { FD_NONE, FD_NONE, FD_NONE };
    *out = (struct exec_launch_out){ PROC_NONE, FD_NONE, FD_NONE, FD_NONE, FD_NONE };
    bool ok = make_ends(in, out, &theirs, err) && spawn_helper(in, &theirs, out, err);
    fd_closep(&theirs.in);
    fd_closep(&theirs.out);
    fd_closep(&theirs.err);
    if (ok)
        return true;
    fd_closep(&out->control);
    fd_closep(&out->in);
    fd_closep(&out->out);
    fd_closep(&out->err);
    return false;
}

bool exec_clear(const char *cgroup, struct err *err)
{
    struct err why = { 0 };
    struct cgroup found = CGROUP_NONE;
    if (!cgroup_open(cgroup, false, &found, &why)) {
        *err = why;
        return why.kind == ERR_NOT_FOUND;
    }
    bool is_empty = cgroup_kill_wait(&found, CLEAR_MS, err);
    cgroup_fini(&found);
    return is_empty && cgroup_remove(cgroup, err);
}

unsigned exec_sweep(const char *agent_cgroup)
{
    unsigned stuck = 0;
    DIR *dir = agent_cgroup[0] != '\0' ? opendir(agent_cgroup) : NULL;
    for (struct dirent *at = dir ? readdir(dir) : NULL; at != NULL; at = readdir(dir)) {
        struct err why = { 0 };
        if (strncmp(at->d_name, EXEC_CGROUP_PREFIX, strlen(EXEC_CGROUP_PREFIX)) != 0)
            continue;
        CLEANUP(str_freep) char *path = str_format("%s/%s", agent_cgroup, at->d_name);
        stuck += !exec_clear(path, &why);
    }
    if (dir != NULL)
        (void)closedir(dir);
    return stuck;
}
