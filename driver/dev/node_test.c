#include "driver/dev/node.h"

#include "driver/dev/dirs.h"
#include "driver/dev/fake_test.h"
#include "driver/dev/job.h"
#include "driver/dev/options.h"
#include "driver/dev/timeline.h"

struct bench { /* a node with a fake driver behind it */
    struct fake *fake;
    struct node *node;
    struct job *job;
    struct dev_options options;
    struct dirs dirs;
    struct timeline timeline;
    struct fd said_read, said_write; /* the timeline */
    struct rpc_call *wait;
    int exit_code; /* of the task */
    unsigned starts;
    bool refuses_start, ends_at_once, is_unhealthy, stands_by;
    struct buf told; /* by the node */
};

static void put_varint(struct buf *b, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        buf_put_u8(b, (uint8_t)(value | 0x80));
    buf_put_u8(b, (uint8_t)value);
}

static struct buf field(unsigned number, struct buf inner)
{
    struct buf out = { 0 };
    buf_put_u8(&out, (uint8_t)(number << 3 | 2));
    put_varint(&out, inner.len);
    buf_put(&out, buf_view(&inner));
    buf_fini(&inner);
    return out;
}

static struct buf text(unsigned number, const char *value)
{
    struct buf inner = { 0 };
    buf_put_str(&inner, value);
    return field(number, inner);
}

static struct buf joined(struct buf a, struct buf b)
{
    buf_put(&a, buf_view(&b));
    buf_fini(&b);
    return a;
}

/* The reply with a schema of these keys, all strings. */
static struct buf schema_of(const char *const *keys)
{
    struct buf members = { 0 };
    for (; *keys; keys++) {
        const bool is_list = strcmp(*keys, "allow_host_paths") == 0;
        const char *type = is_list ? "list(string)" : "string";
        struct buf attr = field(3, joined(text(1, *keys), text(2, type)));
        members = joined(members, field(1, joined(text(1, *keys), field(2, attr))));
    }
    return field(1, field(1, members));
}

static struct bench *bench_of(void *arg) { return ((struct fake *)arg)->owner; }

static void reply(struct rpc_call *call, struct buf message)
{
    rpc_call_reply(call, buf_view(&message));
    buf_fini(&message);
}

static struct buf raw(const char *bytes, size_t len)
{
    struct buf out = { 0 };
    buf_put(&out, view_of(bytes, len));
    return out;
}
#define RAW(bytes) raw(bytes, sizeof(bytes) - 1)

static void on_info(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    (void)request;
    reply(call, RAW("\x08\x02\x12\x06v0.1.0\x1a\x03"
                    "9.9\x22\x05"
                    "agent"));
}

static void on_schema(void *arg, struct rpc_call *call, struct view request)
{
    static const char *const keys[] = { "state_dir", "run_dir", "store",         "key_file",
                                        "shim",      "sidecar", "cgroup_parent", "allow_host_paths",
                                        NULL };
    (void)arg;
    (void)request;
    reply(call, schema_of(keys));
}

static void on_task_schema(void *arg, struct rpc_call *call, struct view request)
{
    static const char *const keys[] = { "command", NULL };
    (void)arg;
    (void)request;
    reply(call, schema_of(keys));
}

static void on_empty(void *arg, struct rpc_call *call, struct view request)
{
    (void)arg;
    (void)request;
    rpc_call_reply(call, view_of("", 0));
}

static void on_held_end(void *arg) { (void)arg; }

static void hold(void *arg, struct rpc_call *call)
{
    rpc_call_hold(call, &(struct rpc_hold){ .on_end = on_held_end, .arg = arg });
}

static void on_fingerprint(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    rpc_call_send(call, bench_of(arg)->is_unhealthy ? view_str("\x10\x01\x1a\x04sick")
                                                    : view_str("\x10\x02"));
    hold(arg, call);
}

static void on_events(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    rpc_call_send(call, view_str("\x2a\x0chello events"));
    hold(arg, call);
}

static void on_start(void *arg, struct rpc_call *call, struct view request)
{
    struct bench *b = bench_of(arg);
    (void)request;
    fake_note(arg, "Start");
    b->starts++;
    if (b->refuses_start)
        rpc_call_end(call, &(struct rpc_status){ RPC_INVALID_ARGUMENT, "no", { 0 } });
    else
        reply(call, RAW("\x1a\x03\x12\x01x"));
}

static void wait_answer(struct bench *b)
{
    struct buf result = RAW("\x08");
    put_varint(&result, (uint64_t)b->exit_code);
    if (b->wait)
        reply(STEAL(b->wait), field(1, result));
    else
        buf_fini(&result);
}

static void on_wait(void *arg, struct rpc_call *call, struct view request)
{
    struct bench *b = bench_of(arg);
    (void)request;
    fake_note(arg, "Wait");
    b->wait = call;
    if (b->ends_at_once)
        wait_answer(b);
    else
        hold(arg, call);
}

