/* fleet_bench - many tasks in one plugin, for tests/bench/fleet.
 *
 *   fleet_bench PLUGIN SHIM SIDECAR WORK CGROUP nomad|shim
 *
 * WORK holds the FIFOs out and err, and allocation directories alloc/0, alloc/1, ...; CGROUP is the
 * plugin's cgroup_parent; the last word is its log_collection. Prints {"pid"} of the plugin, then
 * reads commands, one a line, and prints one JSON object for each: how long all of it took, how
 * many calls failed, and the spread of one call.
 *
 *   start KIND COUNT FLIGHT   COUNT tasks, FLIGHT starts under way at a time; each is waited for
 *   stop MS                   StopTask of all at once, until each has its answer and its result
 *   destroy                   DestroyTask of all at once
 *   cycle KIND COUNT FLIGHT   start, wait for the end, destroy; COUNT times, FLIGHT at a time
 *   floor COUNT FLIGHT        fork and exec of /bin/true, COUNT times, FLIGHT alive at a time
 *
 * KIND: true, bare (true without isolation), sleep, deaf (sleep, every third one ignores SIGTERM),
 * state (sleep, with a sidecar). */
#include "common/base/own.h"
#include "common/loop/loop.h"
#include "tests/bench/talk.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS_MAX 4000

enum kind { KIND_TRUE, KIND_BARE, KIND_SLEEP, KIND_DEAF, KIND_STATE, KIND_COUNT };

static const char *const words_true[] = { "/bin/true", NULL };
static const char *const words_sleep[] = { "/bin/sleep", "1000", NULL };
static const char *const words_deaf[] = { "/bin/sh", "-c", "trap '' TERM; exec sleep 1000", NULL };

static const struct {
    const char *name;
    const char *const *argv, *const *argv_third;
    bool is_bare, has_state, ends;
} kinds[] = {
    [KIND_TRUE] = { "true", words_true, words_true, .ends = true },
    [KIND_BARE] = { "bare", words_true, words_true, .is_bare = true, .ends = true },
    [KIND_SLEEP] = { "sleep", words_sleep, words_sleep },
    [KIND_DEAF] = { "deaf", words_sleep, words_deaf },
    [KIND_STATE] = { "state", words_sleep, words_sleep, .has_state = true },
};

struct fleet;

struct slot { /* one task at a time */
    struct fleet *fleet;
    size_t number;
    char *id, *dir;
    struct mono asked;
    bool is_stopped, has_result;
};

struct fleet {
    struct talk talk;
    const char *work;
    char *out, *err, *store;
    struct slot slots[SLOTS_MAX];
    size_t slot_count; /* of the tasks that run */
    size_t names;      /* how many tasks there have been */
    enum kind kind;
    int64_t stop_ms;
    size_t wanted, begun, ended, failed; /* of the command under way */
    int64_t *us;
    size_t us_count;
};

static void call(struct slot *slot, const char *path, const void *message,
                 void (*on_end)(void *, const struct rpc_status *),
                 void (*on_message)(void *, struct view))
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct rpc_events events = { on_message, on_end, slot };
    talk_pack(&bytes, message);
    (void)rpc_client_call(slot->fleet->talk.client, path, buf_view(&bytes), 0, &events);
}

static void note(struct slot *slot, const char *what, const struct rpc_status *status)
{
    struct fleet *fleet = slot->fleet;
    if (status->code == RPC_OK)
        return;
    if (fleet->failed++ == 0)
        fprintf(stderr, "fleet_bench: %s: %s: %s\n", what, rpc_code_name(status->code),
                status->text);
}

static void note_us(struct slot *slot)
{
    struct fleet *fleet = slot->fleet;
    fleet->us[fleet->us_count++] = mono_diff_us(mono_now(), slot->asked);
}

static void begin_next(struct fleet *fleet, struct slot *slot);

static void end_one(struct slot *slot)
{
    struct fleet *fleet = slot->fleet;
    fleet->ended++;
    if (fleet->begun < fleet->wanted)
        begin_next(fleet, kinds[fleet->kind].ends ? slot : &fleet->slots[fleet->begun]);
    else if (fleet->ended == fleet->wanted)
        loop_quit(fleet->talk.loop);
}

static void on_destroyed(void *arg, const struct rpc_status *status)
{
    note(arg, "DestroyTask", status);
    end_one(arg);
}

static void destroy(struct slot *slot)
{
    Nd__DestroyTaskRequest request = ND__DESTROY_TASK_REQUEST__INIT;
    request.task_id = talk_data(slot->id);
    call(slot, TALK_DRIVER "DestroyTask", &request, on_destroyed, NULL);
}

