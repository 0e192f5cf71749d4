#include "sidecar/api/api.h"

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/json/doc.h"
#include "sidecar/api/client.h"
#include "sidecar/api/listener.h"
#include "sidecar/config/config.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

/* The API over an engine that still waits for its shim; the client is api_call on a worker. What a
 * running agent is answered is proved by tests/scenario. */
struct scene {
    struct loop *loop;
    char root[32], path[64];
    struct sidecar_config *config;
    struct engine *engine;
    struct observe observe;
    struct api *api;
    struct fd shim;
    const char *method, *call;
    bool ok;
    struct buf out;
    struct err err;
};

static void on_hello(void *arg, const char *api_path) { (void)arg, (void)api_path; }
static bool on_gate(void *arg, struct err *err)
{
    (void)arg, (void)err;
    return true;
}
static void on_end(void *arg, const struct err *why, bool is_dirty)
{
    struct scene *s = arg;
    (void)why, (void)is_dirty;
    loop_quit(s->loop);
}

static void begin(struct scene *s)
{
    int ends[2];
    struct err err;
    (void)snprintf(s->root, sizeof s->root, "/tmp/api-XXXXXX");
    cr_assert_not_null(mkdtemp(s->root));
    (void)snprintf(s->path, sizeof s->path, "%s/api", s->root);
    const char *text = "name = \"a\"\nnode = \"n\"\nlease {\n  store = \"mem:\"\n}\n";
    cr_assert(config_load("test", view_str(text), NULL, &s->config, &err), "%s", err.msg);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    s->loop = loop_new();
    s->shim.raw = ends[0];
    struct engine_spec spec = { s->config, { ends[1] }, &clock_system, &s->observe };
    s->engine = engine_new(s->loop, spec, &(struct engine_events){ on_hello, on_gate, on_end, s });
    s->api = api_new(s->loop, s->engine, &s->observe, 0);
    cr_assert_not(api_is_listening(s->api));
    cr_assert(api_listen(s->api, s->path, &err), "%s", err.msg);
    cr_assert(api_listen(s->api, s->path, &err) && api_is_listening(s->api), "again is fine");
}
static void end(struct scene *s)
{
    struct err err;
    fd_closep(&s->shim); /* the engine ends with its shim */
    loop_run(s->loop);
    api_free(s->api);
    cr_assert_neq(access(s->path, F_OK), 0, "the socket is gone");
    engine_free(s->engine);
    config_free(s->config);
    loop_free(s->loop);
    buf_fini(&s->out);
    cr_assert(dir_remove_tree(s->root, &err));
}
static void job(void *arg)
{
    struct scene *s = arg;
    struct deadline until = deadline_after(boot_now(), 5000, 0);
    s->ok = api_call(s->path, s->method, s->call, until, &s->out, &s->err);
}
static void done(void *arg) { loop_quit(((struct scene *)arg)->loop); }
static bool ask(struct scene *s, const char *method, const char *call)
{
    s->method = method;
    s->call = call;
    s->out.len = 0;
    loop_work(s->loop, job, done, s);
    loop_run(s->loop);
    return s->ok;
}

Test(api, status_is_answered_in_every_phase, .timeout = 20)
{
    struct scene s = { 0 };
    const char *text;
    int64_t number;
    begin(&s);
    cr_assert(ask(&s, "GET", "/v1/status?x=1"), "%s", s.err.msg);
    CLEANUP(json_freep) struct json *doc = NULL;
    cr_assert(json_parse(buf_view(&s.out), "status", 65536, &doc, &s.err), "%s", s.err.msg);
    cr_assert(json_borrow_text(doc, "phase", &text, &s.err));
    cr_assert_str_eq(text, "starting");
    cr_assert(json_int_at(doc, "epoch", &number, &s.err) && number == 0);
    cr_assert(json_int_at(doc, "metrics.agent_api_requests_total", &number, &s.err) && number == 1);
    end(&s);
}

