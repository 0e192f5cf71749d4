/* plugin_bench - measures a built plugin over its own protocol, for tests/bench/plugin.
 *
 *   plugin_bench PLUGIN SHIM WORK      prints one JSON object; WORK is an empty directory
 *
 * exec to handshake line, memory idle and with 1,000 WaitTask calls, round trip of a small call,
 * StartTask of a plain process; beside each its floor in the same run. */
#include "common/base/file.h"
#include "common/base/own.h"
#include "tests/bench/talk.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HANDSHAKES 20
#define CALLS      2000
#define STARTS     100
#define WAITS      1000

struct bench {
    const char *plugin, *shim, *work;
    struct talk talk;
};

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

static int64_t memory_kb(pid_t pid, const char *key)
{
    char path[64];
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct err err;
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    if (!file_read(AT_FDCWD, path, 1 << 16, &text, &err))
        talk_fatal("read memory", err.msg);
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

static int64_t start_task_us(struct bench *bench, const char *id, const char *alloc, bool is_bare)
{
    static const char *const argv[] = { "/bin/sleep", "1000", NULL };
    const struct talk_task task = { .id = id,
                                    .alloc = alloc,
                                    .alloc_dir = bench->work,
                                    .argv = argv,
                                    .stdout_path = "/dev/null",
                                    .stderr_path = "/dev/null",
                                    .is_bare = is_bare };
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    talk_put_start(&bytes, &task);
    return talk_send_us(&bench->talk, TALK_DRIVER "StartTask", buf_view(&bytes));
}

static void destroy_task(struct bench *bench, const char *id)
{
    Nd__DestroyTaskRequest request = ND__DESTROY_TASK_REQUEST__INIT;
    request.task_id = talk_data(id);
    request.force = true;
    (void)talk_ask_us(&bench->talk, TALK_DRIVER "DestroyTask", &request);
}

static void measure_handshakes(struct bench *bench)
{
    const char *const plugin[] = { bench->plugin, NULL };
    const char *const version[] = { bench->plugin, "-version", NULL };
    int64_t us[HANDSHAKES], floor_us[HANDSHAKES];
    char line[256];
    for (size_t i = 0; i < HANDSHAKES; i++) {
        struct proc proc = PROC_NONE;
        us[i] = talk_spawn_us(plugin, &proc, line, sizeof(line));
        talk_end(&proc);
        floor_us[i] = talk_spawn_us(version, &proc, line, sizeof(line));
        talk_end(&proc);
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
        floor_us[i] = talk_spawn_us(echo, &proc, line, sizeof(line));
        talk_end(&proc);
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
    talk_fatal("WaitTask ended", status->text);
}

static void measure_waits(struct bench *bench)
{
    static struct rpc_request *requests[WAITS];
    uint8_t bytes[64];
    Nd__WaitTaskRequest wait = ND__WAIT_TASK_REQUEST__INIT;
    wait.task_id = talk_data("alloc/task/x");
    struct view message = view_of(bytes, nd__wait_task_request__pack(&wait, bytes));
    (void)start_task_us(bench, "alloc/task/x", "alloc", false);
    int64_t before = memory_kb(bench->talk.proc.pid, "\nRss:");
    struct rpc_events events = { NULL, forget, NULL };
    for (size_t i = 0; i < WAITS; i++)
        requests[i] = rpc_client_call(bench->talk.client, TALK_DRIVER "WaitTask", message, 0,
                                      &events);
    for (int i = 0; i < 100; i++)
        (void)talk_ask_us(&bench->talk, TALK_BASE "PluginInfo", NULL);
    int64_t after = memory_kb(bench->talk.proc.pid, "\nRss:");
    printf("\"wait_task_bytes_each\": %" PRId64 ",\n", (after - before) * 1024 / WAITS);
    print_memory("memory_1000_waits", bench->talk.proc.pid);
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

int main(int argc, char **argv)
{
    if (argc != 4)
        talk_fatal("usage", "plugin_bench PLUGIN SHIM WORK");
    CLEANUP(str_freep) char *task_dir = str_format("%s/task", argv[3]);
    struct bench bench = { .plugin = argv[1], .shim = argv[2], .work = argv[3] };
    struct err err;
    int64_t us[CALLS];
    CLEANUP(fd_closep) struct fd program = { open(argv[1], O_RDONLY | O_CLOEXEC) };
    /* Pages of a file that is not on disk yet would count as private and dirty. */
    if (fsync(program.raw) != 0 || !dir_make(task_dir, 0755, &err))
        talk_fatal("prepare", argv[1]);
    printf("{\n");
    measure_handshakes(&bench);
    talk_open(&bench.talk, bench.plugin);
    print_memory("memory_before_client", bench.talk.proc.pid);
    talk_configure(&bench.talk, &(struct talk_node){ .work = bench.work, .shim = bench.shim });
    for (size_t i = 0; i < CALLS; i++)
        us[i] = talk_ask_us(&bench.talk, TALK_BASE "PluginInfo", NULL);
    print_spread("round_trip", us, CALLS);
    print_memory("memory_idle", bench.talk.proc.pid);
    measure_starts(&bench);
    measure_waits(&bench);
    printf("\"threads\": %d\n}\n", threads_of(bench.talk.proc.pid));
    talk_close(&bench.talk);
    return 0;
}
