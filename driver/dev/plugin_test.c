#include "driver/dev/plugin.h"

#include "driver/dev/fake_test.h"

struct story { /* what the plugin told */
    struct fake *fake;
    struct plugin *plugin;
    struct buf told;
    bool shut_down; /* once ready */
};

static void on_ready(void *arg, const struct err *err)
{
    struct story *s = arg;
    buf_put_fmt(&s->told, "[ready %s]", err ? err_kind_name(err->kind) : "ok");
    if (s->shut_down)
        plugin_shutdown(s->plugin);
    else if (!err)
        loop_quit(s->fake->loop);
}

static void on_gone(void *arg, const char *how)
{
    struct story *s = arg;
    buf_put_fmt(&s->told, "[gone %s]", how);
    loop_quit(s->fake->loop);
}

static bool start(struct story *s, struct err *err)
{
    const struct plugin_spec spec = { .loop = s->fake->loop,
                                      .rpc = s->fake->rpc,
                                      .path = s->fake->script,
                                      .log_path = s->fake->log,
                                      .tmp_dir = s->fake->dir,
                                      .cgroup_fd = -1,
                                      .on_ready = on_ready,
                                      .on_gone = on_gone,
                                      .arg = s };
    return plugin_start(&spec, &s->plugin, err);
}

/* Runs a plugin that ends by itself; what it told is compared. */
static void tells(struct story *s, const char *wanted)
{
    struct err err = { 0 };
    cr_assert(start(s, &err), "%s", err.msg);
    loop_run(s->fake->loop);
    cr_assert_str_eq(buf_borrow_str(&s->told), wanted);
    plugin_free(s->plugin);
    buf_fini(&s->told);
    fake_free(s->fake);
}

static void on_echo(void *arg, struct rpc_call *call, struct view request)
{
    fake_note(arg, "Echo");
    rpc_call_reply(call, request);
}

static void on_held_end(void *arg) { (void)arg; }

static void on_hold(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    fake_note(arg, "Hold");
    rpc_call_hold(call, &(struct rpc_hold){ .on_end = on_held_end, .arg = arg });
    fake_quit(arg);
}

static void on_stream(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    rpc_call_send(call, request);
    rpc_call_hold(call, &(struct rpc_hold){ .on_end = on_held_end, .arg = arg });
}

/* "13+" is INTERNAL with details. */
static void on_refuse(void *arg, struct rpc_call *call, struct view request)
{
    char text[8] = "";
    char *end;
    (void)arg;
    memcpy(text, request.data, request.len < sizeof text - 1 ? request.len : sizeof text - 1);
    const enum rpc_code code = (enum rpc_code)strtol(text, &end, 10);
    const struct view details = view_str(*end == '+' ? "details" : "");
    rpc_call_end(call, &(struct rpc_status){ code, "no", details });
}

static const struct rpc_method methods[] = {
    { "/t/Echo", RPC_UNARY, on_echo },
    { "/t/Hold", RPC_UNARY, on_hold },
    { "/t/Stream", RPC_STREAM, on_stream },
    { "/t/Refuse", RPC_UNARY, on_refuse },
    { "/plugin.GRPCController/Shutdown", RPC_UNARY, fake_on_shutdown },
};

static void on_reply(void *arg, struct view reply, const struct err *err)
{
    struct story *s = arg;
    if (err)
        buf_put_fmt(&s->told, "[reply %s]", err_kind_name(err->kind));
    else
        buf_put_fmt(&s->told, "[reply %.*s]", (int)reply.len, (const char *)reply.data);
    loop_quit(s->fake->loop);
}

static void on_message(void *arg, struct view message)
{
    struct story *s = arg;
    buf_put_fmt(&s->told, "[message %.*s]", (int)message.len, (const char *)message.data);
    loop_quit(s->fake->loop);
}

static void on_end(void *arg, const char *why)
{
    struct story *s = arg;
    buf_put_fmt(&s->told, "[end%s]", *why ? "" : " without a reason");
}

static struct story ready(void)
{
    struct story s = { .fake = fake_new() };
    fake_serve(s.fake, methods, COUNT(methods));
    return s;
}

static void start_and_wait(struct story *s)
{
    struct err err = { 0 };
    cr_assert(start(s, &err), "%s", err.msg);
    loop_run(s->fake->loop);
    cr_assert_str_eq(buf_borrow_str(&s->told), "[ready ok]");
    s->told.len = 0;
}

static void end_and_free(struct story *s)
{
    plugin_free(s->plugin);
    buf_fini(&s->told);
    fake_free(s->fake);
}

