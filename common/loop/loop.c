#include "common/loop/loop.h"

#include "common/base/own.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <uv.h>

#define LOOP_MAGIC 0x6c6f6f70U /* "loop" */

struct post {
    struct post *next;
    loop_fn *fn;
    void *arg;
};

struct work {
    uv_work_t req;
    struct loop *loop;
    loop_fn *job, *on_done;
    void *arg;
};

struct loop_timer {
    struct loop *loop;
    struct loop_timer *next; /* in the list of armed timers, soonest first */
    struct boot at;
    bool is_armed;
    loop_fn *on_fire;
    void *arg;
};

struct loop_watch {
    uv_poll_t poll;
    struct loop *loop;
    loop_ready_fn *on_ready;
    void *arg;
};

struct loop {
    unsigned magic;
    uv_loop_t uv;
    uv_async_t wake;
    uv_mutex_t lock; /* guards the mailbox only: head, tail */
    struct post *head, **tail;
    uv_poll_t clock_poll;
    int clock_fd;
    struct loop_timer *armed;
    size_t live; /* timers, watches and jobs */
};

static void on_wake(uv_async_t *wake)
{
    struct loop *loop = wake->data;
    uv_mutex_lock(&loop->lock);
    struct post *list = loop->head;
    loop->head = NULL;
    loop->tail = &loop->head;
    uv_mutex_unlock(&loop->lock);
    while (list != NULL) {
        struct post *post = list;
        list = post->next;
        post->fn(post->arg);
        free(post);
    }
}

void loop_post(struct loop *loop, loop_fn *fn, void *arg)
{
    struct post *post = mem_new(struct post);
    *post = (struct post){ NULL, fn, arg };
    uv_mutex_lock(&loop->lock);
    *loop->tail = post;
    loop->tail = &post->next;
    uv_mutex_unlock(&loop->lock);
    int rc = uv_async_send(&loop->wake);
    assert(rc == 0);
}

/* Sets the timerfd to the soonest timer; zero would disarm it, so the past becomes 1 ns. */
static void clock_set(struct loop *loop)
{
    struct itimerspec when = { 0 };
    if (loop->armed != NULL) {
        int64_t ns = loop->armed->at.ns > 0 ? loop->armed->at.ns : 1;
        when.it_value.tv_sec = ns / 1000000000;
        when.it_value.tv_nsec = ns % 1000000000;
    }
    int rc = timerfd_settime(loop->clock_fd, TFD_TIMER_ABSTIME, &when, NULL);
    assert(rc == 0);
}

/* Ticks are never counted: after each wake the clock decides what is due. Only timers that were
 * due at the start fire in this turn, so a timer re-armed for the past cannot starve the loop. */
static void on_clock(uv_poll_t *poll, int status, int events)
{
    struct loop *loop = poll->data;
    (void)status;
    (void)events;
    uint64_t ticks;
    ssize_t got = read(loop->clock_fd, &ticks, sizeof(ticks));
    (void)got;
    struct boot now = boot_now();
    while (loop->armed != NULL && loop->armed->at.ns <= now.ns) {
        struct loop_timer *timer = loop->armed;
        loop->armed = timer->next;
        timer->is_armed = false;
        timer->on_fire(timer->arg);
        if (boot_now().ns - now.ns > NS_PER_MS)
            break;
    }
    clock_set(loop);
}

struct loop *loop_new(void)
{
    struct loop *loop = mem_new(struct loop);
    loop->magic = LOOP_MAGIC;
    loop->tail = &loop->head;
    loop->clock_fd = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->clock_fd < 0 || uv_loop_init(&loop->uv) != 0 || uv_mutex_init(&loop->lock) != 0 ||
        uv_async_init(&loop->uv, &loop->wake, on_wake) != 0 ||
        uv_poll_init(&loop->uv, &loop->clock_poll, loop->clock_fd) != 0)
        abort(); /* no descriptors or no memory before anything has begun */
    loop->wake.data = loop;
    loop->clock_poll.data = loop;
    if (uv_poll_start(&loop->clock_poll, UV_READABLE, on_clock) != 0)
        abort();
    return loop;
}

