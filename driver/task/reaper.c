#include "driver/task/reaper.h"

#include <stdlib.h>
#include <sys/wait.h>

#include "common/base/own.h"
#include "common/loop/loop.h"

struct reaper {
    struct reaper *next, **list;
    struct proc proc;
    struct loop_watch *watch;
};

static void reaper_free(struct reaper *reaper)
{
    struct reaper **at = reaper->list;
    while (*at != reaper)
        at = &(*at)->next;
    *at = reaper->next;
    loop_watch_freep(&reaper->watch);
    proc_fini(&reaper->proc);
    free(reaper);
}

static void on_exit_of_child(void *arg, unsigned events)
{
    struct reaper *reaper = arg;
    siginfo_t info = { 0 };
    (void)events;
    if (waitid(P_PIDFD, (id_t)reaper->proc.pidfd.raw, &info, WEXITED | WNOHANG) == 0 &&
        info.si_pid == 0)
        return; /* not yet */
    reaper_free(reaper);
}

void reaper_add(struct loop *loop, struct reaper **list, struct proc *proc)
{
    struct reaper *reaper = mem_new(struct reaper);
    *reaper = (struct reaper){ .next = *list, .list = list, .proc = *proc };
    *proc = PROC_NONE;
    reaper->watch = loop_watch_new(loop, reaper->proc.pidfd.raw, LOOP_READ, on_exit_of_child,
                                   reaper);
    *list = reaper;
}

void reapers_free(struct reaper **list)
{
    while (*list)
        reaper_free(*list);
}
