#include "driver/surround/places.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/base/own.h"
#include "driver/nomad/plugin_config.h"
#include "driver/surround/policy.h"

#define SEEN (ISOLATION_READ | ISOLATION_EXECUTE)
#define OWN  (SEEN | ISOLATION_WRITE)

struct finding {
    const struct task_spec *spec;
    const struct plugin_config *config;
    const char *task_dir; /* as the job sees it */
    struct places *out;
};

static const char *keep(struct places *out, char *text)
{
    out->made = mem_resize(out->made, out->made_count + 1, sizeof(char *));
    out->made[out->made_count++] = text;
    return text;
}

static bool is_in(const char *path, const char *dir)
{
    const size_t len = strlen(dir);
    return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static bool has_parent_step(const char *path)
{
    for (const char *at = path; at; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
            return true;
    }
    return false;
}

static bool canonical(const char *key, const char *path, char **out, struct stat *st,
                      struct err *err)
{
    char *real = realpath(path, NULL);
    if (!real && (errno == ENOENT || errno == ENOTDIR))
        return err_set(err, ERR_NOT_FOUND, "task config: %s: \"%.128s\" does not exist", key, path);
    if (!real)
        return err_sys(err, errno, "task config: %s: look at \"%.128s\"", key, path);
    *out = real;
    return stat(real, st) == 0 ||
           err_sys(err, errno, "task config: %s: look at \"%.128s\"", key, path);
}

/* A path of the host, or of the task: canonical, and allowed. */
static bool find_source(struct finding *f, const char *key, const char *path, bool is_write,
                        struct isolation_wish_path *out, struct err *err)
{
    struct places *places = f->out;
    char *joined = path[0] == '/' ? str_copy(path) : str_format("%s/%s", f->task_dir, path);
    struct stat st = { 0 };
    char *real = NULL;
    const bool is_found = canonical(key, joined, &real, &st, err);
    free(joined);
    if (real)
        out->path = keep(places, real);
    if (!is_found)
        return false;
    out->is_file = !S_ISDIR(st.st_mode);
    return is_in(real, places->task_dir) || is_in(real, places->shared_dir) ||
           policy_path(f->config, key, real, is_write, err);
}

static void add_path(struct places *out, struct isolation_wish_path path)
{
    out->paths = mem_resize(out->paths, out->path_count + 1, sizeof(path));
    out->paths[out->path_count++] = path;
}

static bool find_paths(struct finding *f, const char *key, const struct str_list *list,
                       bool is_write, struct err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct isolation_wish_path path = { .access = is_write ? OWN : SEEN };
        if (!find_source(f, key, list->items[i], is_write, &path, err))
            return false;
        add_path(f->out, path);
    }
    return true;
}

/* What the operator gives to every agent; one that is absent is left out. */
static void add_node_paths(struct finding *f)
{
    for (size_t i = 0; i < f->config->read_paths.count; i++) {
        struct stat st;
        char *real = realpath(f->config->read_paths.items[i], NULL);
        if (!real)
            continue;
        const char *path = keep(f->out, real);
        if (stat(path, &st) == 0)
            add_path(f->out, (struct isolation_wish_path){ path, SEEN, !S_ISDIR(st.st_mode) });
    }
}

/* Where it shall be: beneath the task's directory or the shared one, and nowhere else. */
static bool find_target(struct finding *f, const char *key, const char *path,
                        struct isolation_wish_mount *out, struct err *err)
{
    struct places *places = f->out;
    const char *shared = keep(places, str_format("%s/alloc", f->spec->alloc_dir));
    const struct {
        const char *given, *real;
    } roots[] = { { f->task_dir, places->task_dir },
                  { shared, places->shared_dir },
                  { places->task_dir, places->task_dir },
                  { places->shared_dir, places->shared_dir } };
    if (has_parent_step(path))
        return err_set(err, ERR_INVALID, "task config: %s: \"%.128s\" has a \"..\" in it", key,
                       path);
    out->root = path[0] == '/' ? NULL : places->task_dir;
    out->target = path;
    for (size_t i = 0; i < COUNT(roots) && !out->root; i++) {
        if (!is_in(path, roots[i].given) || strcmp(path, roots[i].given) == 0)
            continue;
        out->root = roots[i].real;
        out->target = path + strlen(roots[i].given) + 1;
    }
    if (!out->root)
        return err_set(err, ERR_INVALID,
                       "task config: %s: \"%.128s\" is outside the task's directories", key, path);
    out->target += strspn(out->target, "/");
    return *out->target != '\0' ||
           err_set(err, ERR_INVALID, "task config: %s: \"%.128s\" is the task directory", key,
                   path);
}