/* The result must be the program's own: its exit, or the signal that stopped it. */
static void on_result(void *arg, struct view message)
{
    struct slot *slot = arg;
    Nd__WaitTaskResponse *got = nd__wait_task_response__unpack(NULL, message.len, message.data);
    const bool is_known = got != NULL && got->err[0] == '\0' && got->result != NULL;
    const bool is_right = is_known &&
                          (kinds[slot->fleet->kind].ends
                               ? got->result->exit_code == 0
                               : got->result->signal == SIGTERM || got->result->signal == SIGKILL);
    if (!is_right)
        note(slot, "WaitTask",
             &(struct rpc_status){ .code = RPC_INTERNAL,
                                   .text = is_known ? "another end than expected"
                                           : got    ? got->err
                                                    : "" });
    if (got != NULL)
        nd__wait_task_response__free_unpacked(got, NULL);
}

static void end_stop(struct slot *slot)
{
    if (slot->is_stopped && slot->has_result)
        end_one(slot);
}

static void on_waited(void *arg, const struct rpc_status *status)
{
    struct slot *slot = arg;
    note(slot, "WaitTask", status);
    slot->has_result = true;
    if (kinds[slot->fleet->kind].ends)
        destroy(slot);
    else
        end_stop(slot);
}

static void on_started(void *arg, const struct rpc_status *status)
{
    struct slot *slot = arg;
    Nd__WaitTaskRequest request = ND__WAIT_TASK_REQUEST__INIT;
    note_us(slot);
    note(slot, "StartTask", status);
    if (status->code != RPC_OK) {
        slot->has_result = true;
        end_one(slot);
        return;
    }
    request.task_id = talk_data(slot->id);
    call(slot, TALK_DRIVER "WaitTask", &request, on_waited, on_result);
    if (!kinds[slot->fleet->kind].ends)
        end_one(slot);
}

static void on_stopped(void *arg, const struct rpc_status *status)
{
    struct slot *slot = arg;
    note_us(slot);
    note(slot, "StopTask", status);
    slot->is_stopped = true;
    end_stop(slot);
}

/* Each task has a name of its own, as from Nomad; directories are used again. */
static void begin_next(struct fleet *fleet, struct slot *slot)
{
    const enum kind kind = fleet->kind;
    CLEANUP(str_freep) char *alloc = str_format("fleet-%d-%zu", (int)getpid(), fleet->names++);
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct rpc_events events = { NULL, on_started, slot };
    free(slot->id);
    slot->id = str_format("%s/task/x", alloc);
    slot->is_stopped = slot->has_result = false;
    fleet->begun++;
    talk_put_start(&bytes,
                   &(struct talk_task){ .id = slot->id,
                                        .alloc = alloc,
                                        .alloc_dir = slot->dir,
                                        .argv = slot->number % 3 == 2 ? kinds[kind].argv_third
                                                                      : kinds[kind].argv,
                                        .stdout_path = fleet->out,
                                        .stderr_path = fleet->err,
                                        .store = kinds[kind].has_state ? fleet->store : NULL,
                                        .is_bare = kinds[kind].is_bare });
    slot->asked = mono_now();
    (void)rpc_client_call(fleet->talk.client, TALK_DRIVER "StartTask", buf_view(&bytes), 0,
                          &events);
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void say(struct fleet *fleet, int64_t us)
{
    const size_t count = fleet->us_count;
    qsort(fleet->us, count, sizeof(*fleet->us), by_size);
    printf("{\"us\": %" PRId64 ", \"failed\": %zu, \"p50\": %" PRId64 ", \"p99\": %" PRId64
           ", \"max\": %" PRId64 "}\n",
           us, fleet->failed, count ? fleet->us[count / 2] : 0,
           count ? fleet->us[count * 99 / 100] : 0, count ? fleet->us[count - 1] : 0);
    (void)fflush(stdout);
}

/* Runs the loop until `wanted` tasks have had `begin` and its end. */
static void run(struct fleet *fleet, size_t wanted, size_t flight,
                void (*begin)(struct fleet *, struct slot *))
{
    fleet->wanted = wanted;
    fleet->begun = begin == begin_next ? 0 : wanted;
    fleet->ended = fleet->failed = fleet->us_count = 0;
    fleet->us = mem_array(wanted + 1, sizeof(*fleet->us));
    const struct mono before = mono_now();
    for (size_t i = 0; i < flight && i < wanted; i++)
        begin(fleet, &fleet->slots[i]);
    while (fleet->ended < wanted)
        loop_run(fleet->talk.loop);
    say(fleet, mono_diff_us(mono_now(), before));
    free(fleet->us);
}

static void begin_stop(struct fleet *fleet, struct slot *slot)
{
    Nd__StopTaskRequest request = ND__STOP_TASK_REQUEST__INIT;
    Nd__Duration timeout = ND__DURATION__INIT;
    timeout.seconds = fleet->stop_ms / 1000;
    timeout.nanos = (int32_t)(fleet->stop_ms % 1000 * 1000000);
    request.task_id = talk_data(slot->id);
    request.timeout = &timeout;
    slot->asked = mono_now();
    call(slot, TALK_DRIVER "StopTask", &request, on_stopped, NULL);
}

static void begin_destroy(struct fleet *fleet, struct slot *slot)
{
    (void)fleet;
    destroy(slot);
}

/* The peer: what the machine takes for as many processes, without a driver. */
static void measure_floor(struct fleet *fleet, size_t wanted, size_t flight)
{
    const struct proc_spec spec = { .argv = words_true,
                                    .envp = (const char *const[]){ NULL },
                                    .cgroup_fd = -1 };
    struct err err;
    const struct mono before = mono_now();
    fleet->failed = fleet->us_count = 0;
    for (size_t begun = 0, alive = 0; begun < wanted || alive > 0;) {
        struct proc proc = PROC_NONE;
        if (begun < wanted && alive < flight) {
            if (!proc_spawn(&spec, &proc, &err))
                talk_fatal("spawn", err.msg);
            proc_fini(&proc);
            begun++, alive++;
        } else {
            int status = 0;
            if (waitpid(-1, &status, 0) < 0)
                talk_fatal("wait", strerror(errno));
            fleet->failed += status != 0;
            alive--;
        }
    }
    say(fleet, mono_diff_us(mono_now(), before));
}

static bool kind_of(const char *name, enum kind *out)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (strcmp(kinds[i].name, name) == 0) {
            *out = (enum kind)i;
            return true;
        }
    return false;
}

