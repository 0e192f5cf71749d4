#include "tests/bench/talk.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/loop/loop.h"
#include "driver/proto/task.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define COOKIE \
    "NOMAD_PLUGIN_MAGIC_COOKIE=e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"

_Noreturn void talk_fatal(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

int64_t talk_spawn_us(const char *const *argv, struct proc *out, char *line, size_t line_bytes)
{
    static const char *const env[] = { COOKIE, "TMPDIR=/tmp", "PATH=/usr/bin:/bin", NULL };
    struct err err;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        talk_fatal("pipe", strerror(errno));
    CLEANUP(fd_closep) struct fd null = { open("/dev/null", O_RDWR | O_CLOEXEC) };
    struct proc_map map[] = { { null.raw, 0 }, { ends[1], 1 }, { null.raw, 2 } };
    struct proc_spec spec = { .argv = argv,
                              .envp = env,
                              .fds = map,
                              .fd_count = 3,
                              .cgroup_fd = -1,
                              .death_signal = SIGKILL };
    struct mono before = mono_now();
    if (!proc_spawn(&spec, out, &err))
        talk_fatal("spawn", err.msg);
    close(ends[1]);
    size_t len = 0;
    while (len + 1 < line_bytes && read(ends[0], line + len, 1) == 1 && line[len] != '\n')
        len++;
    line[len] = '\0';
    int64_t took = mono_diff_us(mono_now(), before);
    close(ends[0]);
    return took;
}

void talk_end(struct proc *proc)
{
    struct err err;
    (void)!proc_signal(proc, SIGTERM, &err);
    (void)waitpid(proc->pid, NULL, 0);
    proc_fini(proc);
}

void talk_open(struct talk *talk, const char *plugin)
{
    const char *const argv[] = { plugin, NULL };
    struct err err;
    char line[256];
    talk->loop = loop_new();
    talk->proc = PROC_NONE;
    (void)talk_spawn_us(argv, &talk->proc, line, sizeof(line));
    char *path = strstr(line, "|unix|"), *tail = path == NULL ? NULL : strstr(path, "|grpc|");
    if (tail == NULL)
        talk_fatal("handshake", line);
    *tail = '\0';
    talk->rpc = rpc_new(talk->loop);
    if (!rpc_client_open(talk->rpc, path + strlen("|unix|"), &talk->client, &err))
        talk_fatal("connect", err.msg);
}

static void quit(void *arg) { loop_quit(((struct talk *)arg)->loop); }

void talk_close(struct talk *talk)
{
    rpc_client_free(talk->client);
    rpc_stop(talk->rpc, quit, talk);
    loop_run(talk->loop);
    rpc_free(talk->rpc);
    talk_end(&talk->proc);
    loop_free(talk->loop);
}

void talk_pack(struct buf *out, const void *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    out->len += protobuf_c_message_pack(message, buf_reserve(out, len));
}

static void on_end(void *arg, const struct rpc_status *status)
{
    struct talk *talk = arg;
    talk->code = status->code;
    talk->has_ended = true;
    if (status->code != RPC_OK)
        fprintf(stderr, "bench: %s: %s\n", rpc_code_name(status->code), status->text);
    loop_quit(talk->loop);
}

int64_t talk_send_us(struct talk *talk, const char *path, struct view message)
{
    talk->has_ended = false;
    struct rpc_events events = { NULL, on_end, talk };
    struct mono before = mono_now();
    (void)rpc_client_call(talk->client, path, message, 20000, &events);
    while (!talk->has_ended)
        loop_run(talk->loop);
    if (talk->code != RPC_OK)
        talk_fatal("call", path);
    return mono_diff_us(mono_now(), before);
}

int64_t talk_ask_us(struct talk *talk, const char *path, const void *message)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    if (message != NULL)
        talk_pack(&bytes, message);
    return talk_send_us(talk, path, buf_view(&bytes));
}

ProtobufCBinaryData talk_data(const char *text)
{
    union {
        const char *from;
        uint8_t *to;
    } cast = { .from = text };
    return (ProtobufCBinaryData){ strlen(text), cast.to };
}

/* Msgpack of maps whose length is counted as they grow; all here are short. */

