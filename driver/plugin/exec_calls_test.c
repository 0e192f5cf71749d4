#include "driver/plugin/exec_calls.h"

#include "driver/exec/exec.h"
#include "driver/exec/wish.h"
#include "driver/plugin/host_test.h"
#include "driver/rpc/chat_test.h"

#define FRAMES 64

/* A session that says what the test has it say. */
struct exec {
    struct exec_owner owner;
    struct exec_frame frames[FRAMES];
    size_t first, count;
    struct err failure;
};

static struct {
    struct exec *exec; /* the newest; NULL: none, or dropped */
    int begun, dropped, killed;
    char command[64];
    enum exec_mode mode;
    enum err_kind refusal; /* of the next one */
    struct buf input;
    bool is_full, has_input_end;
    struct pty_size size;
} session;

static bool begin(const char *task_id, const struct exec_wish *wish, const struct exec_owner *owner,
                  struct exec **out, struct err *err)
{
    if (strcmp(task_id, "known") != 0)
        return err_set(err, ERR_NOT_FOUND, "no such task");
    if (session.refusal != ERR_NONE)
        return err_set(err, session.refusal, "refused");
    snprintf(session.command, sizeof(session.command), "%s", wish->argv[0]);
    session.mode = wish->mode;
    session.begun++;
    session.exec = *out = mem_new(struct exec);
    (*out)->owner = *owner;
    return true;
}

static void set_up(void) { fake.exec = begin; }
TestSuite(exec_calls, .init = set_up);

void exec_next(struct exec *exec, struct exec_frame *out)
{
    *out = (struct exec_frame){ .what = EXEC_NOTHING };
    if (exec->first < exec->count)
        *out = exec->frames[exec->first++];
}

void exec_drop(struct exec *exec)
{
    session.dropped++;
    session.exec = NULL;
    free(exec);
}

void exec_kill(struct exec *exec)
{
    (void)exec;
    session.killed++;
}

bool exec_wants_input(const struct exec *exec)
{
    (void)exec;
    return !session.is_full;
}

void exec_write(struct exec *exec, struct view bytes)
{
    (void)exec;
    cr_assert(!session.is_full || bytes.len == 0);
    buf_put(&session.input, bytes);
}

void exec_end_input(struct exec *exec)
{
    (void)exec;
    session.has_input_end = true;
}

void exec_resize(struct exec *exec, struct pty_size size)
{
    (void)exec;
    session.size = size;
}

static void say(struct exec_frame frame)
{
    struct exec *exec = session.exec;
    cr_assert_lt(exec->count, FRAMES);
    exec->frames[exec->count++] = frame;
}

static void change(void *arg)
{
    (void)arg;
    if (session.exec != NULL)
        session.exec->owner.on_change(session.exec->owner.arg);
}

static void say_end(int code)
{
    say((struct exec_frame){ .what = EXEC_CLOSED });
    say((struct exec_frame){ .what = EXEC_CLOSED, .is_stderr = true });
    say((struct exec_frame){ .what = EXEC_EXITED, .exit_code = code });
}

static void turn(struct host *host)
{
    loop_post(host->w.loop, world_quit, &host->w);
    loop_run(host->w.loop);
}

static void fini(struct host *host)
{
    buf_fini(&session.input);
    host_fini(host);
}

/* ExecTask. */

static struct rpc_request *ask(struct host *host, const char *id, int64_t timeout_ms,
                               struct seen *seen)
{
    uint8_t bytes[256];
    ProtobufCBinaryData words[] = { bytes_of("check"), bytes_of("-q") };
    Nd__Duration timeout = ND__DURATION__INIT;
    Nd__ExecTaskRequest request = ND__EXEC_TASK_REQUEST__INIT;
    timeout.nanos = (int32_t)(timeout_ms % 1000 * 1000000);
    request.task_id = bytes_of(id);
    request.command = words;
    request.n_command = COUNT(words);
    request.timeout = &timeout;
    size_t len = nd__exec_task_request__pack(&request, bytes);
    struct rpc_events events = seen_events(&host->w, seen);
    return rpc_client_call(host->w.client, DRIVER "ExecTask", view_of(bytes, len), 0, &events);
}

static struct rpc_request *ask_and_begin(struct host *host, int64_t timeout_ms, struct seen *seen)
{
    int begun = session.begun;
    struct rpc_request *request = ask(host, "known", timeout_ms, seen);
    host_run_until(host, &session.begun, begun + 1);
    return request;
}