static bool obey(struct fleet *fleet, const char *line)
{
    char verb[16] = "", kind[16] = "";
    size_t count = 0, flight = 0;
    const int words = sscanf(line, "%15s %15s %zu %zu", verb, kind, &count, &flight);
    const bool is_start = strcmp(verb, "start") == 0;
    if ((is_start || strcmp(verb, "cycle") == 0) && words == 4 && kind_of(kind, &fleet->kind) &&
        count > 0 && flight > 0 && count <= (is_start ? SLOTS_MAX : SIZE_MAX) &&
        flight <= SLOTS_MAX && kinds[fleet->kind].ends != is_start) {
        fleet->slot_count = is_start ? count : 0;
        run(fleet, count, flight, begin_next);
    } else if (strcmp(verb, "stop") == 0 && sscanf(line, "%*s %" SCNd64, &fleet->stop_ms) == 1) {
        run(fleet, fleet->slot_count, fleet->slot_count, begin_stop);
    } else if (strcmp(verb, "destroy") == 0) {
        run(fleet, fleet->slot_count, fleet->slot_count, begin_destroy);
    } else if (sscanf(line, "floor %zu %zu", &count, &flight) == 2 && flight > 0) {
        measure_floor(fleet, count, flight);
    } else {
        return false;
    }
    return true;
}

static void prepare(struct fleet *fleet)
{
    fleet->out = str_format("%s/out", fleet->work);
    fleet->err = str_format("%s/err", fleet->work);
    fleet->store = str_format("file://%s/store?create=true", fleet->work);
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        struct slot *slot = &fleet->slots[i];
        *slot = (struct slot){ .fleet = fleet, .number = i };
        slot->dir = str_format("%s/alloc/%zu", fleet->work, i);
    }
}

static void finish(struct fleet *fleet)
{
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        free(fleet->slots[i].id);
        free(fleet->slots[i].dir);
    }
    free(fleet->out);
    free(fleet->err);
    free(fleet->store);
    free(fleet);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        talk_fatal("usage", "fleet_bench PLUGIN SHIM SIDECAR WORK CGROUP nomad|shim");
    struct fleet *fleet = mem_new(struct fleet);
    char line[128];
    fleet->work = argv[4];
    prepare(fleet);
    talk_open(&fleet->talk, argv[1]);
    talk_configure(&fleet->talk, &(struct talk_node){ .work = fleet->work,
                                                      .shim = argv[2],
                                                      .sidecar = argv[3],
                                                      .cgroup_parent = argv[5],
                                                      .log_collection = argv[6] });
    printf("{\"pid\": %d}\n", (int)fleet->talk.proc.pid);
    (void)fflush(stdout);
    while (fgets(line, sizeof(line), stdin) != NULL)
        if (!obey(fleet, line))
            talk_fatal("no such command", line);
    talk_close(&fleet->talk);
    finish(fleet);
    return 0;
}