static void put_text(struct buf *out, const char *text)
{
    buf_put_u8(out, 0xd9);
    buf_put_u8(out, (uint8_t)strlen(text));
    buf_put_str(out, text);
}

static void map_begin(struct buf *out, size_t *map)
{
    *map = out->len;
    buf_put_u8(out, 0x80);
}

static void map_text(struct buf *out, size_t map, const char *key, const char *value)
{
    if (value == NULL)
        return;
    out->data[map]++;
    put_text(out, key);
    put_text(out, value);
}

static void map_list(struct buf *out, size_t map, const char *key, const char *const *words)
{
    size_t count = 0;
    while (words[count] != NULL)
        count++;
    out->data[map]++;
    put_text(out, key);
    buf_put_u8(out, (uint8_t)(0x90 | count));
    for (size_t i = 0; i < count; i++)
        put_text(out, words[i]);
}

static const char *const protections[] = { "mounts", "landlock", "seccomp", "no_new_privs", NULL };

void talk_configure(struct talk *talk, const struct talk_node *node)
{
    CLEANUP(str_freep) char *state = str_format("%s/state", node->work);
    CLEANUP(str_freep) char *run = str_format("%s/run", node->work);
    CLEANUP(buf_fini) struct buf config = { 0 };
    size_t map;
    map_begin(&config, &map);
    map_text(&config, map, "state_dir", state);
    map_text(&config, map, "run_dir", run);
    map_text(&config, map, "shim", node->shim);
    map_text(&config, map, "sidecar", node->sidecar);
    map_text(&config, map, "cgroup_parent", node->cgroup_parent);
    map_text(&config, map, "log_collection", node->log_collection);
    map_text(&config, map, "log_level", "error");
    map_list(&config, map, "allow_unconfined", protections);
    Nd__NomadConfig nomad = ND__NOMAD_CONFIG__INIT;
    Nd__SetConfigRequest request = ND__SET_CONFIG_REQUEST__INIT;
    request.msgpack_config = (ProtobufCBinaryData){ config.len, config.data };
    request.nomad_config = &nomad;
    (void)talk_ask_us(talk, TALK_BASE "SetConfig", &request);
}

static void put_task_config(struct buf *out, const struct talk_task *task)
{
    size_t map, state;
    map_begin(out, &map);
    map_text(out, map, "command", task->argv[0]);
    map_list(out, map, "args", task->argv + 1);
    if (task->is_bare)
        map_list(out, map, "unconfined", protections);
    if (task->store == NULL)
        return;
    out->data[map]++;
    put_text(out, "state");
    map_begin(out, &state);
    map_text(out, state, "path", "local/state");
    map_text(out, state, "store", task->store);
    map_text(out, state, "name", task->alloc);
}

void talk_put_start(struct buf *out, const struct talk_task *from)
{
    CLEANUP(buf_fini) struct buf config = { 0 };
    put_task_config(&config, from);
    Nd__TaskConfig task = ND__TASK_CONFIG__INIT;
    task.id = talk_data(from->id);
    task.name = talk_data("task");
    task.alloc_id = talk_data(from->alloc);
    task.alloc_dir = talk_data(from->alloc_dir);
    task.stdout_path = talk_data(from->stdout_path);
    task.stderr_path = talk_data(from->stderr_path);
    task.msgpack_driver_config = (ProtobufCBinaryData){ config.len, config.data };
    /* As from Nomad, where every task has both: its limits are part of a start. */
    Nd__AllocatedCpuResources cpu = ND__ALLOCATED_CPU_RESOURCES__INIT;
    Nd__AllocatedMemoryResources memory = ND__ALLOCATED_MEMORY_RESOURCES__INIT;
    Nd__AllocatedTaskResources allocated = ND__ALLOCATED_TASK_RESOURCES__INIT;
    Nd__Resources resources = ND__RESOURCES__INIT;
    cpu.cpu_shares = 100;
    memory.memory_mb = 64;
    allocated.cpu = &cpu;
    allocated.memory = &memory;
    resources.allocated_resources = &allocated;
    task.resources = &resources;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    talk_pack(&bytes, &task);
    Nd__StartTaskRequest request = ND__START_TASK_REQUEST__INIT;
    request.task = (ProtobufCBinaryData){ bytes.len, bytes.data };
    talk_pack(out, &request);
}
