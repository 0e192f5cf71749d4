#include "sidecar/store/file.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "sidecar/store/file_packs.h"
#include "sidecar/store/file_register.h"
#include "sidecar/store/file_root.h"
#include "sidecar/store/name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define NAME_DEPTH_MAX 12 /* parts of one encoded name: 3 * 512 / 200, rounded up with room */

/* "?id=": the store is named, so there is nothing to remember, and nothing to make. */
static bool pin(struct file_store *store, const struct store_url *url, struct err *err)
{
    const char *text = store_url_value(url, "id");
    if (text == NULL)
        return true;
    if (!hex_decode(view_str(text), store->id, sizeof(store->id), err))
        return err_set(err, ERR_INVALID, "open store \"%.100s\": id must be %d hex digits",
                       url->text, 2 * STORE_ID_BYTES);
    if (store->may_create)
        return err_set(err, ERR_INVALID, "open store \"%.100s\": id and create exclude each other",
                       url->text);
    store->has_id = true;
    return true;
}

static void file_close(struct store *store)
{
    known_fini(&((struct file_store *)(void *)store)->known);
    free(store);
}

static bool file_open(const struct store_url *url, const struct store_memory *memory,
                      struct store **out, struct err *err)
{
    static const char *const params[] = { "create", "network", "id", NULL };
    bool create, network;
    if (!store_url_check(url, params, err) || !store_url_flag(url, "create", &create, err) ||
        !store_url_flag(url, "network", &network, err))
        return false;
    if (url->place[0] != '/')
        return err_set(err, ERR_INVALID, "open store \"%.100s\": path is not absolute", url->text);
    struct file_store *store = mem_new(struct file_store);
    store->base.ops = &store_file_ops;
    memcpy(store->base.url, url->text, sizeof(store->base.url));
    memcpy(store->root, url->place, sizeof(store->root));
    store->may_create = create;
    store->may_network = network;
    known_init(&store->known, memory, url->place);
    if (!pin(store, url, err)) {
        file_close(&store->base);
        return false;
    }
    *out = &store->base;
    return true;
}

static bool file_probe(struct store *store, struct deadline until, struct err *err)
{
    (void)until;
    CLEANUP(fd_closep) struct fd root = FD_NONE;
    struct statvfs fs = { 0 };
    struct file_store *file = (struct file_store *)(void *)store;
    if (!file_root_open(file, &root, err))
        return false;
    if (fstatvfs(root.raw, &fs) == 0 && (fs.f_flag & ST_RDONLY) == 0)
        return true;
    int why = (fs.f_flag & ST_RDONLY) != 0 ? EROFS : errno;
    return file_failed(err, why, ERR_UNAVAILABLE, "write");
}

/* Names of agents, each ending in NUL, in one buffer. */
struct name_walk {
    struct buf found;
    struct buf name; /* of the parts so far */
};

static bool walk_names(int dir_fd, struct name_walk *walk, unsigned depth, struct err *err);

static bool is_file_in(int dir_fd, const char *path)
{
    return faccessat(dir_fd, path, F_OK, 0) == 0;
}

static bool walk_entry(int dir_fd, const char *entry, struct name_walk *walk, unsigned depth,
                       struct err *err)
{
    size_t kept_len = walk->name.len;
    bool more, good = true;
    struct err mine;
    CLEANUP(fd_closep) struct fd sub = FD_NONE;
    if (name_decode_part(entry, &walk->name, &more, &mine) &&
        file_dir_open(dir_fd, entry, FILE_EXISTING, &sub, &mine)) {
        if (more)
            good = depth == 0 || walk_names(sub.raw, walk, depth - 1, err);
        else if (is_file_in(sub.raw, "record") || is_file_in(sub.raw, "packs")) {
            buf_put(&walk->found, buf_view(&walk->name));
            buf_put_u8(&walk->found, '\0');
        }
    }
    walk->name.len = kept_len;
    return good;
}

static bool walk_names(int dir_fd, struct name_walk *walk, unsigned depth, struct err *err)
{
    int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    if (dir == NULL)
        return file_failed(err, errno, ERR_UNAVAILABLE, "list agents");
    bool good = true;
    errno = 0;
    for (struct dirent *at; good && (at = readdir(dir)) != NULL; errno = 0)
        if (at->d_name[0] != '.')
            good = walk_entry(dir_fd, at->d_name, walk, depth, err);
    if (good && errno != 0)
        good = file_failed(err, errno, ERR_UNAVAILABLE, "list agents");
    (void)closedir(dir);
    return good;
}

static void walk_fini(struct name_walk *walk)
{
    buf_fini(&walk->found);
    buf_fini(&walk->name);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool give_sorted(const struct buf *found, store_name_fn *each, void *arg, struct err *err)
{
    CLEANUP(buf_fini) struct buf sorted = { 0 };
    for (const char *at = (const char *)found->data; at < (const char *)found->data + found->len;
         at += strlen(at) + 1)
        buf_put(&sorted, view_of(&at, sizeof(at)));
    const char **all = (const char **)(void *)sorted.data;
    size_t count = sorted.len / sizeof(*all);
    if (count > 0)
        qsort(all, count, sizeof(*all), by_text);
    for (size_t i = 0; i < count; i++)
        if (!each(arg, all[i], err))
            return false;
    return true;
}

static bool file_list_names(struct store *store, struct deadline until, store_name_fn *each,
                            void *arg, struct err *err)
{
    (void)until;
    CLEANUP(fd_closep) struct fd root = FD_NONE;
    CLEANUP(fd_closep) struct fd agents = FD_NONE;
    CLEANUP(walk_fini) struct name_walk walk = { { 0 }, { 0 } };
    if (!file_root_open((struct file_store *)(void *)store, &root, err))
        return false;
    if (!file_dir_open(root.raw, "agents", FILE_EXISTING, &agents, err))
        return err->kind == ERR_NOT_FOUND; /* no agent yet */
    return walk_names(agents.raw, &walk, NAME_DEPTH_MAX, err) &&
           give_sorted(&walk.found, each, arg, err);
}

const struct store_ops store_file_ops = {
    .scheme = "file",
    .features = STORE_REGISTER | STORE_PACKS | STORE_WATCH,
    .open = file_open,
    .close = file_close,
    .probe = file_probe,
    .read = file_record_read,
    .write = file_record_write,
    .watch = file_record_watch,
    .list_names = file_list_names,
    .packs = &file_pack_ops,
};
