/* plugin_bench - measures a built plugin over its own protocol, for tests/bench/plugin.
 *
 *   plugin_bench PLUGIN SHIM WORK      prints one JSON object; WORK is an empty directory
 *
 * exec to handshake line, memory idle and with 1,000 WaitTask calls, round trip of a small call,
 * StartTask of a plain process; beside each its floor in the same run. */
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/loop/loop.h"
#include "common/proc/spawn.h"
#include "driver/proto/base.pb-c.h"
#include "driver/proto/driver.pb-c.h"
#include "driver/proto/task.pb-c.h"
#include "driver/rpc/client.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define BASE   "/hashicorp.nomad.plugins.base.proto.BasePlugin/"
#define DRIVER "/hashicorp.nomad.plugins.drivers.proto.Driver/"
#define COOKIE \
    "NOMAD_PLUGIN_MAGIC_COOKIE=e4327c2e01eabfd75a8a67adb114fb34a757d57eee7728d857a8cec6e91a7255"
#define HANDSHAKES 20
#define CALLS      2000
#define STARTS     100
#define WAITS      1000

struct bench {
    const char *plugin, *shim, *work;
    struct loop *loop;
    struct rpc *rpc;
    struct rpc_client *client;
    struct proc proc;
    enum rpc_code code;
    bool has_ended;
};

static void fatal(const char *what, const char *why)
{
    fprintf(stderr, "plugin_bench: %s: %s\n", what, why);
    exit(1);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void print_spread(const char *name, int64_t *us, size_t count)
{
    qsort(us, count, sizeof(*us), by_size);
    printf("\"%s_us\": {\"p50\": %" PRId64 ", \"p90\": %" PRId64 ", \"p99\": %" PRId64 "},\n", name,
           us[count / 2], us[count * 9 / 10], us[count * 99 / 100]);
}

/* Starts `argv` with its stdout in a pipe, reads one line or to the end. */
static int64_t start_us(const char *const *argv, struct proc *out, char *line, size_t line_bytes)
{
    static const char *const env[] = { COOKIE, "TMPDIR=/tmp", "PATH=/usr/bin:/bin", NULL };
    struct err err;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        fatal("pipe", strerror(errno));
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
        fatal("spawn", err.msg);
    close(ends[1]);
    size_t len = 0;
    while (len + 1 < line_bytes && read(ends[0], line + len, 1) == 1 && line[len] != '\n')
        len++;
    line[len] = '\0';
    int64_t took = mono_diff_us(mono_now(), before);
    close(ends[0]);
    return took;
}

static void end(struct proc *proc)
{
    struct err err;
    (void)!proc_signal(proc, SIGTERM, &err);
    (void)waitpid(proc->pid, NULL, 0);
    proc_fini(proc);
}

static int64_t memory_kb(pid_t pid, const char *key)
{
    char path[64];
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct err err;
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    if (!file_read(AT_FDCWD, path, 1 << 16, &text, &err))
        fatal("read memory", err.msg);
    const char *at = strstr(buf_borrow_str(&text), key);
    return at == NULL ? -1 : strtoll(at + strlen(key), NULL, 10);
}

static void print_memory(const char *name, pid_t pid)
{
    printf("\"%s_kb\": {\"rss\": %" PRId64 ", \"pss\": %" PRId64 ", \"private_dirty\": %" PRId64
           "},\n",
           name, memory_kb(pid, "\nRss:"), memory_kb(pid, "\nPss:"),
           memory_kb(pid, "\nPrivate_Dirty:"));
}

static void on_end(void *arg, const struct rpc_status *status)
{
    struct bench *bench = arg;
    bench->code = status->code;
    bench->has_ended = true;
    if (status->code != RPC_OK)
        fprintf(stderr, "plugin_bench: %s: %s\n", rpc_code_name(status->code), status->text);
    loop_quit(bench->loop);
}

static int64_t ask_us(struct bench *bench, const char *path, const void *message)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    if (message != NULL) {
        size_t len = protobuf_c_message_get_packed_size(message);
        bytes.len = protobuf_c_message_pack(message, buf_reserve(&bytes, len));
    }
    bench->has_ended = false;
    struct rpc_events events = { NULL, on_end, bench };
    struct mono before = mono_now();
    (void)rpc_client_call(bench->client, path, buf_view(&bytes), 20000, &events);
    while (!bench->has_ended)
        loop_run(bench->loop);
    if (bench->code != RPC_OK)
        fatal("call", path);
    return mono_diff_us(mono_now(), before);
}

static ProtobufCBinaryData data(const char *text)
{
    union {
        const char *from;
        uint8_t *to;
    } cast = { .from = text };
    return (ProtobufCBinaryData){ strlen(text), cast.to };
}

/* A msgpack map of short strings. */
static void put_map(struct buf *out, const char *const (*pairs)[2], size_t count)
{
    buf_put_u8(out, (uint8_t)(0x80 | count));
    for (size_t i = 0; i < 2 * count; i++) {
        const char *text = pairs[i / 2][i % 2];
        buf_put_u8(out, 0xd9);
        buf_put_u8(out, (uint8_t)strlen(text));
        buf_put_str(out, text);
    }
}