Test(api, barrier_of_an_agent_without_state_is_refused_and_counted, .timeout = 20)
{
    struct scene s = { 0 };
    begin(&s);
    cr_assert_not(ask(&s, "POST", "/v1/barrier"));
    cr_assert_eq(s.err.kind, ERR_INVALID);
    cr_assert_not(ask(&s, "POST", "/v1/checkpoint"));
    cr_assert(s.observe.barriers_failed == 1 && s.observe.api_refused == 2);
    end(&s);
}

Test(api, unknown_path_and_wrong_method_are_named, .timeout = 20)
{
    struct scene s = { 0 };
    begin(&s);
    cr_assert_not(ask(&s, "GET", "/v1/nothing"));
    cr_assert(s.err.kind == ERR_NOT_FOUND && strstr(s.err.msg, "/v1/nothing") != NULL);
    cr_assert_not(ask(&s, "POST", "/v1/status"));
    cr_assert(s.err.kind == ERR_INVALID && strstr(s.err.msg, "GET") != NULL);
    end(&s);
}

Test(api, idle_clients_make_room_for_new_ones, .timeout = 20)
{
    struct scene s = { 0 };
    struct fd idle[API_CLIENTS_MAX + 8];
    struct err err;
    begin(&s);
    for (unsigned i = 0; i < COUNT(idle); i++) {
        idle[i] = FD_NONE;
        cr_assert(listener_connect(s.path, &idle[i], &err) || err.kind == ERR_UNAVAILABLE, "%s",
                  err.msg);
        if (i % 16 == 0)
            cr_assert(ask(&s, "GET", "/v1/status"), "%s", s.err.msg);
    }
    cr_assert(ask(&s, "GET", "/v1/status"), "%s", s.err.msg);
    for (unsigned i = 0; i < COUNT(idle); i++)
        fd_closep(&idle[i]);
    end(&s);
}

/* A stranger of this machine: may connect, gets 403, and may not keep a place by not reading it. */
static void crowd(const char *path, struct fd *out)
{
    CLEANUP(buf_fini) struct buf many = { 0 };
    struct err err;
    for (int i = 0; i < 2000; i++)
        buf_put_str(&many, "GET /v1/status HTTP/1.1\r\n\r\n");
    cr_assert_eq(seteuid(65534), 0);
    bool is_connected = listener_connect(path, out, &err);
    cr_assert_eq(seteuid(0), 0);
    cr_assert(is_connected, "%s", err.msg);
    cr_assert_gt(send(out->raw, many.data, many.len, MSG_NOSIGNAL | MSG_DONTWAIT), 0);
}

Test(api, strangers_who_do_not_read_keep_no_place, .timeout = 20)
{
    struct scene s = { 0 };
    struct fd strangers[API_CLIENTS_MAX];
    if (geteuid() != 0)
        cr_skip_test("needs root");
    begin(&s);
    cr_assert_eq(chmod(s.root, 0711), 0);
    for (unsigned i = 0; i < COUNT(strangers); i++)
        crowd(s.path, &strangers[i]);
    for (unsigned i = 0; i < 4; i++)
        cr_assert(ask(&s, "GET", "/v1/status"), "%s", s.err.msg);
    cr_assert_eq(s.observe.api_refused, API_CLIENTS_MAX, "one answer each");
    for (unsigned i = 0; i < COUNT(strangers); i++)
        fd_closep(&strangers[i]);
    end(&s);
}

Test(api, socket_of_another_process_is_not_taken, .timeout = 20)
{
    struct scene s = { 0 };
    struct err err = { 0 };
    begin(&s);
    struct api *second = api_new(s.loop, s.engine, &s.observe, 0);
    cr_assert_not(api_listen(second, s.path, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    api_free(second);
    cr_assert_eq(access(s.path, F_OK), 0);
    end(&s);
}
