#include "driver/dev/dirs.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "driver/dev/alloc.h"
#include "driver/dev/job.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_BYTES_MAX 78 /* with "/N" it is what the driver accepts as run_dir */

static bool absolute_of(const char *path, char **out, struct err *err)
{
    char *resolved = realpath(path, NULL);
    if (!resolved)
        return err_sys(err, errno, "resolve \"%s\"", path);
    free(*out);
    *out = resolved;
    return true;
}

static const char *tmp_dir(void)
{
    const char *dir = getenv("TMPDIR");
    return dir && *dir == '/' ? dir : "/tmp";
}

static bool data_make(const char *data, struct dirs *out, struct err *err)
{
    if (data)
        return dir_make(data, 0755, err) && absolute_of(data, &out->data, err);
    out->data = str_format("%s/agent-dev.XXXXXX", tmp_dir());
    if (!mkdtemp(out->data))
        return err_sys(err, errno, "make a directory in \"%s\"", tmp_dir());
    out->is_temporary = true;
    /* Agents of other users must reach their allocation. */
    return chmod(out->data, 0755) == 0 || err_sys(err, errno, "chmod \"%s\"", out->data);
}

static bool run_make(struct dirs *out, struct err *err)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    const char *base = geteuid() == 0 ? "/run" : runtime && *runtime == '/' ? runtime : "/tmp";
    out->run = str_format("%s/agent-dev-%d", base, getpid());
    if (strlen(out->run) > RUN_BYTES_MAX)
        return err_set(err, ERR_INVALID, "directory of sockets \"%s\": %zu bytes, at most %d fit",
                       out->run, strlen(out->run), RUN_BYTES_MAX);
    return dir_remove_tree(out->run, err) && dir_make(out->run, 0755, err);
}

static bool data_lock(struct dirs *out, struct err *err)
{
    CLEANUP(str_freep) char *path = str_format("%s/lock", out->data);
    out->lock.raw = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (!fd_is_open(out->lock))
        return err_sys(err, errno, "open \"%s\"", path);
    if (flock(out->lock.raw, LOCK_EX | LOCK_NB) == 0)
        return true;
    if (errno != EWOULDBLOCK)
        return err_sys(err, errno, "lock \"%s\"", path);
    return err_set(err, ERR_CONFLICT, "another agent-dev uses \"%s\"", out->data);
}

bool dirs_make(const char *data, const char *store, struct dirs *out, struct err *err)
{
    struct dirs dirs = DIRS_NONE;
    bool ok = data_make(data, &dirs, err) && data_lock(&dirs, err);
    if (ok && !store)
        dirs.store = str_format("%s/store", dirs.data);
    ok = ok && dir_make(store ? store : dirs.store, 0755, err) &&
         absolute_of(store ? store : dirs.store, &dirs.store, err) && run_make(&dirs, err);
    if (!ok) {
        dirs_remove(&dirs);
        return false;
    }
    *out = dirs;
    return true;
}

void dirs_remove(struct dirs *dirs)
{
    struct err err;
    if (dirs->run && !dir_remove_tree(dirs->run, &err))
        (void)fprintf(stderr, "%s\n", err.msg);
    if (dirs->data && dirs->is_temporary && !dir_remove_tree(dirs->data, &err))
        (void)fprintf(stderr, "%s\n", err.msg);
    free(dirs->data);
    free(dirs->store);
    free(dirs->run);
    fd_closep(&dirs->lock);
    *dirs = DIRS_NONE;
}

/* Points `link` at `target` in one step. */
static bool link_swap(const char *target, const char *link, struct err *err)
{
    CLEANUP(str_freep) char *fresh = str_format("%s.new", link);
    if (unlink(fresh) != 0 && errno != ENOENT)
        return err_sys(err, errno, "remove \"%s\"", fresh);
    if (symlink(target, fresh) != 0 || rename(fresh, link) != 0)
        return err_sys(err, errno, "link \"%s\" to \"%s\"", link, target);
    return true;
}

bool node_dirs_make(const struct dirs *dirs, unsigned node, struct node_dirs *out, struct err *err)
{
    struct node_dirs d = { .root = str_format("%s/nodes/%u", dirs->data, node),
                           .alloc = str_format("%s/nodes/%u/alloc", dirs->data, node),
                           .state = str_format("%s/nodes/%u/state", dirs->data, node),
                           .store = str_format("%s/nodes/%u/store", dirs->data, node),
                           .log = str_format("%s/nodes/%u/plugin.log", dirs->data, node),
                           .run = str_format("%s/%u", dirs->run, node) };
    const bool ok = dir_remove_tree(d.root, err) && dir_make(d.alloc, 0755, err) &&
                    dir_make(d.state, 0700, err) && dir_make(d.run, 0755, err) &&
                    link_swap(dirs->store, d.store, err);
    if (!ok) {
        node_dirs_fini(&d);
        return false;
    }
    *out = d;
    return true;
}

void node_dirs_fini(struct node_dirs *dirs)
{
    free(dirs->root);
    free(dirs->alloc);
    free(dirs->state);
    free(dirs->run);
    free(dirs->store);
    free(dirs->log);
    *dirs = (struct node_dirs){ 0 };
}

bool node_dirs_cut(const struct node_dirs *dirs, struct err *err)
{
    CLEANUP(str_freep) char *nowhere = str_format("%s/unreachable/store", dirs->root);
    return link_swap(nowhere, dirs->store, err);
}

static bool template_write(const struct job *job, const struct alloc_place *place,
                           const struct vars *vars, const struct job_template *t, struct err *err)
{
    CLEANUP(str_freep) char *relative = NULL;
    CLEANUP(buf_fini) struct buf data = { 0 };
    if (!alloc_destination(job, place, vars, t->destination, &relative, err) ||
        !vars_keep(job->tree, t->data, &data, err))
        return false;
    CLEANUP(str_freep) char *path = str_format("%s/%s", place->alloc_dir, relative);
    CLEANUP(str_freep) char *parent = str_copy_n(path, (size_t)(strrchr(path, '/') - path));
    return dir_make(parent, 0777, err) &&
           file_publish(AT_FDCWD, path, buf_view(&data), (mode_t)t->mode, FILE_REPLACE, err);
}

bool alloc_dirs_make(const struct job *job, const struct alloc_place *place,
                     const struct vars *vars, struct err *err)
{
    static const struct {
        bool in_task;
        const char *below;
        mode_t mode;
    } rows[] = {
        { false, "alloc/logs", 0777 }, { false, "alloc/tmp", 0777 }, { false, "alloc/data", 0777 },
        { true, "local", 0777 },       { true, "secrets", 0777 },    { true, "private", 0700 },
        { true, "tmp", 01777 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        CLEANUP(str_freep)
        char *path = str_format("%s/%s%s%s", place->alloc_dir, rows[i].in_task ? job->task : "",
                                rows[i].in_task ? "/" : "", rows[i].below);
        if (!dir_make(path, 0755, err))
            return false;
        if (chmod(path, rows[i].mode) != 0)
            return err_sys(err, errno, "chmod \"%s\"", path);
    }
    for (size_t i = 0; i < job->template_count; i++)
        if (!template_write(job, place, vars, &job->templates[i], err))
            return false;
    return true;
}