/* All protections that a job can give up, as a list of this name. */
static void put_list(struct buf *out, const char *name)
{
    static const char *const words[] = { "mounts", "landlock", "seccomp", "no_new_privs" };
    buf_put_u8(out, 0xd9);
    buf_put_u8(out, (uint8_t)strlen(name));
    buf_put_str(out, name);
    buf_put_u8(out, (uint8_t)(0x90 | COUNT(words)));
    for (size_t i = 0; i < COUNT(words); i++) {
        buf_put_u8(out, 0xd9);
        buf_put_u8(out, (uint8_t)strlen(words[i]));
        buf_put_str(out, words[i]);
    }
}

static void configure(struct bench *bench)
{
    CLEANUP(str_freep) char *state = str_format("%s/state", bench->work);
    CLEANUP(str_freep) char *run = str_format("%s/run", bench->work);
    const char *const pairs[][2] = { { "state_dir", state },
                                     { "run_dir", run },
                                     { "shim", bench->shim },
                                     { "log_level", "error" } };
    CLEANUP(buf_fini) struct buf config = { 0 };
    put_map(&config, pairs, COUNT(pairs));
    config.data[0]++; /* and one more, which is a list */
    put_list(&config, "allow_unconfined");
    Nd__NomadConfig nomad = ND__NOMAD_CONFIG__INIT;
    Nd__SetConfigRequest request = ND__SET_CONFIG_REQUEST__INIT;
    request.msgpack_config = (ProtobufCBinaryData){ config.len, config.data };
    request.nomad_config = &nomad;
    (void)ask_us(bench, BASE "SetConfig", &request);
}

static int64_t start_task_us(struct bench *bench, const char *id, const char *alloc, bool is_bare)
{
    static const char *const pairs[][2] = { { "command", "/bin/sleep" } };
    CLEANUP(buf_fini) struct buf config = { 0 };
    put_map(&config, pairs, 1);
    config.data[0] = 0x82; /* and one more, which is a list */
    buf_put_str(&config, "\xa4"
                         "args\x91\xa4"
                         "1000");
    if (is_bare) {
        config.data[0]++;
        put_list(&config, "unconfined");
    }
    Nd__TaskConfig task = ND__TASK_CONFIG__INIT;
    task.id = data(id);
    task.name = data("task");
    task.alloc_id = data(alloc);
    task.alloc_dir = data(bench->work);
    task.stdout_path = task.stderr_path = data("/dev/null");
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
    size_t len = nd__task_config__get_packed_size(&task);
    bytes.len = nd__task_config__pack(&task, buf_reserve(&bytes, len));
    Nd__StartTaskRequest request = ND__START_TASK_REQUEST__INIT;
    request.task = (ProtobufCBinaryData){ bytes.len, bytes.data };
    return ask_us(bench, DRIVER "StartTask", &request);
}

static void destroy_task(struct bench *bench, const char *id)
{
    Nd__DestroyTaskRequest request = ND__DESTROY_TASK_REQUEST__INIT;
    request.task_id = data(id);
    request.force = true;
    (void)ask_us(bench, DRIVER "DestroyTask", &request);
}

static void measure_handshakes(struct bench *bench)
{
    const char *const plugin[] = { bench->plugin, NULL };
    const char *const version[] = { bench->plugin, "-version", NULL };
    int64_t us[HANDSHAKES], floor_us[HANDSHAKES];
    char line[256];
    for (size_t i = 0; i < HANDSHAKES; i++) {
        struct proc proc = PROC_NONE;
        us[i] = start_us(plugin, &proc, line, sizeof(line));
        end(&proc);
        floor_us[i] = start_us(version, &proc, line, sizeof(line));
        end(&proc);
    }
    print_spread("handshake", us, HANDSHAKES);
    print_spread("handshake_floor_exec_and_print", floor_us, HANDSHAKES);
}

/* The number after `key` in a small file of /proc; -1 without one. */
static int64_t number_in(pid_t pid, const char *name, const char *key)
{
    char path[64];
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct err err;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    if (!file_read(AT_FDCWD, path, 1 << 16, &text, &err))
        return -1;
    const char *at = strstr(buf_borrow_str(&text), key);
    return at == NULL ? -1 : strtoll(at + strlen(key), NULL, 10);
}

static bool is_named(pid_t pid, const char *name)
{
    char path[64];
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct err err;
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    return file_read(AT_FDCWD, path, 64, &text, &err) &&
           strncmp(buf_borrow_str(&text), name, strlen(name)) == 0;
}

/* CPU time that the agent has used, from its birth in the shim on; it sleeps now. */
static int64_t agent_cpu_us(void)
{
    DIR *proc = opendir("/proc");
    pid_t newest = 0;
    struct dirent *entry;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        const pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > newest && is_named(pid, "sleep") &&
            is_named((pid_t)number_in(pid, "status", "PPid:"), "agent-shim"))
            newest = pid;
    }
    closedir(proc);
    return newest == 0 ? -1 : number_in(newest, "schedstat", "") / 1000;
}

