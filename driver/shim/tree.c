#include "driver/shim/tree.h"

#include "common/base/own.h"
#include "common/shimwire/msg.h"
#include "driver/shim/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

bool shim_tree_open(struct shim_tree *tree, const struct keeper *keeper, const char *cgroup_dir,
                    struct err *err)
{
    tree->keeper = *keeper;
    tree->keeper_gone = keeper->pid == 0;
    tree->cgroup = CGROUP_NONE;
    if (cgroup_dir[0] == '\0')
        return true;
    if (!cgroup_open(cgroup_dir, true, &tree->cgroup, err) ||
        !shim_fd_move(&tree->cgroup.dir, SHIM_FD_CGROUP, err))
        return false;
    shim_tree_freeze(tree, false); /* a shim that died may have left it frozen */
    return true;
}

uint8_t shim_tree_containment(const struct shim_tree *tree)
{
    unsigned mask = tree->keeper.pid != 0 ? SHIM_CONTAINED_PIDNS : SHIM_CONTAINED_PDEATH;
    if (cgroup_is_open(&tree->cgroup))
        mask |= SHIM_CONTAINED_CGROUP;
    return (uint8_t)mask;
}

void shim_tree_freeze(const struct shim_tree *tree, bool on)
{
    struct err why = { 0 };
    if (cgroup_is_open(&tree->cgroup) && !cgroup_freeze(&tree->cgroup, on, &why))
        return; /* the caller waits for "frozen" with a limit */
}

bool shim_tree_is_frozen(const struct shim_tree *tree)
{
    struct err why = { 0 };
    struct cgroup_events now;
    return cgroup_is_open(&tree->cgroup) && cgroup_events(&tree->cgroup, &now, &why) && now.frozen;
}

/* Calls `each` with our children but for the spared; false when it says so, or for none; true when
 * we cannot look (no descriptor is free): nobody may be taken for dead on that account. As the
 * subreaper we inherit whatever is orphaned, so repeating this reaches everything. */
static bool any_child(struct shim_spared spared, bool (*each)(pid_t pid))
{
    char path[64], text[512];
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    CLEANUP(fd_closep) struct fd file = { open(path, O_RDONLY | O_CLOEXEC) };
    if (file.raw < 0)
        return errno != ENOENT; /* a kernel without the file: then only the main process is known */
    pid_t pid = 0;
    bool any = false;
    ssize_t len;
    while ((len = read(file.raw, text, sizeof(text))) > 0)
        for (ssize_t i = 0; i < len; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
                continue;
            }
            if (pid > 0 && pid != spared.sidecar && pid != spared.scribe)
                any = each(pid) || any;
            pid = 0;
        }
    return any;
}

static bool kill_child(pid_t pid)
{
    return kill(pid, SIGKILL) == 0; /* not reaped yet, so the number is still its own */
}

static bool is_there(pid_t pid) { return pid > 0; }

void shim_tree_kill(const struct shim_tree *tree, struct shim_spared spared)
{
    struct err why = { 0 };
    struct cgroup_events now = { true, false };
    bool has_cgroup = cgroup_is_open(&tree->cgroup);
    if (has_cgroup && cgroup_events(&tree->cgroup, &now, &why) && now.populated) {
        shim_tree_freeze(tree, true);
        if (!cgroup_kill(&tree->cgroup, &why))
            now.populated = true; /* the other holds remain, and this is repeated */
    }
    if (tree->keeper.pid != 0)
        keeper_kill(&tree->keeper);
    else
        (void)any_child(spared, kill_child);
}

bool shim_tree_is_empty(const struct shim_tree *tree, struct shim_spared spared)
{
    struct err why = { 0 };
    struct cgroup_events now;
    if (!tree->keeper_gone)
        return false;
    if (cgroup_is_open(&tree->cgroup) &&
        (!cgroup_events(&tree->cgroup, &now, &why) || now.populated))
        return false;
    return tree->keeper.pid != 0 || !any_child(spared, is_there);
}

void shim_tree_close(struct shim_tree *tree)
{
    struct err why = { 0 };
    if (!tree->keeper_gone)
        keeper_end(&tree->keeper);
    tree->keeper_gone = true;
    if (!cgroup_is_open(&tree->cgroup))
        return;
    shim_tree_freeze(tree, false);
    if (tree->cgroup.made && !cgroup_remove_soon(tree->cgroup.path, &why))
        tree->cgroup.made = false; /* the driver sweeps what stays */
    cgroup_fini(&tree->cgroup);
}