Test(plugin, a_refusal_has_the_drivers_kind)
{
    static const struct {
        const char *code; /* "+" behind it: with details */
        enum err_kind kind;
    } rows[] = {
        { "3", ERR_INVALID },    { "5", ERR_NOT_FOUND }, { "7", ERR_DENIED },
        { "6", ERR_CONFLICT },   { "9", ERR_CONFLICT },  { "15", ERR_CORRUPT },
        { "13", ERR_SYSTEM },    { "2", ERR_SYSTEM },    { "13+", ERR_UNAVAILABLE },
        { "12", ERR_NOT_FOUND },
    };
    struct story s = ready();
    start_and_wait(&s);
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(str_freep) char *told = str_format("[reply %s]", err_kind_name(rows[i].kind));
        s.told.len = 0;
        plugin_call(s.plugin, "/t/Refuse", view_str(rows[i].code), 5000, on_reply, &s);
        loop_run(s.fake->loop);
        cr_expect_str_eq(buf_borrow_str(&s.told), told, "code %s: %s", rows[i].code,
                         buf_borrow_str(&s.told));
    }
    plugin_shutdown(s.plugin);
    loop_run(s.fake->loop);
    end_and_free(&s);
}

Test(plugin, calls_are_answered_and_a_shutdown_ends_it)
{
    struct story s = ready();
    start_and_wait(&s);
    plugin_call(s.plugin, "/t/Echo", view_str("hi"), 5000, on_reply, &s);
    loop_run(s.fake->loop);
    plugin_call(s.plugin, "/t/Missing", view_str("hi"), 5000, on_reply, &s);
    loop_run(s.fake->loop);
    plugin_shutdown(s.plugin);
    loop_run(s.fake->loop);
    cr_assert_str_eq(buf_borrow_str(&s.told), "[reply hi][reply NOT_FOUND][gone exit code 0]");
    plugin_call(s.plugin, "/t/Echo", view_str("hi"), 5000, on_reply, &s);
    plugin_shutdown(s.plugin);
    plugin_kill(s.plugin);
    end_and_free(&s);
}

Test(plugin, what_is_open_when_it_dies_ends_before_on_gone)
{
    struct story s = ready();
    start_and_wait(&s);
    plugin_stream(s.plugin, "/t/Stream", view_str("m"), on_message, on_end, &s);
    loop_run(s.fake->loop);
    plugin_call(s.plugin, "/t/Hold", view_str(""), 0, on_reply, &s);
    loop_run(s.fake->loop);
    plugin_kill(s.plugin);
    loop_run(s.fake->loop);
    if (!memmem(s.told.data, s.told.len, "[gone", 5))
        loop_run(s.fake->loop);
    const char *told = buf_borrow_str(&s.told);
    cr_assert(strncmp(told, "[message m]", 11) == 0, "%s", told);
    cr_assert_not_null(strstr(told, "[reply UNAVAILABLE]"), "%s", told);
    cr_assert_not_null(strstr(told, "[end]"), "%s", told);
    cr_assert_str_eq(told + s.told.len - 15, "[gone signal 9]");
    end_and_free(&s);
}

Test(plugin, a_process_that_ends_without_a_handshake_is_unavailable)
{
    struct story s = { .fake = fake_new() };
    fake_script(s.fake, "exit 3");
    tells(&s, "[ready UNAVAILABLE][gone exit code 3]");
}

Test(plugin, a_wrong_handshake_gets_it_killed)
{
    struct story s = { .fake = fake_new() };
    fake_script(s.fake, "echo hello; exec sleep 100");
    tells(&s, "[ready INVALID][gone signal 9]");
}

Test(plugin, a_socket_nobody_listens_at_gets_it_killed)
{
    struct story s = { .fake = fake_new() };
    fake_script(s.fake, "echo '1|2|unix|/nonexistent/s|grpc|'; exec sleep 100");
    tells(&s, "[ready NOT_FOUND][gone signal 9]");
}

Test(plugin, a_handshake_line_without_end_gets_it_killed)
{
    struct story s = { .fake = fake_new() };
    fake_script(s.fake,
                "while :; do printf xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done");
    tells(&s, "[ready INVALID][gone signal 9]");
}

Test(plugin, the_cookie_is_in_its_environment_and_stderr_goes_to_the_log)
{
    struct story s = { .fake = fake_new() };
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf log = { 0 };
    fake_script(s.fake,
                "echo \"$NOMAD_PLUGIN_MAGIC_COOKIE $PLUGIN_PROTOCOL_VERSIONS\" >&2; exit 1");
    cr_assert(start(&s, &err));
    loop_run(s.fake->loop);
    cr_assert(file_read(AT_FDCWD, s.fake->log, 1000, &log, &err), "%s", err.msg);
    cr_assert_str_eq(buf_borrow_str(&log),
                     "e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255 2\n");
    end_and_free(&s);
}

Test(plugin, a_program_that_is_not_there_is_named)
{
    struct story s = { .fake = fake_new() };
    struct err err = { 0 };
    cr_assert_not(start(&s, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert_not_null(strstr(err.msg, s.fake->script), "%s", err.msg);
    fake_free(s.fake);
}