Test(exec_calls, answer_with_output_and_result)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    host_configure(&host);
    (void)ask_and_begin(&host, 0, &seen);
    cr_expect_str_eq(session.command, "check");
    cr_expect_eq(session.mode, EXEC_ONE_PIPE);
    say((struct exec_frame){ .what = EXEC_OUTPUT, .bytes = view_str("so ") });
    change(NULL);
    say((struct exec_frame){ .what = EXEC_OUTPUT, .bytes = view_str("it is") });
    say_end(3);
    change(NULL);
    host_run_until(&host, &seen.ends, 1);
    Nd__ExecTaskResponse *reply = nd__exec_task_response__unpack(NULL, seen.last.len,
                                                                 seen.last.data);
    cr_expect(view_is_equal(view_of(reply->stdout.data, reply->stdout.len), view_str("so it is")));
    cr_expect_eq(reply->result->exit_code, 3);
    nd__exec_task_response__free_unpacked(reply, NULL);
    cr_expect_eq(session.dropped, 1);
    seen_fini(&seen);
    fini(&host);
}

Test(exec_calls, keep_the_end_of_what_is_said_and_let_others_have_their_turn)
{
    static uint8_t block[EXEC_CHUNK_BYTES];
    struct host host;
    struct seen seen;
    host_init(&host);
    host_configure(&host);
    (void)ask_and_begin(&host, 0, &seen);
    for (int i = 0; i < 40; i++)
        say((struct exec_frame){ .what = EXEC_OUTPUT, .bytes = view_of(block, sizeof(block)) });
    say((struct exec_frame){ .what = EXEC_OUTPUT, .bytes = view_str("the end") });
    say_end(0);
    change(NULL);
    cr_expect_not_null(session.exec, "it is not all read at once");
    host_run_until(&host, &seen.ends, 1);
    Nd__ExecTaskResponse *reply = nd__exec_task_response__unpack(NULL, seen.last.len,
                                                                 seen.last.data);
    cr_expect_eq(reply->stdout.len, EXEC_KEPT_BYTES);
    cr_expect_eq(memcmp(reply->stdout.data + EXEC_KEPT_BYTES - 7, "the end", 7), 0);
    nd__exec_task_response__free_unpacked(reply, NULL);
    seen_fini(&seen);
    fini(&host);
}

Test(exec_calls, kill_at_the_timeout_and_answer_when_it_is_dead)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    host_configure(&host);
    (void)ask_and_begin(&host, 20, &seen);
    host_run_until(&host, &session.killed, 1);
    cr_expect_eq(seen.ends, 0);
    say_end(137);
    change(NULL);
    host_run_until(&host, &seen.ends, 1);
    cr_expect_eq(seen.code, RPC_DEADLINE_EXCEEDED);
    cr_expect_not_null(strstr(seen.text, "20 ms"), "%s", seen.text);
    seen_fini(&seen);
    fini(&host);
}

Test(exec_calls, say_why_a_command_did_not_run)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    host_configure(&host);
    (void)ask(&host, "unknown", 0, &seen);
    host_run_until(&host, &seen.ends, 1);
    cr_expect_eq(seen.code, RPC_NOT_FOUND);
    seen_fini(&seen);
    session.refusal = ERR_CONFLICT;
    (void)ask(&host, "known", 0, &seen);
    host_run_until(&host, &seen.ends, 1);
    cr_expect_eq(seen.code, RPC_FAILED_PRECONDITION);
    seen_fini(&seen);
    session.refusal = ERR_NONE;
    (void)ask_and_begin(&host, 0, &seen);
    (void)err_set(&session.exec->failure, ERR_DENIED, "permission denied");
    say((struct exec_frame){ .what = EXEC_FAILED, .err = &session.exec->failure });
    change(NULL);
    host_run_until(&host, &seen.ends, 1);
    cr_expect_eq(seen.code, RPC_PERMISSION_DENIED);
    cr_expect_str_eq(seen.text, "exec \"check\": permission denied");
    seen_fini(&seen);
    fini(&host);
}

Test(exec_calls, drop_the_command_of_a_peer_that_has_gone)
{
    struct host host;
    struct seen seen;
    host_init(&host);
    host_configure(&host);
    rpc_request_cancel(ask_and_begin(&host, 0, &seen));
    host_run_until(&host, &session.dropped, 1);
    seen_fini(&seen);
    fini(&host);
}

