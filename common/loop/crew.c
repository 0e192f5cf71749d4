#include "common/loop/crew.h"

#include "common/base/own.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS_MAX 64

struct slot {
    crew_fn *fn;
    void *arg;
    bool is_done;
};

struct crew {
    pthread_mutex_t lock;          /* guards everything below */
    pthread_cond_t has_work, done; /* work for a thread; a slot done for the caller */
    size_t submitted, started, collected;
    bool is_ending;
    size_t queue;
    struct slot *slots; /* ring: submission n is at n % queue */
    char name[12];
    unsigned threads;
    pthread_t ids[THREADS_MAX];
};

static void run_slot(struct crew *crew, struct slot *slot)
{
    pthread_mutex_unlock(&crew->lock);
    slot->fn(slot->arg);
    pthread_mutex_lock(&crew->lock);
    slot->is_done = true;
    pthread_cond_signal(&crew->done);
}

static void *crew_main(void *arg)
{
    struct crew *crew = arg;
    (void)pthread_setname_np(pthread_self(), crew->name);
    pthread_mutex_lock(&crew->lock);
    for (;;) {
        while (crew->started == crew->submitted && !crew->is_ending)
            pthread_cond_wait(&crew->has_work, &crew->lock);
        if (crew->started == crew->submitted)
            break;
        run_slot(crew, &crew->slots[crew->started++ % crew->queue]);
    }
    pthread_mutex_unlock(&crew->lock);
    return NULL;
}

struct crew *crew_new(const char *name, unsigned threads, size_t queue)
{
    assert(threads <= THREADS_MAX && queue >= 1);
    struct crew *crew = mem_new(struct crew);
    (void)snprintf(crew->name, sizeof(crew->name), "%s", name);
    crew->queue = queue;
    crew->slots = mem_array(queue, sizeof(struct slot));
    (void)pthread_mutex_init(&crew->lock, NULL);
    (void)pthread_cond_init(&crew->has_work, NULL);
    (void)pthread_cond_init(&crew->done, NULL);
    /* A thread that cannot be had is not an error: fewer do the same work. */
    while (crew->threads < threads &&
           pthread_create(&crew->ids[crew->threads], NULL, crew_main, crew) == 0)
        crew->threads++;
    return crew;
}

void crew_free(struct crew *crew)
{
    pthread_mutex_lock(&crew->lock);
    assert(crew->collected == crew->submitted);
    crew->is_ending = true;
    pthread_cond_broadcast(&crew->has_work);
    pthread_mutex_unlock(&crew->lock);
    for (unsigned i = 0; i < crew->threads; i++)
        (void)pthread_join(crew->ids[i], NULL);
    (void)pthread_cond_destroy(&crew->has_work);
    (void)pthread_cond_destroy(&crew->done);
    (void)pthread_mutex_destroy(&crew->lock);
    free(crew->slots);
    free(crew);
}

void crew_submit(struct crew *crew, crew_fn *fn, void *arg)
{
    pthread_mutex_lock(&crew->lock);
    assert(crew->submitted - crew->collected < crew->queue);
    struct slot *slot = &crew->slots[crew->submitted++ % crew->queue];
    *slot = (struct slot){ fn, arg, false };
    if (crew->threads == 0) {
        crew->started++;
        run_slot(crew, slot);
    } else {
        pthread_cond_signal(&crew->has_work);
    }
    pthread_mutex_unlock(&crew->lock);
}

void *crew_collect(struct crew *crew)
{
    void *arg = NULL;
    pthread_mutex_lock(&crew->lock);
    if (crew->collected < crew->submitted) {
        struct slot *slot = &crew->slots[crew->collected % crew->queue];
        while (!slot->is_done)
            pthread_cond_wait(&crew->done, &crew->lock);
        arg = slot->arg;
        crew->collected++;
    }
    pthread_mutex_unlock(&crew->lock);
    return arg;
}

size_t crew_outstanding(const struct crew *crew)
{
    return crew->submitted - crew->collected; /* both are written by the caller's thread only */
}