void loop_free(struct loop *loop)
{
    assert(loop->magic == LOOP_MAGIC && loop->live == 0);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->clock_poll, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT); /* closes the handles, watches freed earlier too */
    int rc = uv_loop_close(&loop->uv);
    assert(rc == 0);
    (void)close(loop->clock_fd);
    while (loop->head != NULL) { /* posted and never run */
        struct post *post = loop->head;
        loop->head = post->next;
        free(post);
    }
    uv_mutex_destroy(&loop->lock);
    free(loop);
}

void loop_run(struct loop *loop)
{
    assert(loop->magic == LOOP_MAGIC);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_quit(struct loop *loop) { uv_stop(&loop->uv); }

static void run_job(uv_work_t *req)
{
    struct work *work = req->data;
    work->job(work->arg);
}

static void job_done(uv_work_t *req, int status)
{
    struct work *work = req->data;
    assert(status == 0); /* jobs are never cancelled */
    work->loop->live--;
    loop_fn *on_done = work->on_done;
    void *arg = work->arg;
    free(work);
    on_done(arg);
}

void loop_work(struct loop *loop, loop_fn *job, loop_fn *on_done, void *arg)
{
    struct work *work = mem_new(struct work);
    work->loop = loop;
    work->job = job;
    work->on_done = on_done;
    work->arg = arg;
    work->req.data = work;
    loop->live++;
    int rc = uv_queue_work(&loop->uv, &work->req, run_job, job_done);
    assert(rc == 0);
}

struct loop_timer *loop_timer_new(struct loop *loop, loop_fn *on_fire, void *arg)
{
    struct loop_timer *timer = mem_new(struct loop_timer);
    timer->loop = loop;
    timer->on_fire = on_fire;
    timer->arg = arg;
    loop->live++;
    return timer;
}

static void unlink_timer(struct loop_timer *timer)
{
    if (!timer->is_armed)
        return;
    struct loop_timer **at = &timer->loop->armed;
    while (*at != timer)
        at = &(*at)->next;
    *at = timer->next;
    timer->is_armed = false;
}

void loop_timer_arm(struct loop_timer *timer, struct boot when)
{
    unlink_timer(timer);
    timer->at = when;
    struct loop_timer **at = &timer->loop->armed;
    while (*at != NULL && (*at)->at.ns <= when.ns)
        at = &(*at)->next;
    timer->next = *at;
    *at = timer;
    timer->is_armed = true;
    clock_set(timer->loop);
}

void loop_timer_cancel(struct loop_timer *timer)
{
    unlink_timer(timer);
    clock_set(timer->loop);
}

void loop_timer_free(struct loop_timer *timer)
{
    loop_timer_cancel(timer);
    timer->loop->live--;
    free(timer);
}

static int uv_events(unsigned events)
{
    return (events & LOOP_READ ? UV_READABLE : 0) | (events & LOOP_WRITE ? UV_WRITABLE : 0) |
           (events & LOOP_PRIO ? UV_PRIORITIZED : 0) | (events & LOOP_HUP ? UV_DISCONNECT : 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct loop_watch *watch = poll->data;
    unsigned got = status < 0 ? LOOP_READ | LOOP_HUP : 0; /* EPOLLERR: the reader sees why */
    got |= events & UV_READABLE ? LOOP_READ : 0;
    got |= events & UV_WRITABLE ? LOOP_WRITE : 0;
    got |= events & UV_PRIORITIZED ? LOOP_PRIO : 0;
    got |= events & UV_DISCONNECT ? LOOP_HUP : 0;
    watch->on_ready(watch->arg, got);
}

struct loop_watch *loop_watch_new(struct loop *loop, int fd, unsigned events,
                                  loop_ready_fn *on_ready, void *arg)
{
    struct loop_watch *watch = mem_new(struct loop_watch);
    watch->loop = loop;
    watch->on_ready = on_ready;
    watch->arg = arg;
    int rc = uv_poll_init(&loop->uv, &watch->poll, fd);
    assert(rc == 0);
    watch->poll.data = watch;
    loop->live++;
    loop_watch_change(watch, events);
    return watch;
}

void loop_watch_change(struct loop_watch *watch, unsigned events)
{
    int rc = events == 0 ? uv_poll_stop(&watch->poll)
                         : uv_poll_start(&watch->poll, uv_events(events), on_poll);
    assert(rc == 0);
}

static void free_watch(uv_handle_t *handle) { free(handle->data); }

void loop_watch_free(struct loop_watch *watch)
{
    watch->loop->live--;
    uv_close((uv_handle_t *)&watch->poll, free_watch);
}
