#include "driver/isolation/draft.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/own.h"
#include "driver/isolation/seccomp.h"
#include "driver/isolation/tables.def"

#define TEXT(text)         text,
#define LINK(name, target) { name, target },
static const char *const system_dirs[] = { ISOLATION_SYSTEM(TEXT) };
static const char *const nodes[] = { ISOLATION_NODES(TEXT) };
static const char *const masked_files[] = { ISOLATION_MASKED_FILES(TEXT) };
static const char *const masked_dirs[] = { ISOLATION_MASKED_DIRS(TEXT) };
static const char *const read_only[] = { ISOLATION_READ_ONLY(TEXT) };
static const struct {
    const char *name, *target;
} links[] = { ISOLATION_LINKS(LINK) };

#define PLAIN    (ISOLATION_NOSUID | ISOLATION_NODEV)
#define SEEN     (ISOLATION_READ | ISOLATION_EXECUTE)
#define OWN      (SEEN | ISOLATION_WRITE)
#define NODE     (ISOLATION_READ | ISOLATION_UPDATE | ISOLATION_DEVICE)
#define SHM_SIZE "50%"
/* With it a process makes the node of any device. */
#define CAPS_OF_NODES (1ULL << 27) /* CAP_MKNOD */

/* Everything that is being put together; the first error stays. */
struct drawing {
    const struct isolation_wish *wish;
    struct isolation_draft *out;
    struct isolation_plan *plan;
    bool has_mounts, has_tmp; /* has_tmp: /tmp is empty, what is needed there must be brought */
    bool is_full;
};

static const char *keep_text(struct drawing *d, char *text)
{
    struct isolation_draft *out = d->out;
    out->made = mem_resize(out->made, out->made_count + 1, sizeof(char *));
    out->made[out->made_count++] = text;
    return text;
}

static void add_mount(struct drawing *d, enum isolation_mount_kind kind, uint32_t flags,
                      const char *source, const char *root, const char *target)
{
    if (d->plan->mount_count == ISOLATION_MOUNTS_MAX) {
        d->is_full = true;
        return;
    }
    d->plan->mount[d->plan->mount_count++] = (struct isolation_mount){ kind, flags, source, root,
                                                                       target };
}

static void add_rule(struct drawing *d, unsigned access, const char *path)
{
    if (d->plan->landlock_abi == 0)
        return;
    if (d->plan->rule_count == ISOLATION_RULES_MAX) {
        d->is_full = true;
        return;
    }
    d->plan->rules[d->plan->rule_count++] = (struct isolation_rule){ (uint8_t)access, path };
}

