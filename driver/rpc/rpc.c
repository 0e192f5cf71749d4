#include "driver/rpc/rpc.h"

#include "common/base/own.h"
#include "common/log/log.h"
#include "common/loop/loop.h"
#include "driver/rpc/core.h"

#include <assert.h>
#include <grpc/byte_buffer.h>
#include <grpc/byte_buffer_reader.h>
#include <grpc/support/log.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RPC_MAGIC 0x72706331U /* "rpc1" */

struct rpc {
    unsigned magic;
    struct loop *loop;
    grpc_completion_queue *queue;
    pthread_t thread;
    size_t in_flight; /* tags that have not come back */
    bool is_stopping, is_shut, has_stopped;
    void (*on_stopped)(void *arg);
    void *arg;
};

const char *rpc_code_name(enum rpc_code code)
{
#define RPC_CODE_NAME(name, number) [number] = #name,
    static const char *const names[] = { RPC_CODES(RPC_CODE_NAME) };
    _Static_assert(COUNT(names) == RPC_CODE_COUNT, "a name for each code");
    return (unsigned)code < COUNT(names) ? names[code] : "?";
}

grpc_completion_queue *rpc_core_queue(struct rpc *rpc) { return rpc->queue; }
struct loop *rpc_core_loop(struct rpc *rpc) { return rpc->loop; }

/* The library's "error" is a connection that broke: handled, so a warning at most. */
static void on_core_log(gpr_log_func_args *args)
{
    enum log_level level = args->severity == GPR_LOG_SEVERITY_ERROR ? LOG_WARN : LOG_DEBUG;
    const char *slash = strrchr(args->file, '/');
    LOG(level, "grpc library", F(file, slash != NULL ? slash + 1 : args->file), F(line, args->line),
        F(text, args->message));
}

/* The agent's environment reaches us unfiltered: GRPC_TRACE prints, GRPC_VERBOSITY floods, and
 * GRPC_ENABLE_FORK_SUPPORT installs fork handlers. */
static void unset_core_environment(void)
{
    for (size_t i = 0; environ != NULL && environ[i] != NULL;) {
        if (strncmp(environ[i], "GRPC_", 5) != 0) {
            i++;
            continue;
        }
        CLEANUP(str_freep) char *name = str_copy_n(environ[i], strcspn(environ[i], "="));
        if (unsetenv(name) != 0)
            i++;
    }
}

static void check_stopped(struct rpc *rpc)
{
    if (!rpc->is_stopping || rpc->is_shut || rpc->in_flight > 0)
        return;
    rpc->is_shut = true;
    grpc_completion_queue_shutdown(rpc->queue);
}

static void tag_back(void *arg)
{
    struct rpc_tag *tag = arg;
    struct rpc *rpc = tag->rpc;
    assert(rpc->magic == RPC_MAGIC && rpc->in_flight > 0);
    rpc->in_flight--;
    tag->on_back(tag, tag->ok); /* the tag may be gone now */
    check_stopped(rpc);
}

static void thread_ended(void *arg)
{
    struct rpc *rpc = arg;
    int rc = pthread_join(rpc->thread, NULL);
    assert(rc == 0);
    grpc_completion_queue_destroy(rpc->queue);
    grpc_shutdown();
    rpc->has_stopped = true;
    rpc->on_stopped(rpc->arg);
}

static void *thread_main(void *arg)
{
    struct rpc *rpc = arg;
    for (;;) {
        grpc_event event = grpc_completion_queue_next(rpc->queue,
                                                      gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            break;
        struct rpc_tag *tag = event.tag;
        (void)atomic_load_explicit(&tag->armed, memory_order_acquire);
        tag->ok = event.success != 0;
        loop_post(rpc->loop, tag_back, tag);
    }
    loop_post(rpc->loop, thread_ended, rpc);
    return NULL;
}

struct rpc *rpc_new(struct loop *loop)
{
    struct rpc *rpc = mem_new(struct rpc);
    rpc->magic = RPC_MAGIC;
    rpc->loop = loop;
    unset_core_environment();
    gpr_set_log_function(on_core_log);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the library's threads inherit it too */
    grpc_init();
    rpc->queue = grpc_completion_queue_create_for_next(NULL);
    int rc = pthread_create(&rpc->thread, NULL, thread_main, rpc);
    if (rc != 0)
        abort(); /* no threads left before anything has begun */
    pthread_setname_np(rpc->thread, "rpc");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rpc;
}

void rpc_stop(struct rpc *rpc, void (*on_done)(void *arg), void *arg)
{
    assert(rpc->magic == RPC_MAGIC && !rpc->is_stopping);
    rpc->is_stopping = true;
    rpc->on_stopped = on_done;
    rpc->arg = arg;
    check_stopped(rpc);
}

void rpc_free(struct rpc *rpc)
{
    if (rpc == NULL)
        return;
    assert(rpc->magic == RPC_MAGIC && rpc->has_stopped);
    rpc->magic = 0;
    free(rpc);
}

void *rpc_tag_arm(struct rpc *rpc, struct rpc_tag *tag,
                  void (*on_back)(struct rpc_tag *tag, bool ok))
{
    assert(!rpc->is_shut);
    tag->rpc = rpc;
    tag->on_back = on_back;
    rpc->in_flight++;
    atomic_store_explicit(&tag->armed, 1, memory_order_release);
    return tag;
}

void rpc_tag_batch(struct rpc *rpc, grpc_call *call, const grpc_op *ops, size_t count,
                   struct rpc_tag *tag, void (*on_back)(struct rpc_tag *tag, bool ok))
{
    void *armed = rpc_tag_arm(rpc, tag, on_back);
    grpc_call_error refused = grpc_call_start_batch(call, ops, count, armed, NULL);
    assert(refused == GRPC_CALL_OK);
}

grpc_byte_buffer *rpc_core_pack(struct view message)
{
    grpc_slice slice = grpc_slice_from_copied_buffer((const char *)message.data, message.len);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

grpc_slice rpc_core_unpack(grpc_byte_buffer *buffer)
{
    grpc_byte_buffer_reader reader;
    if (buffer == NULL || !grpc_byte_buffer_reader_init(&reader, buffer))
        return grpc_empty_slice();
    grpc_slice all = grpc_byte_buffer_reader_readall(&reader);
    grpc_byte_buffer_reader_destroy(&reader);
    return all;
}

struct view rpc_core_view(const grpc_slice *slice)
{
    return view_of(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
}
