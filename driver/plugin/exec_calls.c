#include "driver/plugin/exec_calls.h"

#include "common/base/own.h"
#include "common/loop/loop.h"
#include "driver/exec/wish.h"
#include "driver/plugin/inside.h"
#include "driver/plugin/reply.h"
#include "driver/plugin/request.h"
#include "driver/plugin/status.h"
#include "driver/task/task.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#define FRAMES_A_TURN 8 /* of one command, before others have their turn */

static bool begin(struct plugin *plugin, const char *task_id, const struct words *command,
                  enum exec_mode mode, const struct exec_owner *owner, struct exec **out,
                  struct err *err)
{
    const struct exec_wish wish = { (const char *const *)command->list, mode };
    return tasks_exec(plugin->tasks, task_id, &wish, owner, out, err);
}

static void end_failed(struct rpc_call *call, const char *command, const struct err *why)
{
    struct err err = *why;
    (void)err_wrap(&err, "exec \"%.64s\"", command);
    status_end(call, &err, STATUS_OTHER);
}

/* ExecTask. */

struct script {
    struct rpc_call *call;
    struct exec *exec;
    struct loop_timer *late, *again;
    int64_t timeout_ms;
    bool is_late;
    char *command;
    struct buf output; /* its last bytes */
};

static void script_free(struct script *script)
{
    loop_timer_freep(&script->late);
    loop_timer_freep(&script->again);
    if (script->exec != NULL)
        exec_drop(script->exec);
    buf_fini(&script->output);
    str_freep(&script->command);
    free(script);
}

static void script_gone(void *arg) { script_free(arg); }

static void keep_end(struct buf *output, size_t most)
{
    if (output->len <= most)
        return;
    memmove(output->data, output->data + output->len - most, most);
    output->len = most;
}

static void script_answer(struct script *script, const struct exec_frame *end)
{
    CLEANUP(buf_fini) struct buf reply = { 0 };
    char text[160];
    snprintf(text, sizeof(text), "exec \"%.64s\": killed: it did not end in %" PRId64 " ms",
             script->command, script->timeout_ms);
    keep_end(&script->output, EXEC_KEPT_BYTES);
    if (script->is_late) {
        rpc_call_end(script->call, &(struct rpc_status){ RPC_DEADLINE_EXCEEDED, text, { 0 } });
    } else if (end->what == EXEC_FAILED) {
        end_failed(script->call, script->command, end->err);
    } else {
        reply_put_exec(&reply, buf_view(&script->output), end);
        rpc_call_reply(script->call, buf_view(&reply));
    }
    script_free(script);
}

static void script_read(void *arg)
{
    struct script *script = arg;
    struct exec_frame frame;
    for (int i = 0; i < FRAMES_A_TURN; i++) {
        exec_next(script->exec, &frame);
        switch (frame.what) {
        case EXEC_NOTHING:
            return;
        case EXEC_OUTPUT:
            buf_put(&script->output, frame.bytes);
            if (script->output.len > 2 * EXEC_KEPT_BYTES) /* moved once for each so many */
                keep_end(&script->output, EXEC_KEPT_BYTES);
            break;
        case EXEC_CLOSED:
            break;
        case EXEC_EXITED:
        case EXEC_FAILED:
            script_answer(script, &frame);
            return;
        }
    }
    loop_timer_arm(script->again, boot_now());
}

static void script_late(void *arg)
{
    struct script *script = arg;
    script->is_late = true;
    exec_kill(script->exec);
}

void call_exec(void *arg, struct rpc_call *call, struct view bytes)
{
    struct plugin *plugin = arg;
    struct err err;
    CLEANUP(request_fini) struct request request = { 0 };
    plugin->handled++;
    if (!plugin_is_configured(plugin, call))
        return;
    struct script *script = mem_new(struct script);
    const struct exec_owner owner = { script_read, script };
    if (!request_decode(REQUEST_EXEC, bytes, &request, &err) ||
        !begin(plugin, request.task_id, &request.command, EXEC_ONE_PIPE, &owner, &script->exec,
               &err)) {
        free(script);
        status_end(call, &err, STATUS_OTHER);
        return;
    }
    script->call = call;
    script->command = str_copy(request.command.list[0]);
    script->timeout_ms = request.timeout_ms;
    script->again = loop_timer_new(plugin->spec.loop, script_read, script);
    if (request.timeout_ms > 0) {
        script->late = loop_timer_new(plugin->spec.loop, script_late, script);
        loop_timer_arm(script->late, boot_add_ms(boot_now(), request.timeout_ms));
    }
    rpc_call_hold(call, &(struct rpc_hold){ script_gone, NULL, script });
}

/* ExecTaskStreaming. */

struct talk {
    struct plugin *plugin;
    struct rpc_call *call;
    struct exec *exec; /* NULL before the setup */
    struct loop_timer *beat;
    struct boot last_sent;
    char *command;
    bool is_listening; /* the peer's next message was asked for */
    bool is_deaf;      /* the peer sends no more */
};