/* A volume's place in the machine's own tree. Nothing is made there, nothing of the system is
 * hidden, and no link leads there: what the agent then sees is what the operator has laid out. */
static bool find_machine_target(struct finding *f, const char *path, bool is_file,
                                struct isolation_wish_mount *out, struct err *err)
{
    static const char key[] = "volume_mount.destination";
    struct stat st = { 0 };
    char *real = realpath(path, NULL);
    if (!real)
        return err_set(err, ERR_INVALID,
                       "task config: %s: \"%.128s\" is outside the task's directories, and not on "
                       "this machine",
                       key, path);
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    out->root = "/";
    out->target = keep(f->out, real) + 1;
    if (strlen(real) != len || strncmp(real, path, len) != 0)
        return err_set(err, ERR_INVALID,
                       "task config: %s: \"%.128s\" has symbolic links, \"%.64s\" has none", key,
                       path, real);
    if (isolation_is_taken(real))
        return err_set(err, ERR_INVALID,
                       "task config: %s: \"%.128s\" is the system's, or made for each agent", key,
                       path);
    if (stat(real, &st) != 0)
        return err_sys(err, errno, "task config: %s: look at \"%.128s\"", key, path);
    return S_ISDIR(st.st_mode) != is_file ||
           err_set(err, ERR_INVALID, "task config: %s: \"%.128s\" is %s", key, path,
                   is_file ? "a directory, the volume a file" : "a file, the volume a directory");
}

/* True when a volume's destination is in none of the directories of find_target. */
static bool is_of_machine(struct finding *f, const char *path)
{
    struct isolation_wish_mount ignored = { 0 };
    struct err why = { 0 };
    return path[0] == '/' && !has_parent_step(path) && !find_target(f, "", path, &ignored, &why) &&
           !ignored.root;
}

static bool find_propagation(const struct finding *f, const char *key, const char *word,
                             uint32_t *flags, struct err *err)
{
    if (strcmp(word, "bidirectional") == 0) {
        *flags |= ISOLATION_SHARED;
        return policy_allows(f->config, "propagation") ||
               err_set(err, ERR_DENIED,
                       "task config: %s: \"bidirectional\" needs \"propagation\" in "
                       "allow_unconfined of this node",
                       key);
    }
    if (strcmp(word, "") == 0 || strcmp(word, "private") == 0)
        *flags |= ISOLATION_PRIVATE;
    else if (strcmp(word, "host-to-task") != 0)
        return err_set(err, ERR_INVALID, "task config: %s: \"%.32s\" is unknown", key, word);
    return true;
}

static bool add_mount(struct finding *f, bool is_volume, const struct task_mount *from,
                      const struct isolation_wish_path *source, struct err *err)
{
    const char *key = is_volume ? "volume_mount.destination" : "mount.target";
    struct places *out = f->out;
    struct isolation_wish_mount mount = { .source = source->path };
    mount.flags = ISOLATION_RECURSIVE | (source->is_file ? ISOLATION_IS_FILE : 0U) |
                  (from->readonly ? ISOLATION_RDONLY : 0U);
    const bool is_found = is_volume && is_of_machine(f, from->target)
                              ? find_machine_target(f, from->target, source->is_file, &mount, err)
                              : find_target(f, key, from->target, &mount, err);
    if (!is_found || !find_propagation(f, key, from->propagation, &mount.flags, err))
        return false;
    out->mounts = mem_resize(out->mounts, out->mount_count + 1, sizeof(mount));
    out->mounts[out->mount_count++] = mount;
    return true;
}

/* Nomad's own are the operator's already: a volume is declared on the node. */
static bool find_volumes(struct finding *f, struct err *err)
{
    for (size_t i = 0; i < f->spec->volume_count; i++) {
        const struct task_volume *from = &f->spec->volumes[i];
        const struct task_mount as_mount = { from->host_path, from->task_path, from->readonly,
                                             from->propagation };
        struct isolation_wish_path source = { 0 };
        struct stat st;
        char *real = NULL;
        const bool is_found = canonical("mounts.host_path", from->host_path, &real, &st, err);
        if (real)
            source.path = keep(f->out, real);
        source.is_file = is_found && !S_ISDIR(st.st_mode);
        if (!is_found || !add_mount(f, true, &as_mount, &source, err))
            return false;
    }
    return true;
}