static void on_stop(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    fake_note(arg, "Stop");
    rpc_call_reply(call, view_of("", 0));
    wait_answer(bench_of(arg));
}

static void on_destroy(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    fake_note(arg, "Destroy");
    rpc_call_reply(call, view_of("", 0));
}

static void on_inspect(void *arg, struct rpc_call *call, struct view request)
{
    (void)request;
    reply(call, bench_of(arg)->stands_by ? RAW("\x12\x12\x0a\x10\x0a\x05phase\x12\x07standby")
                                         : RAW("\x12\x12\x0a\x10\x0a\x05phase\x12\x07running"));
}

static const struct rpc_method methods[] = {
    { FAKE_BASE "PluginInfo", RPC_UNARY, on_info },
    { FAKE_BASE "ConfigSchema", RPC_UNARY, on_schema },
    { FAKE_BASE "SetConfig", RPC_UNARY, on_empty },
    { FAKE_DRIVER "Init", RPC_UNARY, on_empty },
    { FAKE_DRIVER "TaskConfigSchema", RPC_UNARY, on_task_schema },
    { FAKE_DRIVER "Capabilities", RPC_UNARY, on_empty },
    { FAKE_DRIVER "Fingerprint", RPC_STREAM, on_fingerprint },
    { FAKE_DRIVER "TaskEvents", RPC_STREAM, on_events },
    { FAKE_DRIVER "StartTask", RPC_UNARY, on_start },
    { FAKE_DRIVER "WaitTask", RPC_UNARY, on_wait },
    { FAKE_DRIVER "StopTask", RPC_UNARY, on_stop },
    { FAKE_DRIVER "DestroyTask", RPC_UNARY, on_destroy },
    { FAKE_DRIVER "InspectTask", RPC_UNARY, on_inspect },
    { "/plugin.GRPCController/Shutdown", RPC_UNARY, fake_on_shutdown },
};

static void on_settled(void *arg, struct node *node)
{
    struct bench *b = arg;
    (void)node;
    buf_put_str(&b->told, "settled ");
    loop_quit(b->fake->loop);
}

static void on_over(void *arg, struct node *node)
{
    struct bench *b = arg;
    buf_put_fmt(&b->told, "over(%d) ", node_exit_code(node));
    node_shutdown(node);
}

static void on_gone(void *arg, struct node *node)
{
    struct bench *b = arg;
    (void)node;
    buf_put_str(&b->told, "gone");
    loop_quit(b->fake->loop);
}

#define JOB                                                                               \
    "job \"j\" {\n group \"g\" {\n  restart {\n   attempts = 1\n   delay = \"0s\"\n  }\n" \
    "  task \"t\" {\n   driver = \"agent\"\n   config {\n    command = \"/x\"\n   }\n  }\n }\n}\n"

static struct bench *bench_new(void)
{
    struct bench *b = mem_new(struct bench);
    struct err err = { 0 };
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    b->said_read.raw = ends[0];
    b->said_write.raw = ends[1];
    b->fake = fake_new();
    b->fake->owner = b;
    fake_serve(b->fake, methods, COUNT(methods));
    b->timeline = timeline_open(&clock_system, ends[1], false);
    b->options.nodes = 1;
    cr_assert(job_read("j", view_str(JOB), &b->job, &err), "%s", err.msg);
    CLEANUP(str_freep) char *data = str_format("%s/data", b->fake->dir);
    cr_assert(dirs_make(data, NULL, &b->dirs, &err), "%s", err.msg);
    return b;
}

static bool bench_start(struct bench *b, const char *plugin, struct err *err)
{
    const struct node_spec spec = { .loop = b->fake->loop,
                                    .rpc = b->fake->rpc,
                                    .job = b->job,
                                    .options = &b->options,
                                    .timeline = &b->timeline,
                                    .dirs = &b->dirs,
                                    .plugin_path = plugin,
                                    .cgroup = "",
                                    .number = 1,
                                    .on_settled = on_settled,
                                    .on_over = on_over,
                                    .on_gone = on_gone,
                                    .arg = b };
    return node_start(&spec, &b->node, err);
}

static void run_until(struct bench *b, const char *what)
{
    while (!strstr(buf_borrow_str(&b->told), what))
        loop_run(b->fake->loop);
}

static void starts(struct bench *b)
{
    struct err err = { 0 };
    cr_assert(bench_start(b, b->fake->script, &err), "%s", err.msg);
    run_until(b, "settled");
}

static bool said(struct bench *b, const char *what)
{
    char all[8192];
    const ssize_t n = read(b->said_read.raw, all, sizeof all - 1);
    all[n > 0 ? n : 0] = '\0';
    return strstr(all, what) != NULL;
}

static void bench_free(struct bench *b)
{
    node_free(b->node);
    dirs_remove(&b->dirs);
    job_free(b->job);
    fake_free(b->fake);
    fd_closep(&b->said_read);
    fd_closep(&b->said_write);
    buf_fini(&b->told);
    free(b);
}