static void talk_free(struct talk *talk)
{
    loop_timer_freep(&talk->beat);
    if (talk->exec != NULL)
        exec_drop(talk->exec);
    str_freep(&talk->command);
    free(talk);
}

static void talk_gone(void *arg) { talk_free(arg); }

static void talk_fail(struct talk *talk, const struct err *err)
{
    status_end(talk->call, err, STATUS_OTHER);
    talk_free(talk);
}

static void say(struct talk *talk, const struct exec_frame *frame)
{
    CLEANUP(buf_fini) struct buf message = { 0 };
    reply_put_exec_frame(&message, frame);
    talk->last_sent = boot_now();
    rpc_call_send(talk->call, buf_view(&message));
}

/* False when the talk is over and gone. */
static bool talk_read(struct talk *talk)
{
    struct exec_frame frame;
    while (talk->exec != NULL && rpc_call_is_ready(talk->call)) {
        exec_next(talk->exec, &frame);
        switch (frame.what) {
        case EXEC_NOTHING:
            return true;
        case EXEC_OUTPUT:
        case EXEC_CLOSED:
            say(talk, &frame);
            break;
        case EXEC_EXITED:
            say(talk, &frame);
            rpc_call_end(talk->call, &(struct rpc_status){ RPC_OK, "", { 0 } });
            talk_free(talk);
            return false;
        case EXEC_FAILED:
            end_failed(talk->call, talk->command, frame.err);
            talk_free(talk);
            return false;
        }
    }
    return true;
}

static void on_input(void *arg, const struct view *message);

static void listen_if_room(struct talk *talk)
{
    if (talk->is_listening || talk->is_deaf ||
        (talk->exec != NULL && !exec_wants_input(talk->exec)))
        return;
    talk->is_listening = true;
    rpc_call_receive(talk->call, on_input);
}

static void talk_go_on(void *arg)
{
    if (talk_read(arg))
        listen_if_room(arg);
}

static void on_beat(void *arg)
{
    struct talk *talk = arg;
    struct boot due = boot_add_ms(talk->last_sent, EXEC_BEAT_MS);
    if (due.ns <= boot_now().ns && rpc_call_is_ready(talk->call)) {
        talk->last_sent = boot_now();
        rpc_call_send(talk->call, (struct view){ 0 });
    }
    due = boot_add_ms(talk->last_sent, EXEC_BEAT_MS);
    loop_timer_arm(talk->beat,
                   due.ns > boot_now().ns ? due : boot_add_ms(boot_now(), EXEC_BEAT_MS));
}

static bool talk_begin(struct talk *talk, const struct exec_input_request *request, struct err *err)
{
    const struct exec_owner owner = { talk_go_on, talk };
    if (!request->has_setup)
        return err_set(err, ERR_INVALID, "setup: is missing in the first message");
    talk->command = str_copy(request->command.list[0]);
    if (!begin(talk->plugin, request->task_id, &request->command,
               request->is_tty ? EXEC_TTY : EXEC_PIPES, &owner, &talk->exec, err))
        return false;
    talk->last_sent = boot_now();
    talk->beat = loop_timer_new(talk->plugin->spec.loop, on_beat, talk);
    loop_timer_arm(talk->beat, boot_add_ms(boot_now(), EXEC_BEAT_MS));
    return true;
}

static void talk_hear(struct talk *talk, const struct exec_input_request *request)
{
    if (request->has_size)
        exec_resize(talk->exec, (struct pty_size){ request->rows, request->columns });
    exec_write(talk->exec, buf_view(&request->input));
    if (request->ends_input)
        exec_end_input(talk->exec);
}

static void on_input(void *arg, const struct view *message)
{
    struct talk *talk = arg;
    struct err err = { 0 };
    CLEANUP(exec_input_fini) struct exec_input_request request = { 0 };
    talk->is_listening = false;
    talk->is_deaf = message == NULL;
    if (message == NULL && talk->exec != NULL) {
        exec_end_input(talk->exec);
        return;
    }
    bool is_good = message == NULL ? err_set(&err, ERR_INVALID, "setup: is missing")
                                   : exec_input_decode(*message, &request, &err);
    if (is_good && talk->exec != NULL && request.has_setup)
        is_good = err_set(&err, ERR_INVALID, "setup: was given already");
    if (is_good && talk->exec == NULL)
        is_good = talk_begin(talk, &request, &err);
    if (!is_good) {
        talk_fail(talk, &err);
        return;
    }
    talk_hear(talk, &request);
    listen_if_room(talk);
}

void call_exec_stream(void *arg, struct rpc_call *call, struct view request)
{
    struct plugin *plugin = arg;
    (void)request;
    plugin->handled++;
    if (!plugin_is_configured(plugin, call))
        return;
    struct talk *talk = mem_new(struct talk);
    talk->plugin = plugin;
    talk->call = call;
    rpc_call_hold(call, &(struct rpc_hold){ talk_gone, talk_go_on, talk });
    listen_if_room(talk);
}