static bool is_in(const char *path, const char *dir)
{
    const size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

/* ---- what is missing ---- */

static void add_missing(struct isolation_draft *out, const char *what)
{
    const size_t len = strlen(out->missing);
    const char *comma = len > 0 ? ", " : "";
    char *text = str_format("%s%s", comma, what);
    assert(len + strlen(text) < sizeof(out->missing));
    memcpy(out->missing + len, text, strlen(text) + 1);
    free(text);
}

static bool check_missing(const struct isolation_wish *w, struct isolation_draft *out,
                          struct err *err)
{
    const struct {
        bool is_wanted, is_there;
        const char *name;
    } rows[] = {
        { true, w->kernel.is_root, "namespaces" },
        { !w->no_mounts, w->kernel.can_mount, "mounts" },
        { !w->no_seccomp, w->kernel.can_filter, "seccomp" },
        { !w->no_landlock, w->kernel.landlock_abi > 0, "Landlock" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].is_wanted && !rows[i].is_there)
            add_missing(out, rows[i].name);
    if (!w->require || out->missing[0] == '\0')
        return true;
    return err_set(err, ERR_DENIED, "task config: isolation: required, and not to be had here: %s",
                   out->missing);
}

/* What a job asks for by name is never left out. */
static bool check_asked(const struct isolation_wish *w, struct err *err)
{
    const bool has_mounts = w->kernel.can_mount && !w->no_mounts;
    const bool is_root = w->kernel.is_root;
    /* No devices controller: that a node cannot be opened is what its mount says, and Landlock
     * keeps the agent from all that are without nodev, and from mounting another. */
    const bool has_mknod = ((w->caps_bound | w->caps_given) & CAPS_OF_NODES) != 0;
    const bool is_fenced_in = has_mounts && w->kernel.landlock_abi > 0 && !w->no_landlock;
    const struct {
        bool is_asked, is_there;
        const char *key;
    } rows[] = {
        { w->mount_count > 0, has_mounts, "mount: needs a mount namespace" },
        { w->device_count > 0, has_mounts, "devices: need a mount namespace" },
        { w->resolv != NULL || w->hosts != NULL, has_mounts, "dns: needs a mount namespace" },
        { w->netns != NULL, is_root, "network namespace: needs root" },
        { w->uid != 0 && w->caps_given != 0, is_root, "cap_add: needs root" },
        { has_mknod, is_fenced_in, "cap_add: mknod needs own mounts and Landlock" },
        { w->oom_score_adj < 0 || w->nice < 0, is_root,
          "nice or oom_score_adj below 0: needs root" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        if (rows[i].is_asked && !rows[i].is_there)
            return err_set(err, ERR_DENIED, "task config: %s, which is not to be had here",
                           rows[i].key);
    return true;
}

/* ---- mounts ---- */

/* A needed path that something hides: put back where it was. */
static void bring_back(struct drawing *d, const char *path, bool is_file, bool is_read_only)
{
    const struct isolation_wish *w = d->wish;
    const char *const hidden[] = { w->hidden_dir,
                                   w->records_dir,
                                   w->sockets_dir,
                                   "/root",
                                   d->has_tmp ? "/tmp" : w->hidden_dir,
                                   d->has_tmp ? "/var/tmp" : w->hidden_dir };
    if (is_in(path, w->task_dir) || is_in(path, w->shared_dir))
        return;
    for (size_t i = 0; i < COUNT(hidden); i++) {
        if (!is_in(path, hidden[i]))
            continue;
        add_mount(d, ISOLATION_BIND,
                  PLAIN | ISOLATION_RECURSIVE | ISOLATION_OPTIONAL | ISOLATION_MAKE |
                      (is_file ? ISOLATION_IS_FILE : 0U) | (is_read_only ? ISOLATION_RDONLY : 0U),
                  path, "/", path + 1);
        return;
    }
}

/* Its own directory for temporary files; an empty file system when the task itself lies in /tmp. */
static void mount_tmp(struct drawing *d)
{
    const struct isolation_wish *w = d->wish;
    const char *own = keep_text(d, str_format("%s/tmp", w->task_dir));
    d->has_tmp = true;
    if (is_in(w->task_dir, "/tmp") || is_in(w->task_dir, "/var/tmp")) {
        add_mount(d, ISOLATION_TMPFS, PLAIN, SHM_SIZE, "/", "tmp");
        add_mount(d, ISOLATION_TMPFS, PLAIN | ISOLATION_OPTIONAL, SHM_SIZE, "/", "var/tmp");
        return;
    }
    add_mount(d, ISOLATION_BIND, PLAIN | ISOLATION_OPTIONAL, own, "/", "tmp");
    add_mount(d, ISOLATION_BIND, PLAIN | ISOLATION_OPTIONAL, own, "/", "var/tmp");
}

static void mount_dev(struct drawing *d)
{
    const uint32_t node = ISOLATION_MAKE | ISOLATION_IS_FILE;
    add_mount(d, ISOLATION_COVER, PLAIN | ISOLATION_NOEXEC, "", "/", "dev");
    for (size_t i = 0; i < COUNT(nodes); i++) {
        const char *path = keep_text(d, str_format("/dev/%s", nodes[i]));
        add_mount(d, ISOLATION_BIND, node | ISOLATION_OPTIONAL | ISOLATION_SYSTEM, path, "/dev",
                  nodes[i]);
    }
    for (size_t i = 0; i < COUNT(links); i++)
        add_mount(d, ISOLATION_LINK, 0, links[i].target, "/dev", links[i].name);
    add_mount(d, ISOLATION_BIND, ISOLATION_MAKE | ISOLATION_OPTIONAL | ISOLATION_SYSTEM, "/dev/pts",
              "/dev", "pts");
    add_mount(d, ISOLATION_TMPFS, PLAIN | ISOLATION_MAKE, SHM_SIZE, "/dev", "shm");
    for (size_t i = 0; i < d->wish->device_count; i++)
        add_mount(d, ISOLATION_BIND, node, d->wish->devices[i].source, "/dev",
                  d->wish->devices[i].path + strlen("/dev/"));
}

static void mount_masks(struct drawing *d)
{
    const uint32_t fixed = ISOLATION_RDONLY | ISOLATION_IN_PLACE | ISOLATION_OPTIONAL |
                           ISOLATION_NOSUID | ISOLATION_NODEV | ISOLATION_NOEXEC | ISOLATION_SYSTEM;
    for (size_t i = 0; i < COUNT(read_only); i++)
        add_mount(d, ISOLATION_BIND, fixed, keep_text(d, str_format("/%s", read_only[i])), "/",
                  read_only[i]);
    add_mount(d, ISOLATION_BIND, (fixed & ~(uint32_t)ISOLATION_IN_PLACE) | ISOLATION_RECURSIVE,
              "/sys", "/", "sys");
    for (size_t i = 0; i < COUNT(masked_files); i++)
        add_mount(d, ISOLATION_MASK_FILE, ISOLATION_RDONLY | ISOLATION_OPTIONAL, "", "/",
                  masked_files[i]);
    for (size_t i = 0; i < COUNT(masked_dirs); i++)
        add_mount(d, ISOLATION_COVER, PLAIN | ISOLATION_OPTIONAL, "", "/", masked_dirs[i]);
}

/* Other allocations, other tasks of this one, and what is the plugin's own. */
static void mount_task(struct drawing *d)
{
    const struct isolation_wish *w = d->wish;
    const uint32_t own = PLAIN | ISOLATION_RECURSIVE | ISOLATION_MAKE;
    add_mount(d, ISOLATION_COVER, PLAIN | ISOLATION_OPTIONAL, "", "/", w->records_dir + 1);
    add_mount(d, ISOLATION_COVER, PLAIN | ISOLATION_OPTIONAL, "", "/", w->sockets_dir + 1);
    add_mount(d, ISOLATION_COVER, PLAIN | ISOLATION_MAKE, "", "/", w->hidden_dir + 1);
    add_mount(d, ISOLATION_BIND, own, w->task_dir, "/", w->task_dir + 1);
    add_mount(d, ISOLATION_BIND, own | ISOLATION_OPTIONAL, w->shared_dir, "/", w->shared_dir + 1);
    add_mount(d, ISOLATION_COVER, PLAIN | ISOLATION_OPTIONAL, "", w->task_dir, "private");
    add_mount(d, ISOLATION_BIND,
              PLAIN | ISOLATION_RDONLY | ISOLATION_RECURSIVE | ISOLATION_OPTIONAL,
              keep_text(d, str_format("%s/secrets", w->task_dir)), w->task_dir, "secrets");
    if (w->api)
        bring_back(d, w->api, true, false);
    bring_back(d, w->command, true, true);
    for (size_t i = 0; i < w->path_count; i++)
        bring_back(d, w->paths[i].path, w->paths[i].is_file,
                   (w->paths[i].access & ISOLATION_WRITE) == 0);
}

static void draw_mounts(struct drawing *d)
{
    const struct isolation_wish *w = d->wish;
    mount_tmp(d);
    mount_dev(d);
    mount_masks(d);
    mount_task(d);
    if (w->resolv)
        add_mount(d, ISOLATION_FILE, PLAIN, w->resolv, "/", w->resolv_at + 1);
    if (w->hosts)
        add_mount(d, ISOLATION_FILE, PLAIN, w->hosts, "/", w->hosts_at + 1);
    for (size_t i = 0; i < w->mount_count; i++) {
        const bool is_of_task = strcmp(w->mounts[i].root, "/") != 0; /* else made by nobody */
        add_mount(d, ISOLATION_BIND,
                  w->mounts[i].flags | PLAIN | (is_of_task ? ISOLATION_MAKE : 0U),
                  w->mounts[i].source, w->mounts[i].root, w->mounts[i].target);
    }
}

/* ---- Landlock ---- */

static void rule_below(struct drawing *d, unsigned access, const char *dir, const char *name)
{
    add_rule(d, access, keep_text(d, str_format("%s/%s", dir[1] ? dir : "", name)));
}

static void draw_rules(struct drawing *d)
{
    const struct isolation_wish *w = d->wish;
    for (size_t i = 0; i < COUNT(system_dirs); i++)
        add_rule(d, SEEN | ISOLATION_FOLLOW, system_dirs[i]);
    /* Writing below /proc is for one's own process: the machine's knobs are mounted read-only. */
    add_rule(d, ISOLATION_READ | (d->has_mounts ? ISOLATION_UPDATE : 0U), "/proc");
    add_rule(d, ISOLATION_READ, "/sys");
    for (size_t i = 0; i < COUNT(nodes); i++)
        rule_below(d, NODE | ISOLATION_FOLLOW, "/dev", nodes[i]);
    for (size_t i = 0; i < w->device_count; i++)
        add_rule(d, w->devices[i].access, w->devices[i].path);
    add_rule(d, NODE, "/dev/pts");
    add_rule(d, OWN, "/dev/shm");
    if (d->has_mounts) {
        add_rule(d, ISOLATION_READ, "/dev");
        add_rule(d, OWN, "/tmp");
        add_rule(d, OWN, "/var/tmp");
    }
    add_rule(d, SEEN, w->task_dir);
    rule_below(d, OWN, w->task_dir, "local");
    rule_below(d, OWN, w->task_dir, "tmp");
    add_rule(d, OWN, w->shared_dir);
    add_rule(d, SEEN, w->command);
    for (size_t i = 0; i < w->path_count; i++)
        add_rule(d, w->paths[i].access, w->paths[i].path);
    for (size_t i = 0; i < w->mount_count; i++)
        rule_below(d, (w->mounts[i].flags & ISOLATION_RDONLY) != 0 ? SEEN : OWN, w->mounts[i].root,
                   w->mounts[i].target);
}

/* ---- the rest ---- */

static void draw_flags(struct drawing *d)
{
    const struct isolation_wish *w = d->wish;
    const struct {
        bool on;
        uint32_t flag;
    } rows[] = {
        { !w->new_privs, ISOLATION_NO_NEW_PRIVS },
        { w->host_pid, ISOLATION_HOST_PID },
        { w->kernel.is_root && !w->host_ipc, ISOLATION_OWN_IPC },
        { w->kernel.is_root, ISOLATION_OWN_UTS | ISOLATION_OWN_CGROUP | ISOLATION_CAPS },
    };
    d->plan->flags = 0;
    for (size_t i = 0; i < COUNT(rows); i++)
        d->plan->flags |= rows[i].on ? rows[i].flag : 0;
    for (size_t i = 0; i < w->limit_count; i++)
        d->plan->flags |= w->limits[i].number == 4 /* RLIMIT_CORE */ ? ISOLATION_CORE_DUMPS : 0;
    d->plan->caps_bound = w->kernel.is_root ? w->caps_bound : 0;
    d->plan->caps_given = w->kernel.is_root && w->uid != 0 ? w->caps_given : 0;
}

static bool draw(struct drawing *d, struct err *err)
{
    const struct isolation_wish *w = d->wish;
    isolation_default(d->plan);
    d->has_mounts = w->kernel.can_mount && !w->no_mounts;
    d->plan->mounts = d->has_mounts                       ? ISOLATION_MOUNTS_OWN
                      : w->kernel.is_root && !w->host_pid ? ISOLATION_MOUNTS_AUTO
                                                          : ISOLATION_MOUNTS_HOST;
    d->plan->nice = w->nice != 0 ? w->nice : ISOLATION_NICE_KEEP;
    d->plan->oom_score_adj = w->oom_score_adj;
    d->plan->umask = w->umask;
    d->plan->netns = w->netns ? w->netns : "";
    d->plan->landlock_abi = w->no_landlock ? 0 : w->kernel.landlock_abi;
    assert(w->limit_count <= ISOLATION_LIMITS_MAX);
    for (size_t i = 0; i < w->limit_count; i++)
        d->plan->limits[d->plan->limit_count++] = w->limits[i];
    draw_flags(d);
    if (d->has_mounts)
        draw_mounts(d);
    draw_rules(d);
    if (!w->no_seccomp && w->kernel.can_filter) {
        isolation_filter_put(w->caps_bound, &d->out->filter);
        d->plan->filter = buf_view(&d->out->filter);
    }
    return !d->is_full ||
           err_set(err, ERR_INVALID, "task config: mount, read_paths, write_paths: more than fit");
}

bool isolation_draft_make(const struct isolation_wish *wish, struct isolation_draft *out,
                          struct err *err)
{
    memset(out, 0, sizeof(*out));
    struct drawing d = { .wish = wish, .out = out, .plan = &out->plan };
    if (check_missing(wish, out, err) && check_asked(wish, err) && draw(&d, err))
        return true;
    isolation_draft_fini(out);
    return false;
}

bool isolation_is_taken(const char *path)
{
    static const char *const made[] = { "/proc", "/sys",  "/dev", "/run",
                                        "/boot", "/root", "/tmp", "/var/tmp" };
    bool is_taken = path[1] == '\0';
    for (size_t i = 0; i < COUNT(system_dirs); i++)
        is_taken = is_taken || is_in(path, system_dirs[i]) || is_in(system_dirs[i], path);
    for (size_t i = 0; i < COUNT(made); i++)
        is_taken = is_taken || is_in(path, made[i]) || is_in(made[i], path);
    return is_taken;
}

void isolation_draft_fini(struct isolation_draft *draft)
{
    for (size_t i = 0; i < draft->made_count; i++)
        free(draft->made[i]);
    free(draft->made);
    buf_fini(&draft->filter);
    memset(draft, 0, sizeof(*draft));
}