/* ExecTaskStreaming. */

struct heard {
    struct buf out, err;
    int closes, exits, code, empty;
};

static void on_heard(void *arg, struct view message)
{
    struct heard *heard = arg;
    Nd__ExecTaskStreamingResponse *got = nd__exec_task_streaming_response__unpack(NULL, message.len,
                                                                                  message.data);
    cr_assert_not_null(got);
    if (got->stdout != NULL)
        buf_put(&heard->out, view_of(got->stdout->data.data, got->stdout->data.len));
    if (got->stderr != NULL)
        buf_put(&heard->err, view_of(got->stderr->data.data, got->stderr->data.len));
    heard->closes += (got->stdout != NULL && got->stdout->close) +
                     (got->stderr != NULL && got->stderr->close);
    heard->empty += message.len == 0;
    if (got->exited) {
        heard->exits++;
        heard->code = got->result->exit_code;
    }
    nd__exec_task_streaming_response__free_unpacked(got, NULL);
}

static void talk_open(struct host *host, struct chat *chat, struct heard *heard)
{
    *heard = (struct heard){ 0 };
    *chat = (struct chat){ .on_message = on_heard, .arg = heard };
    chat_open(chat, host->w.rpc, host->w.path, DRIVER "ExecTaskStreaming");
}

static void talk_say(struct host *host, struct chat *chat,
                     const Nd__ExecTaskStreamingRequest *request)
{
    uint8_t bytes[512];
    while (chat->is_sending)
        turn(host);
    chat_send(chat, view_of(bytes, nd__exec_task_streaming_request__pack(request, bytes)));
}

static void talk_setup(struct host *host, struct chat *chat, bool is_tty)
{
    ProtobufCBinaryData words[] = { bytes_of("sh") };
    Nd__ExecTaskStreamingRequest__Setup setup = ND__EXEC_TASK_STREAMING_REQUEST__SETUP__INIT;
    Nd__ExecTaskStreamingRequest request = ND__EXEC_TASK_STREAMING_REQUEST__INIT;
    setup.task_id = bytes_of("known");
    setup.command = words;
    setup.n_command = COUNT(words);
    setup.tty = is_tty;
    request.setup = &setup;
    talk_say(host, chat, &request);
}

static void talk_input(struct host *host, struct chat *chat, const char *text, bool is_end)
{
    Nd__ExecTaskStreamingIOOperation input = ND__EXEC_TASK_STREAMING_IOOPERATION__INIT;
    Nd__ExecTaskStreamingRequest request = ND__EXEC_TASK_STREAMING_REQUEST__INIT;
    input.data = bytes_of(text);
    input.close = is_end;
    request.stdin = &input;
    talk_say(host, chat, &request);
}

static void talk_end(struct host *host, struct chat *chat, struct heard *heard)
{
    while (!chat->has_ended || !chat_is_idle(chat))
        turn(host);
    chat_fini(chat);
    buf_fini(&heard->out);
    buf_fini(&heard->err);
}

Test(exec_calls, stream_both_ways_to_the_end)
{
    struct host host;
    struct chat chat;
    struct heard heard;
    host_init(&host);
    host_configure(&host);
    talk_open(&host, &chat, &heard);
    talk_setup(&host, &chat, true);
    host_run_until(&host, &session.begun, 1);
    cr_expect_eq(session.mode, EXEC_TTY);
    Nd__ExecTaskStreamingRequest__TerminalSize size =
        ND__EXEC_TASK_STREAMING_REQUEST__TERMINAL_SIZE__INIT;
    Nd__ExecTaskStreamingRequest request = ND__EXEC_TASK_STREAMING_REQUEST__INIT;
    talk_say(&host, &chat, &request); /* a heartbeat */
    size.height = 33;
    size.width = 101;
    request.tty_size = &size;
    talk_say(&host, &chat, &request);
    talk_input(&host, &chat, "typed", true);
    while (!session.has_input_end)
        turn(&host);
    cr_expect(view_is_equal(buf_view(&session.input), view_str("typed")));
    cr_expect(session.size.rows == 33 && session.size.columns == 101);
    say((struct exec_frame){ .what = EXEC_OUTPUT, .bytes = view_str("out") });
    say((struct exec_frame){ .what = EXEC_OUTPUT, .is_stderr = true, .bytes = view_str("err") });
    say_end(7);
    change(NULL);
    while (!chat.has_ended)
        turn(&host);
    cr_expect_eq(chat.code, GRPC_STATUS_OK);
    cr_expect(view_is_equal(buf_view(&heard.out), view_str("out")));
    cr_expect(view_is_equal(buf_view(&heard.err), view_str("err")));
    cr_expect(heard.closes == 2 && heard.exits == 1 && heard.code == 7);
    cr_expect_eq(session.dropped, 1);
    talk_end(&host, &chat, &heard);
    fini(&host);
}

