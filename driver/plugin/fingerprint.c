#include "driver/plugin/fingerprint.h"

#include "common/base/own.h"

#include <assert.h>

struct watcher {
    struct fingerprint *fingerprint;
    struct rpc_call *call;
    bool is_behind; /* has not got the newest message */
    struct watcher *next, **link;
};

struct fingerprint {
    struct host_facts facts;
    bool has_facts;
    enum reply_health health;
    const char *description, *log_collection;
    struct watcher *watchers;
};

struct fingerprint *fingerprint_new(enum reply_health health, const char *description)
{
    struct fingerprint *fingerprint = mem_new(struct fingerprint);
    fingerprint->health = health;
    fingerprint->description = description;
    fingerprint->log_collection = "";
    return fingerprint;
}

void fingerprint_free(struct fingerprint *fingerprint)
{
    if (fingerprint == NULL)
        return;
    assert(fingerprint->watchers == NULL);
    free(fingerprint);
}

static void send_if_behind(void *arg)
{
    struct watcher *watcher = arg;
    struct fingerprint *f = watcher->fingerprint;
    if (!watcher->is_behind || !rpc_call_is_ready(watcher->call))
        return;
    CLEANUP(buf_fini) struct buf message = { 0 };
    reply_put_fingerprint(&message, &f->facts, f->health, f->description);
    watcher->is_behind = false;
    rpc_call_send(watcher->call, buf_view(&message));
}

static void send_all(struct fingerprint *fingerprint)
{
    for (struct watcher *watcher = fingerprint->watchers; watcher != NULL;
         watcher = watcher->next) {
        watcher->is_behind = true;
        send_if_behind(watcher);
    }
}

static void watcher_gone(void *arg)
{
    struct watcher *watcher = arg;
    *watcher->link = watcher->next;
    if (watcher->next != NULL)
        watcher->next->link = watcher->link;
    free(watcher);
}

static void measure(struct fingerprint *fingerprint)
{
    host_facts_read("", &fingerprint->facts);
    host_facts_tell(&fingerprint->facts, HOST_ATTR_LOG_COLLECTION, fingerprint->log_collection);
    fingerprint->has_facts = true;
}

void fingerprint_hold(struct fingerprint *fingerprint, struct rpc_call *call)
{
    if (!fingerprint->has_facts)
        measure(fingerprint);
    struct watcher *watcher = mem_new(struct watcher);
    watcher->fingerprint = fingerprint;
    watcher->call = call;
    watcher->is_behind = true;
    watcher->next = fingerprint->watchers;
    watcher->link = &fingerprint->watchers;
    if (watcher->next != NULL)
        watcher->next->link = &watcher->next;
    fingerprint->watchers = watcher;
    send_if_behind(watcher);
    rpc_call_hold(call, &(struct rpc_hold){ watcher_gone, send_if_behind, watcher });
}

void fingerprint_set(struct fingerprint *fingerprint, enum reply_health health,
                     const char *description)
{
    if (fingerprint->health == health && fingerprint->description == description)
        return;
    fingerprint->health = health;
    fingerprint->description = description;
    fingerprint_refresh(fingerprint);
}

void fingerprint_tell_logs(struct fingerprint *fingerprint, const char *log_collection)
{
    fingerprint->log_collection = log_collection;
    fingerprint->has_facts = false;
}

void fingerprint_refresh(struct fingerprint *fingerprint)
{
    if (fingerprint->watchers == NULL)
        return;
    measure(fingerprint);
    send_all(fingerprint);
}

int64_t fingerprint_core_mhz(const struct fingerprint *fingerprint)
{
    return fingerprint->facts.core_mhz;
}
