#include "driver/dev/plugin.h"

#include "common/base/fd.h"
#include "common/base/own.h"
#include "common/loop/loop.h"
#include "common/proc/spawn.h"
#include "driver/dev/wire.h"
#include "driver/rpc/client.h"

#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

#define COOKIE          "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"
#define METHOD_SHUTDOWN "/plugin.GRPCController/Shutdown"

struct call {
    struct plugin *plugin;
    struct call **link, *next;
    plugin_reply_fn *on_reply;
    plugin_message_fn *on_message;
    plugin_end_fn *on_end;
    void *arg;
    struct buf reply;
};

struct plugin {
    struct plugin_spec spec; /* texts are not used after the start */
    struct proc proc;
    struct fd out;
    struct loop_watch *out_watch, *exit_watch;
    struct loop_timer *timer; /* the handshake's, later the exit's */
    struct rpc_client *client;
    struct call *calls;
    char line[HANDSHAKE_LINE_MAX];
    size_t len;
    bool is_ready_said, is_gone;
    struct err failure; /* of the handshake */
};

static void ready_say(struct plugin *p, const struct err *err)
{
    if (p->is_ready_said)
        return;
    p->is_ready_said = true;
    loop_timer_cancel(p->timer);
    p->spec.on_ready(p->spec.arg, err);
}

void plugin_kill(struct plugin *plugin)
{
    struct err err;
    if (plugin->is_gone || !proc_signal(&plugin->proc, SIGKILL, &err))
        return; /* on_gone has come or follows */
}

static void handshake_fail(struct plugin *p)
{
    plugin_kill(p);
    ready_say(p, &p->failure);
}

static void on_timer(void *arg)
{
    struct plugin *p = arg;
    if (p->is_ready_said) {
        plugin_kill(p);
        return;
    }
    (void)err_set(&p->failure, ERR_UNAVAILABLE, "wait for the plugin's handshake: no line in %d s",
                  PLUGIN_HANDSHAKE_MS / 1000);
    handshake_fail(p);
}

static void line_take(struct plugin *p, size_t len)
{
    char path[HANDSHAKE_PATH_MAX + 1];
    if (!handshake_decode(view_of(p->line, len), path, &p->failure) ||
        !rpc_client_open(p->spec.rpc, path, &p->client, &p->failure))
        handshake_fail(p);
    else
        ready_say(p, NULL);
}

/* After the handshake stdout is read and forgotten, as Nomad does: a full pipe would block it. */
static void on_output(void *arg, unsigned events)
{
    struct plugin *p = arg;
    (void)events;
    if (p->is_ready_said)
        p->len = 0;
    const ssize_t n = read(p->out.raw, p->line + p->len, sizeof p->line - p->len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        loop_watch_freep(&p->out_watch); /* the exit is seen by the pidfd */
        return;
    }
    p->len += (size_t)n;
    const char *end = memchr(p->line, '\n', p->len);
    if (p->is_ready_said)
        return;
    if (end) {
        line_take(p, (size_t)(end - p->line));
    } else if (p->len == sizeof p->line) {
        (void)err_set(&p->failure, ERR_INVALID,
                      "read the plugin's handshake: the line is too long");
        handshake_fail(p);
    }
}

static void call_end(struct call *call)
{
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    buf_fini(&call->reply);
    free(call);
}

/* Every open call ends here when the connection is closed under it. */
static void calls_fail(struct plugin *p)
{
    while (p->calls) {
        struct call *call = p->calls;
        struct err err;
        (void)err_set(&err, ERR_UNAVAILABLE, "call the plugin: it is gone");
        plugin_reply_fn *on_reply = call->on_reply;
        plugin_end_fn *on_end = call->on_end;
        void *arg = call->arg;
        call_end(call);
        if (on_reply)
            on_reply(arg, view_of(NULL, 0), &err);
        else
            on_end(arg, err.msg);
    }
}