static void measure_starts(struct bench *bench)
{
    const char *const echo[] = { "/bin/echo", NULL };
    int64_t us[STARTS], bare_us[STARTS], floor_us[STARTS], cpu_us[STARTS], bare_cpu_us[STARTS];
    char line[64];
    for (size_t i = 0; i < STARTS; i++) {
        CLEANUP(str_freep) char *alloc = str_format("alloc-%zu", i);
        CLEANUP(str_freep) char *id = str_format("%s/task/x", alloc);
        us[i] = start_task_us(bench, id, alloc, false);
        cpu_us[i] = agent_cpu_us();
        destroy_task(bench, id);
        bare_us[i] = start_task_us(bench, id, alloc, true);
        bare_cpu_us[i] = agent_cpu_us();
        destroy_task(bench, id);
        struct proc proc = PROC_NONE;
        floor_us[i] = start_us(echo, &proc, line, sizeof(line));
        end(&proc);
    }
    print_spread("start_task", us, STARTS);
    print_spread("start_task_unconfined", bare_us, STARTS);
    print_spread("agent_cpu", cpu_us, STARTS);
    print_spread("agent_cpu_unconfined", bare_cpu_us, STARTS);
    print_spread("start_task_floor_spawn_and_print", floor_us, STARTS);
}

static void forget(void *arg, const struct rpc_status *status)
{
    (void)arg;
    fatal("WaitTask ended", status->text);
}

static void measure_waits(struct bench *bench)
{
    static struct rpc_request *requests[WAITS];
    uint8_t bytes[64];
    Nd__WaitTaskRequest wait = ND__WAIT_TASK_REQUEST__INIT;
    wait.task_id = data("alloc/task/x");
    struct view message = view_of(bytes, nd__wait_task_request__pack(&wait, bytes));
    (void)start_task_us(bench, "alloc/task/x", "alloc", false);
    int64_t before = memory_kb(bench->proc.pid, "\nRss:");
    struct rpc_events events = { NULL, forget, NULL };
    for (size_t i = 0; i < WAITS; i++)
        requests[i] = rpc_client_call(bench->client, DRIVER "WaitTask", message, 0, &events);
    for (int i = 0; i < 100; i++)
        (void)ask_us(bench, BASE "PluginInfo", NULL);
    int64_t after = memory_kb(bench->proc.pid, "\nRss:");
    printf("\"wait_task_bytes_each\": %" PRId64 ",\n", (after - before) * 1024 / WAITS);
    print_memory("memory_1000_waits", bench->proc.pid);
    for (size_t i = 0; i < WAITS; i++)
        rpc_request_cancel(requests[i]);
    destroy_task(bench, "alloc/task/x");
}

static int threads_of(pid_t pid)
{
    char path[64];
    struct stat found;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    return stat(path, &found) == 0 ? (int)found.st_nlink - 2 : -1;
}

static void quit(void *arg) { loop_quit(((struct bench *)arg)->loop); }

int main(int argc, char **argv)
{
    if (argc != 4)
        fatal("usage", "plugin_bench PLUGIN SHIM WORK");
    CLEANUP(str_freep) char *task_dir = str_format("%s/task", argv[3]);
    struct bench bench = { argv[1], argv[2], argv[3], .loop = loop_new(), .proc = PROC_NONE };
    struct err err;
    char line[256];
    int64_t us[CALLS];
    CLEANUP(fd_closep) struct fd program = { open(argv[1], O_RDONLY | O_CLOEXEC) };
    /* Pages of a file that is not on disk yet would count as private and dirty. */
    if (fsync(program.raw) != 0 || !dir_make(task_dir, 0755, &err))
        fatal("prepare", argv[1]);
    printf("{\n");
    measure_handshakes(&bench);
    const char *const plugin[] = { bench.plugin, NULL };
    (void)start_us(plugin, &bench.proc, line, sizeof(line));
    print_memory("memory_before_client", bench.proc.pid);
    char *path = strstr(line, "|unix|"), *tail = path == NULL ? NULL : strstr(path, "|grpc|");
    if (tail == NULL)
        fatal("handshake", line);
    *tail = '\0';
    bench.rpc = rpc_new(bench.loop);
    if (!rpc_client_open(bench.rpc, path + strlen("|unix|"), &bench.client, &err))
        fatal("connect", err.msg);
    configure(&bench);
    for (size_t i = 0; i < CALLS; i++)
        us[i] = ask_us(&bench, BASE "PluginInfo", NULL);
    print_spread("round_trip", us, CALLS);
    print_memory("memory_idle", bench.proc.pid);
    measure_starts(&bench);
    measure_waits(&bench);
    printf("\"threads\": %d\n}\n", threads_of(bench.proc.pid));
    rpc_client_free(bench.client);
    rpc_stop(bench.rpc, quit, &bench);
    loop_run(bench.loop);
    rpc_free(bench.rpc);
    end(&bench.proc);
    loop_free(bench.loop);
    return 0;
}
