#include "sidecar/cmd/attach.h"

#include "common/base/own.h"
#include "common/hcl/hcl.h"
#include "common/log/log.h"
#include "common/loop/loop.h"
#include "common/shimwire/spec.h"
#include "sidecar/api/api.h"
#include "sidecar/config/config.h"
#include "sidecar/engine/engine.h"
#include "sidecar/engine/workers.h"
#include "sidecar/observe/observe.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

struct attach {
    struct loop *loop;
    struct engine *engine;
    struct api *api;
    struct observe observe;
    struct sidecar_config *config;
    char api_path[SHIM_TEXT_MAX + 1];
    bool is_ok, is_dirty;
    struct err outcome;
};

/* A standby may find its socket taken by the one it waits for: the gate asks again. */
static void on_hello(void *arg, const char *api_path)
{
    struct attach *a = arg;
    struct err err;
    const char *path = a->config->api.path[0] != '\0' ? a->config->api.path : api_path;
    (void)snprintf(a->api_path, sizeof a->api_path, "%s", path);
    if (a->api_path[0] != '\0' && !api_listen(a->api, a->api_path, &err))
        LOG(LOG_WARN, "the API does not listen yet", F(why, &err));
}

static bool on_gate(void *arg, struct err *err)
{
    struct attach *a = arg;
    return a->api_path[0] == '\0' || api_listen(a->api, a->api_path, err);
}

static void on_end(void *arg, const struct err *why, bool is_dirty)
{
    struct attach *a = arg;
    a->is_ok = why == NULL;
    a->is_dirty = is_dirty;
    if (why != NULL)
        a->outcome = *why;
    loop_quit(a->loop);
}

static bool read_config(struct sidecar_config **out, struct err *err)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    for (;;) {
        uint8_t *to = buf_reserve(&text, 65536);
        ssize_t got = pread(SHIM_SIDECAR_CONFIG, to, 65536, (off_t)text.len);
        if (got < 0)
            return err_sys(err, errno, "read configuration from descriptor %d",
                           SHIM_SIDECAR_CONFIG);
        if (got == 0)
            break;
        text.len += (size_t)got;
        if (text.len > HCL_BYTES_MAX)
            return err_set(err, ERR_INVALID, "read configuration: larger than %u bytes",
                           HCL_BYTES_MAX);
    }
    return config_load("config", buf_view(&text), NULL, out, err) &&
           ((*out)->lease.is_present ||
            err_set(err, ERR_INVALID, "read configuration: neither state nor lease"));
}

/* The shim must learn why, also when there is no engine that could tell it. */
static void tell_shim(const struct err *why)
{
    uint8_t bytes[SHIM_MSG_MAX];
    struct shim_msg msg = { .type = SHIM_DONE };
    msg.done.kind = (uint8_t)why->kind;
    shim_text_copy(msg.done.text, why->msg);
    size_t len = shim_msg_encode(&msg, bytes);
    if (send(SHIM_SIDECAR_FD, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        LOG(LOG_WARN, "the shim cannot be told");
}

/* Only the shim decides when we end: a terminal's or a group's signal is for the agent. Secrets
 * never go to a core file. */
static void harden(void)
{
    static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE };
    sigset_t none;
    for (size_t i = 0; i < COUNT(ignored); i++)
        (void)signal(ignored[i], SIG_IGN); /* banned: ignoring is no handler */
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
}

/* Before the first job: the pool is made then, and never changes. */
static void size_pool(void)
{
    char count[12];
    (void)snprintf(count, sizeof count, "%d", ENGINE_WORKERS);
    (void)setenv("UV_THREADPOOL_SIZE", count, 1);
}

static void live(struct attach *a)
{
    const struct engine_events events = { on_hello, on_gate, on_end, a };
    const struct engine_spec spec = {
        .config = a->config,
        .channel = { SHIM_SIDECAR_FD },
        .clock = &clock_system,
        .observe = &a->observe,
    };
    a->loop = loop_new();
    a->engine = engine_new(a->loop, spec, &events);
    a->api = api_new(a->loop, a->engine, &a->observe, getppid());
    loop_run(a->loop);
    api_free(a->api); /* also when dirty: the socket's path is to be free */
    if (a->is_dirty) {
        LOG(LOG_WARN, "a store call does not return, leaving without it");
        _exit(err_exit_code(a->is_ok ? ERR_NONE : a->outcome.kind));
    }
    engine_free(a->engine);
    loop_free(a->loop);
}

bool cmd_attach(const struct args *args, struct err *err)
{
    struct attach a = { 0 };
    enum log_level level = LOG_WARN;
    harden();
    size_pool();
    if (args->log_level != NULL && !log_level_parse(args->log_level, &level, err))
        return false;
    log_init("sidecar", level);
    if (!read_config(&a.config, err)) {
        LOG(LOG_ERROR, "failed", F(why, err));
        tell_shim(err);
        return false;
    }
    live(&a);
    config_free(a.config);
    if (!a.is_ok)
        *err = a.outcome;
    return a.is_ok;
}