Test(exec_calls, take_no_input_that_the_command_has_no_room_for)
{
    struct host host;
    struct chat chat;
    struct heard heard;
    host_init(&host);
    host_configure(&host);
    talk_open(&host, &chat, &heard);
    talk_setup(&host, &chat, false);
    session.is_full = true;
    host_run_until(&host, &session.begun, 1);
    talk_input(&host, &chat, "later", false);
    for (int i = 0; i < 100; i++)
        turn(&host);
    cr_expect_eq(session.input.len, 0);
    session.is_full = false;
    change(NULL);
    while (session.input.len == 0)
        turn(&host);
    chat_cancel(&chat);
    host_run_until(&host, &session.dropped, 1);
    talk_end(&host, &chat, &heard);
    fini(&host);
}

Test(exec_calls, end_the_input_of_a_peer_that_says_no_more)
{
    struct host host;
    struct chat chat;
    struct heard heard;
    host_init(&host);
    host_configure(&host);
    talk_open(&host, &chat, &heard);
    talk_setup(&host, &chat, false);
    host_run_until(&host, &session.begun, 1);
    while (chat.is_sending)
        turn(&host);
    chat_half_close(&chat);
    while (!session.has_input_end)
        turn(&host);
    say_end(0);
    change(NULL);
    talk_end(&host, &chat, &heard);
    cr_expect_eq(chat.code, GRPC_STATUS_OK);
    fini(&host);
}

Test(exec_calls, need_exactly_one_setup_and_it_first)
{
    struct host host;
    struct chat chat;
    struct heard heard;
    host_init(&host);
    host_configure(&host);
    talk_open(&host, &chat, &heard);
    talk_input(&host, &chat, "x", false);
    talk_end(&host, &chat, &heard);
    cr_expect_eq(chat.code, GRPC_STATUS_INVALID_ARGUMENT);
    talk_open(&host, &chat, &heard);
    talk_setup(&host, &chat, false);
    talk_setup(&host, &chat, false);
    talk_end(&host, &chat, &heard);
    cr_expect_eq(chat.code, GRPC_STATUS_INVALID_ARGUMENT);
    cr_expect_eq(session.dropped, 1);
    talk_open(&host, &chat, &heard);
    while (chat.is_sending)
        turn(&host);
    chat_half_close(&chat);
    talk_end(&host, &chat, &heard);
    cr_expect_eq(chat.code, GRPC_STATUS_INVALID_ARGUMENT);
    fini(&host);
}

Test(exec_calls, are_refused_before_the_configuration)
{
    struct host host;
    struct chat chat;
    struct heard heard;
    struct seen seen;
    host_init(&host);
    talk_open(&host, &chat, &heard);
    talk_end(&host, &chat, &heard);
    cr_expect_eq(chat.code, GRPC_STATUS_FAILED_PRECONDITION);
    (void)ask(&host, "known", 0, &seen);
    host_run_until(&host, &seen.ends, 1);
    cr_expect_eq(seen.code, RPC_FAILED_PRECONDITION);
    seen_fini(&seen);
    fini(&host);
}

Test(exec_calls, end_with_the_plugin)
{
    struct host host;
    struct chat chat;
    struct heard heard;
    host_init(&host);
    host_configure(&host);
    talk_open(&host, &chat, &heard);
    talk_setup(&host, &chat, false);
    host_run_until(&host, &session.begun, 1);
    rpc_client_free(STEAL(host.w.client));
    plugin_stop(host.plugin, host_stopped, &host);
    cr_expect_eq(session.dropped, 1);
    while (host.stopped == 0)
        loop_run(host.w.loop);
    talk_end(&host, &chat, &heard);
    plugin_free(host.plugin);
    buf_fini(&session.input);
    world_fini(&host.w);
}
