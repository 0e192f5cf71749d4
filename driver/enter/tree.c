#include "driver/enter/tree.h"

#include "common/base/time.h"
#include "driver/enter/strays.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EMPTY_MS 5000 /* a kill is a matter of ms; the rest is uninterruptible sleep */
#define PAUSE_MS 10

bool enter_tree_open(struct enter_tree *tree, const char *dir, const char *name, struct err *err)
{
    char path[CGROUP_PATH_MAX + 80];
    tree->agent = tree->own = CGROUP_NONE;
    if (dir[0] == '\0')
        return true;
    if (!cgroup_open(dir, false, &tree->agent, err))
        return err_wrap(err, "join the task");
    tree->oom_kills_before = cgroup_oom_kills(&tree->agent);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (mkdirat(tree->agent.dir.raw, name, 0755) != 0) {
        bool is_gone = errno == ENOENT || errno == ENODEV;
        return is_gone ? err_set(err, ERR_NOT_FOUND, "join the task: it has ended")
                       : err_sys(err, errno, "make cgroup \"%s\"", path);
    }
    if (cgroup_open(path, false, &tree->own, err))
        return true;
    (void)unlinkat(tree->agent.dir.raw, name, AT_REMOVEDIR);
    return false;
}

/* A child that nobody waits for any more, the command excepted: its number must stay its own. */
static void reap_strays(pid_t command)
{
    siginfo_t info = { 0 };
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0 &&
           info.si_pid != command && waitid(P_PID, (id_t)info.si_pid, &info, WEXITED) == 0)
        info = (siginfo_t){ 0 };
}

static bool empty_without_cgroup(pid_t command, struct err *err)
{
    struct boot begun = boot_now();
    while (strays_kill(command) > 0) {
        if (boot_diff_ms(boot_now(), begun) >= EMPTY_MS)
            return err_set(err, ERR_UNAVAILABLE, "kill what the command left: some of it stays");
        (void)poll(NULL, 0, PAUSE_MS);
        reap_strays(command);
    }
    return true;
}

/* Freezing and thawing for nobody costs more than a command like `true`. */
static bool is_populated(const struct cgroup *cgroup)
{
    struct err why = { 0 };
    struct cgroup_events now;
    return cgroup_is_open(cgroup) && (!cgroup_events(cgroup, &now, &why) || now.populated);
}

bool enter_tree_empty(struct enter_tree *tree, pid_t command, struct err *err)
{
    if (is_populated(&tree->own) && !cgroup_kill_wait(&tree->own, EMPTY_MS, err))
        return false;
    return cgroup_is_open(&tree->own) || command == 0 || empty_without_cgroup(command, err);
}

bool enter_tree_has_oom(const struct enter_tree *tree)
{
    return cgroup_is_open(&tree->agent) && cgroup_oom_kills(&tree->agent) > tree->oom_kills_before;
}

void enter_tree_close(struct enter_tree *tree)
{
    struct err why = { 0 };
    bool is_removed = !cgroup_is_open(&tree->own) || cgroup_remove(tree->own.path, &why);
    (void)is_removed;
    cgroup_fini(&tree->own);
    cgroup_fini(&tree->agent);
}