static bool find_mounts(struct finding *f, struct err *err)
{
    const struct task_mount *all = f->spec->config.mounts.all.items;
    for (size_t i = 0; i < f->spec->config.mounts.all.count; i++) {
        struct isolation_wish_path source = { 0 };
        if (!find_source(f, "mount.source", all[i].source, !all[i].readonly, &source, err) ||
            !add_mount(f, false, &all[i], &source, err))
            return false;
    }
    return find_volumes(f, err);
}

static int mount_order(const void *a, const void *b)
{
    const struct isolation_wish_mount *x = a, *y = b;
    const int order = strcmp(x->root, y->root);
    return order ? order : strcmp(x->target, y->target);
}

static bool find_devices(struct finding *f, struct err *err)
{
    struct places *out = f->out;
    out->devices = mem_array(f->spec->device_count + 1, sizeof(*out->devices));
    for (size_t i = 0; i < f->spec->device_count; i++) {
        const struct task_device *from = &f->spec->devices[i];
        const char *may = *from->permissions ? from->permissions : "rwm";
        struct isolation_wish_device *to = &out->devices[out->device_count];
        struct stat st;
        char *real = NULL;
        const bool is_found = canonical("devices.host_path", from->host_path, &real, &st, err);
        if (real)
            to->source = keep(out, real);
        if (!is_found)
            return false;
        if (!S_ISCHR(st.st_mode) && !S_ISBLK(st.st_mode))
            return err_set(err, ERR_INVALID, "task: devices.host_path: \"%.128s\" is not a device",
                           from->host_path);
        if (strncmp(from->task_path, "/dev/", 5) != 0 || from->task_path[5] == '\0' ||
            has_parent_step(from->task_path))
            return err_set(err, ERR_INVALID,
                           "task: devices.task_path: \"%.128s\" is not below /dev",
                           from->task_path);
        to->path = from->task_path;
        to->access = (uint8_t)(ISOLATION_DEVICE | (strchr(may, 'r') ? ISOLATION_READ : 0) |
                               (strchr(may, 'w') ? ISOLATION_UPDATE : 0));
        out->device_count++;
    }
    return true;
}

static bool find_roots(struct finding *f, struct err *err)
{
    struct stat st;
    char *shared = str_format("%s/alloc", f->spec->alloc_dir);
    const bool is_there = canonical("task directory", f->task_dir, &f->out->task_dir, &st, err);
    f->out->shared_dir = is_there ? realpath(shared, NULL) : NULL;
    if (is_there && !f->out->shared_dir) /* without one nothing is mounted there */
        f->out->shared_dir = str_format("%.*s/alloc",
                                        (int)(strrchr(f->out->task_dir, '/') - f->out->task_dir),
                                        f->out->task_dir);
    free(shared);
    return is_there;
}

bool places_find(const struct task_spec *spec, const struct plugin_config *config,
                 const char *task_dir, const char *state_path, struct places *out, struct err *err)
{
    *out = (struct places){ 0 };
    struct finding f = { spec, config, task_dir, out };
    bool good = find_roots(&f, err);
    add_node_paths(&f);
    good = good && find_paths(&f, "read_paths", &spec->config.read_paths, false, err) &&
           find_paths(&f, "write_paths", &spec->config.write_paths, true, err) &&
           find_mounts(&f, err) && find_devices(&f, err);
    if (!good) {
        places_fini(out);
        return false;
    }
    /* Not looked at: it is made later, and a link in its place is not followed. */
    const size_t given = strlen(spec->alloc_dir);
    const char *root = keep(
        out, str_copy_n(out->task_dir, (size_t)(strrchr(out->task_dir, '/') - out->task_dir)));
    if (state_path)
        add_path(out, (struct isolation_wish_path){
                          keep(out, str_format("%s%s", root, state_path + given)), OWN, false });
    if (out->mount_count > 1)
        qsort(out->mounts, out->mount_count, sizeof(*out->mounts), mount_order);
    return true;
}

void places_fini(struct places *places)
{
    for (size_t i = 0; i < places->made_count; i++)
        free(places->made[i]);
    free(places->made);
    free(places->task_dir);
    free(places->shared_dir);
    free(places->paths);
    free(places->mounts);
    free(places->devices);
    *places = (struct places){ 0 };
}