static void on_exit_seen(void *arg, unsigned events)
{
    struct plugin *p = arg;
    siginfo_t info = { 0 };
    char how[64];
    (void)events;
    if (waitid(P_PIDFD, (id_t)p->proc.pidfd.raw, &info, WEXITED | WNOHANG) != 0 || !info.si_pid)
        return;
    (void)snprintf(how, sizeof how, info.si_code == CLD_EXITED ? "exit code %d" : "signal %d",
                   info.si_status);
    p->is_gone = true;
    loop_watch_freep(&p->exit_watch);
    loop_watch_freep(&p->out_watch);
    loop_timer_cancel(p->timer);
    rpc_client_free(STEAL(p->client));
    if (!p->is_ready_said)
        (void)err_set(&p->failure, ERR_UNAVAILABLE, "wait for the plugin's handshake: %s", how);
    ready_say(p, &p->failure);
    calls_fail(p);
    p->spec.on_gone(p->spec.arg, how);
}

static char **env_build(const struct plugin_spec *spec)
{
    const char *path = getenv("PATH");
    char **env = mem_array(6, sizeof *env);
    env[0] = str_format("PATH=%s", path ? path : "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    env[1] = str_format("TMPDIR=%s", spec->tmp_dir);
    env[2] = str_format("NOMAD_PLUGIN_MAGIC_COOKIE=%s", COOKIE);
    env[3] = str_copy("PLUGIN_PROTOCOL_VERSIONS=2");
    env[4] = str_copy("PLUGIN_MIN_PORT=10000");
    return env;
}

static void env_freep(char ***env)
{
    for (char **e = *env; *e; e++)
        free(*e);
    free(*env);
    *env = NULL;
}

/* The three standard descriptors of the process; the reading end of its stdout is `*out`. */
static bool process_start(const struct plugin_spec *spec, struct plugin *p, struct err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_sys(err, errno, "make a pipe");
    p->out.raw = ends[0];
    CLEANUP(fd_closep) struct fd write_end = { ends[1] };
    CLEANUP(fd_closep) struct fd null = { open("/dev/null", O_RDONLY | O_CLOEXEC) };
    CLEANUP(fd_closep)
    struct fd log = { open(spec->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) };
    if (!fd_is_open(null) || !fd_is_open(log))
        return err_sys(err, errno, "open \"%s\"", fd_is_open(null) ? spec->log_path : "/dev/null");
    CLEANUP(env_freep) char **env = env_build(spec);
    const struct proc_map fds[] = { { null.raw, 0 }, { write_end.raw, 1 }, { log.raw, 2 } };
    const struct proc_spec proc = { .argv = (const char *const[]){ spec->path, NULL },
                                    .envp = (const char *const *)env,
                                    .fds = fds,
                                    .fd_count = COUNT(fds),
                                    .cgroup_fd = spec->cgroup_fd,
                                    .death_signal = SIGKILL };
    return fd_set_nonblock(p->out.raw, true, err) && proc_spawn(&proc, &p->proc, err) &&
           proc_wait_start(&p->proc, err);
}

bool plugin_start(const struct plugin_spec *spec, struct plugin **out, struct err *err)
{
    struct plugin *p = mem_new(struct plugin);
    p->spec = *spec;
    p->out = FD_NONE;
    p->proc = PROC_NONE;
    if (!process_start(spec, p, err)) {
        proc_fini(&p->proc);
        fd_closep(&p->out);
        free(p);
        return err_wrap(err, "start plugin \"%s\"", spec->path);
    }
    p->timer = loop_timer_new(spec->loop, on_timer, p);
    loop_timer_arm(p->timer, boot_add_ms(boot_now(), PLUGIN_HANDSHAKE_MS));
    p->out_watch = loop_watch_new(spec->loop, p->out.raw, LOOP_READ, on_output, p);
    p->exit_watch = loop_watch_new(spec->loop, p->proc.pidfd.raw, LOOP_READ, on_exit_seen, p);
    *out = p;
    return true;
}

static void on_message(void *arg, struct view message)
{
    struct call *call = arg;
    if (call->on_message)
        call->on_message(call->arg, message);
    else
        buf_put(&call->reply, message);
}

/* The way back of what a driver makes of its kinds; what has no kind is its own failure. */
static const enum err_kind kinds[RPC_CODE_COUNT] = {
    [RPC_INVALID_ARGUMENT] = ERR_INVALID,     [RPC_OUT_OF_RANGE] = ERR_INVALID,
    [RPC_NOT_FOUND] = ERR_NOT_FOUND,          [RPC_UNIMPLEMENTED] = ERR_NOT_FOUND,
    [RPC_PERMISSION_DENIED] = ERR_DENIED,     [RPC_UNAUTHENTICATED] = ERR_DENIED,
    [RPC_ALREADY_EXISTS] = ERR_CONFLICT,      [RPC_ABORTED] = ERR_CONFLICT,
    [RPC_FAILED_PRECONDITION] = ERR_CONFLICT, [RPC_DATA_LOSS] = ERR_CORRUPT,
    [RPC_UNAVAILABLE] = ERR_UNAVAILABLE,
};

static enum err_kind kind_of(const struct rpc_status *status)
{
    const bool is_known = status->code > RPC_OK && status->code < RPC_CODE_COUNT;
    const enum err_kind kind = is_known ? kinds[status->code] : ERR_NONE;
    if (kind != ERR_NONE)
        return kind;
    /* With details: Nomad's word for a start that may be tried again. */
    return status->details.len > 0 ? ERR_UNAVAILABLE : ERR_SYSTEM;
}

static void on_end(void *arg, const struct rpc_status *status)
{
    struct call *call = arg;
    struct err err = { 0 };
    struct buf reply = buf_take(&call->reply);
    plugin_reply_fn *on_reply = call->on_reply;
    plugin_end_fn *on_stream_end = call->on_end;
    void *call_arg = call->arg;
    if (status->code != RPC_OK)
        (void)err_set(&err, kind_of(status), "%s (%s)", status->text, rpc_code_name(status->code));
    call_end(call);
    if (!on_reply)
        on_stream_end(call_arg, err.kind ? err.msg : "ended");
    else
        on_reply(call_arg, buf_view(&reply), err.kind ? &err : NULL);
    buf_fini(&reply);
}

static struct call *call_new(struct plugin *p, void *arg)
{
    struct call *call = mem_new(struct call);
    call->plugin = p;
    call->arg = arg;
    call->next = p->calls;
    call->link = &p->calls;
    if (p->calls)
        p->calls->link = &call->next;
    p->calls = call;
    return call;
}

void plugin_call(struct plugin *plugin, const char *method, struct view request, int64_t timeout_ms,
                 plugin_reply_fn *on_reply, void *arg)
{
    if (!plugin->client)
        return;
    struct call *call = call_new(plugin, arg);
    call->on_reply = on_reply;
    const struct rpc_events events = { on_message, on_end, call };
    (void)rpc_client_call(plugin->client, method, request, timeout_ms, &events);
}

void plugin_stream(struct plugin *plugin, const char *method, struct view request,
                   plugin_message_fn *on_stream_message, plugin_end_fn *on_stream_end, void *arg)
{
    if (!plugin->client)
        return;
    struct call *call = call_new(plugin, arg);
    call->on_message = on_stream_message;
    call->on_end = on_stream_end;
    const struct rpc_events events = { on_message, on_end, call };
    (void)rpc_client_stream(plugin->client, method, request, &events);
}

static void on_shutdown_reply(void *arg, struct view reply, const struct err *err)
{
    (void)arg;
    (void)reply;
    (void)err; /* a dropped connection is fine: the exit is what counts */
}

void plugin_shutdown(struct plugin *plugin)
{
    if (plugin->is_gone)
        return;
    loop_timer_arm(plugin->timer, boot_add_ms(boot_now(), PLUGIN_EXIT_MS));
    if (plugin->client)
        plugin_call(plugin, METHOD_SHUTDOWN, view_of("", 0), PLUGIN_EXIT_MS, on_shutdown_reply,
                    NULL);
    else
        plugin_kill(plugin); /* no handshake yet */
}

void plugin_free(struct plugin *plugin)
{
    if (!plugin)
        return;
    assert(plugin->is_gone);
    while (plugin->calls)
        call_end(plugin->calls);
    loop_timer_freep(&plugin->timer);
    proc_fini(&plugin->proc);
    fd_closep(&plugin->out);
    free(plugin);
}
