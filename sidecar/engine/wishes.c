#include "sidecar/engine/wishes.h"

#include <assert.h>
#include <stddef.h>

static struct wish **end_of(struct wish **list)
{
    while (*list != NULL)
        list = &(*list)->next;
    return list;
}

static struct wish *pop(struct wish **list)
{
    struct wish *wish = *list;
    *list = wish->next;
    wish->next = NULL;
    return wish;
}

static bool remove_from(struct wish **list, const struct wish *wish)
{
    while (*list != NULL && *list != wish)
        list = &(*list)->next;
    if (*list == NULL)
        return false;
    (void)pop(list);
    return true;
}

void wishes_add(struct wishes *w, struct wish *wish, struct boot now)
{
    wish->made = now;
    wish->next = NULL;
    *end_of(&w->waiting) = wish;
}

bool wishes_remove(struct wishes *w, const struct wish *wish)
{
    return remove_from(&w->waiting, wish) || remove_from(&w->served, wish);
}

bool wishes_is_waiting(const struct wishes *w) { return w->waiting != NULL; }

void wishes_begin(struct wishes *w)
{
    assert(w->served == NULL);
    w->served = w->waiting;
    w->waiting = NULL;
}

/* One at a time from the front: `done` may forget any other. */
void wishes_commit(struct wishes *w, const struct wish_result *result)
{
    while (w->served != NULL) {
        struct wish *wish = pop(&w->served);
        wish->done(wish->arg, result, NULL);
    }
}

void wishes_retry(struct wishes *w, struct boot too_old, const struct err *err)
{
    *end_of(&w->served) = w->waiting;
    w->waiting = w->served;
    w->served = NULL;
    while (w->waiting != NULL && w->waiting->made.ns < too_old.ns) { /* oldest first */
        struct wish *wish = pop(&w->waiting);
        wish->done(wish->arg, NULL, err);
    }
}

void wishes_fail(struct wishes *w, const struct err *err)
{
    struct wish **last = end_of(&w->served);
    *last = w->waiting;
    w->waiting = NULL; /* who comes from now on is not failed by us */
    while (w->served != NULL) {
        struct wish *wish = pop(&w->served);
        wish->done(wish->arg, NULL, err);
    }
}
