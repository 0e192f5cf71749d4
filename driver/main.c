/* nomad-driver-agent - the task driver plugin that Nomad's agent starts. */
#include "common/base/fd.h"
#include "common/base/own.h"
#include "common/log/log.h"
#include "common/loop/loop.h"
#include "driver/operator/validate.h"
#include "driver/plugin/handshake.h"
#include "driver/plugin/plugin.h"
#include "driver/rpc/rpc.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The agent kills 2 s after it asked; a worker that hangs on a dead disk is not waited for. */
#define END_LIMIT_MS 1700

struct app {
    struct loop *loop;
    struct rpc *rpc;
    struct plugin *plugin;
    struct handshake handshake;
    struct fd signals;
    struct loop_watch *watch;
    struct loop_timer *limit;
    bool is_ending, has_ended;
};

static const char usage[] =
    "Usage: nomad-driver-agent [-help | -version | -schema | -validate FILE]\n"
    "\n"
    "Task driver plugin for HashiCorp Nomad: runs agents under supervision, so that they\n"
    "survive restarts of Nomad and of the plugin. Nomad's agent starts it: put the file into\n"
    "plugin_dir and name it in the agent's configuration:\n"
    "\n"
    "  plugin \"nomad-driver-agent\" {\n"
    "    config { }\n"
    "  }\n"
    "\n"
    "A job then says driver = \"agent\".\n"
    "\n"
    "  -schema         print every key of that block and of a task's config block, and what\n"
    "                  a node may say of itself\n"
    "  -validate FILE  check that block in an agent's configuration file, and that this\n"
    "                  machine has what it names\n"
    "\n"
    "Exit code: 0 ended by the agent or by SIGTERM, 1 not started by Nomad's agent or no\n"
    "socket, 64 wrong usage or configuration, else as in docs/failures.md.\n";

static void rpc_stopped(void *arg)
{
    struct app *app = arg;
    app->has_ended = true;
    loop_quit(app->loop);
}

static void plugin_stopped(void *arg)
{
    struct app *app = arg;
    rpc_stop(app->rpc, rpc_stopped, app);
}

static void on_limit(void *arg)
{
    LOG(LOG_WARN, "ending took too long, exiting at once");
    loop_quit(((struct app *)arg)->loop);
}

/* Tasks keep running in every case: their shims own them. */
static void end(void *arg)
{
    struct app *app = arg;
    if (app->is_ending)
        return;
    app->is_ending = true;
    (void)unlink(app->handshake.path); /* from here on nobody shall find us */
    loop_timer_arm(app->limit, boot_add_ms(boot_now(), END_LIMIT_MS));
    plugin_stop(app->plugin, plugin_stopped, app);
}

static void on_signal(void *arg, unsigned events)
{
    (void)events;
    struct app *app = arg;
    struct signalfd_siginfo info;
    if (read(app->signals.raw, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return;
    LOG(LOG_INFO, "asked to end; tasks keep running", F(signal, info.ssi_signo));
    end(app);
}

/* SIGINT goes to the agent's whole process group and is the agent's business; a log line to a dead
 * agent must not kill us. Before any thread exists: they inherit the mask. */
static bool take_signals(struct fd *out, struct err *err)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN };
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    if (sigaction(SIGINT, &ignore, NULL) != 0 || sigaction(SIGPIPE, &ignore, NULL) != 0 ||
        pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return err_sys(err, errno, "set up signals");
    out->raw = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return out->raw >= 0 || err_sys(err, errno, "watch signals");
}

static bool app_start(struct app *app, struct err *err)
{
    if (!take_signals(&app->signals, err) || !handshake_listen(&app->handshake, err))
        return false;
    app->loop = loop_new();
    app->rpc = rpc_new(app->loop);
    app->watch = loop_watch_new(app->loop, app->signals.raw, LOOP_READ, on_signal, app);
    app->limit = loop_timer_new(app->loop, on_limit, app);
    app->plugin = plugin_new(
        &(struct plugin_spec){ app->loop, app->rpc, fd_take(&app->handshake.listener), end, app });
    return true;
}

/* After a forced end the library's threads still run: nothing of theirs may be freed. */
static void app_finish(struct app *app)
{
    handshake_fini(&app->handshake);
    if (!app->has_ended)
        _exit(0);
    loop_watch_freep(&app->watch);
    loop_timer_freep(&app->limit);
    plugin_free(app->plugin);
    rpc_free(app->rpc);
    loop_free(app->loop);
    fd_closep(&app->signals);
}

static int serve(void)
{
    struct err err;
    struct app app = { .signals = FD_NONE };
    /* One heap for all threads: with one each, blocks that one makes and another frees leave holes
     * in all of them. Over 10,000 tasks the memory grew by 5%; now it does not, and is 0.6 MiB
     * less. */
    (void)mallopt(M_ARENA_MAX, 1);
    if (!handshake_check(&err)) {
        fprintf(stderr, "%s.\n", err.msg);
        return 1;
    }
    if (!app_start(&app, &err)) {
        LOG(LOG_ERROR, "the plugin cannot start", F(error, &err));
        handshake_fini(&app.handshake);
        return 1;
    }
    if (!handshake_tell(&app.handshake, STDOUT_FILENO, &err)) {
        LOG(LOG_ERROR, "the agent does not read", F(error, &err));
        handshake_fini(&app.handshake);
        _exit(1); /* nothing was started that must be ended */
    }
    loop_run(app.loop);
    app_finish(&app);
    return 0;
}

/* What the agent inherited without close-on-exec would travel on into every task. */
static void close_inherited(void) { (void)syscall(SYS_close_range, 3U, ~0U, 0U); }

/* Both spellings of a flag, as everywhere in Nomad. */
static const char *flag_of(const char *arg)
{
    return arg[0] != '-' ? NULL : arg[1] == '-' ? arg + 2 : arg + 1;
}

static int print_schema(void)
{
    CLEANUP(buf_fini) struct buf page = { 0 };
    plugin_put_page(&page);
    return fwrite(page.data, 1, page.len, stdout) == page.len && fflush(stdout) == 0 ? 0 : 1;
}

static int validate(const char *path)
{
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf report = { 0 };
    if (!operator_validate(path, &report, &err)) {
        fprintf(stderr, "nomad-driver-agent: %s\n", err.msg);
        return err_exit_code(err.kind);
    }
    return fwrite(report.data, 1, report.len, stdout) == report.len && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    close_inherited();
    for (int i = 1; i < argc; i++) {
        const char *flag = flag_of(argv[i]);
        if (flag != NULL && strcmp(flag, "help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (flag != NULL && strcmp(flag, "version") == 0) {
            puts("nomad-driver-agent " AGENT_VERSION);
            return 0;
        }
        if (flag != NULL && strcmp(flag, "schema") == 0)
            return print_schema();
        if (flag != NULL && strcmp(flag, "validate") == 0 && i + 2 == argc)
            return validate(argv[i + 1]);
        fprintf(stderr, "nomad-driver-agent: wrong argument \"%s\"\n\n%s", argv[i], usage);
        return 64;
    }
    log_init("driver", LOG_INFO); /* until SetConfig says otherwise */
    return serve();
}