Test(node, a_task_is_started_waited_for_and_destroyed)
{
    struct bench *b = bench_new();
    b->ends_at_once = true;
    starts(b);
    run_until(b, "gone");
    cr_assert_str_eq(buf_borrow_str(&b->told), "settled over(0) gone");
    cr_assert_str_eq(buf_borrow_str(&b->fake->calls), "Start Wait Destroy");
    cr_assert(node_ended_alone(b->node));
    cr_assert(node_is_over(b->node) && node_is_gone(b->node));
    cr_assert(said(b, "node-1 task ended: exit code 0\n"));
    bench_free(b);
}

Test(node, a_failed_task_is_restarted_as_the_job_says)
{
    struct bench *b = bench_new();
    b->ends_at_once = true;
    b->exit_code = 7;
    starts(b);
    run_until(b, "gone");
    cr_assert_str_eq(buf_borrow_str(&b->told), "settled over(7) gone");
    cr_assert_eq(b->starts, 2);
    bench_free(b);
}

Test(node, a_stopped_task_is_not_restarted)
{
    struct bench *b = bench_new();
    b->exit_code = 143;
    starts(b);
    node_stop(b->node);
    node_stop(b->node);
    run_until(b, "gone");
    cr_assert_str_eq(buf_borrow_str(&b->told), "settled over(143) gone");
    cr_assert_not(node_ended_alone(b->node));
    cr_assert_eq(b->starts, 1);
    bench_free(b);
}

static void on_looked(void *arg, struct node *node)
{
    struct bench *b = arg;
    (void)node;
    loop_quit(b->fake->loop);
}

Test(node, a_look_tells_a_standby_from_a_running_agent)
{
    struct bench *b = bench_new();
    b->stands_by = true;
    starts(b);
    node_look(b->node, on_looked, b);
    loop_run(b->fake->loop);
    cr_assert_not(node_is_active(b->node));
    b->stands_by = false;
    node_look(b->node, on_looked, b);
    loop_run(b->fake->loop);
    cr_assert(node_is_active(b->node));
    node_stop(b->node);
    run_until(b, "gone");
    node_look(b->node, on_looked, b);
    loop_run(b->fake->loop);
    cr_assert_not(node_is_active(b->node));
    bench_free(b);
}

Test(node, a_start_that_is_refused_fails_the_node)
{
    struct bench *b = bench_new();
    b->refuses_start = true;
    starts(b);
    run_until(b, "gone");
    cr_assert_str_eq(buf_borrow_str(&b->told), "settled over(64) gone");
    cr_assert(said(b, "node-1 start the task: no (INVALID_ARGUMENT)\n"));
    bench_free(b);
}

Test(node, an_unhealthy_driver_gets_no_task)
{
    struct bench *b = bench_new();
    b->is_unhealthy = true;
    starts(b);
    run_until(b, "gone");
    cr_assert_str_eq(buf_borrow_str(&b->told), "settled over(75) gone");
    cr_assert_eq(b->starts, 0);
    cr_assert(said(b, "node-1 driver is not healthy: sick\n"));
    bench_free(b);
}

Test(node, a_killed_node_is_over_and_gone_without_a_code)
{
    struct bench *b = bench_new();
    starts(b);
    node_kill(b->node);
    node_kill(b->node);
    run_until(b, "gone");
    cr_assert_str_eq(buf_borrow_str(&b->told), "settled over(-1) gone");
    cr_assert_not(node_ended_alone(b->node));
    bench_free(b);
}

Test(node, a_plugin_that_dies_fails_the_node_and_its_log_is_named)
{
    struct bench *b = bench_new();
    struct err err;
    starts(b);
    cr_assert(file_publish(AT_FDCWD, b->fake->stop, view_str(""), 0600, FILE_REPLACE, &err));
    run_until(b, "gone");
    cr_assert_str_eq(buf_borrow_str(&b->told), "settled over(75) gone");
    cr_assert(said(b, "plugin.log"));
    bench_free(b);
}

Test(node, a_cut_node_loses_the_store)
{
    struct bench *b = bench_new();
    struct err err = { 0 };
    CLEANUP(str_freep) char *store = str_format("%s/nodes/1/store", b->dirs.data);
    starts(b);
    cr_assert_eq(access(store, F_OK), 0);
    cr_assert(node_cut(b->node, &err), "%s", err.msg);
    cr_assert_neq(access(store, F_OK), 0);
    node_stop(b->node);
    run_until(b, "gone");
    bench_free(b);
}

Test(node, a_plugin_that_cannot_be_started_leaves_nothing)
{
    struct bench *b = bench_new();
    struct err err = { 0 };
    cr_assert_not(bench_start(b, "/nonexistent/plugin", &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert(strncmp(err.msg, "node-1: ", 8) == 0, "%s", err.msg);
    bench_free(b);
}
