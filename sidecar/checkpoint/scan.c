#include "sidecar/checkpoint/scan.h"

#include "common/base/fd.h"
#include "common/base/own.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "sidecar/image/glob.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <time.h>

#define NS_PER_S     INT64_C(1000000000)
#define DIR_HOW      (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
#define XATTRS_BYTES ((size_t)65536) /* of a list of names: the kernel's XATTR_LIST_MAX */

void scan_fini(struct scan *scan)
{
    catalog_fini(&scan->catalog);
    free(scan->dirty);
    *scan = (struct scan){ 0 };
}

const char *scan_show(struct view path, char out[128])
{
    CLEANUP(buf_fini) struct buf clean = { 0 };
    utf8_put_clean(&clean, view_of(path.data, path.len < 100 ? path.len : 100));
    (void)snprintf(out, 128, "%.*s%s", (int)(clean.len < 120 ? clean.len : 120),
                   clean.len > 0 ? (const char *)clean.data : "", path.len > 100 ? "..." : "");
    return out;
}

int64_t scan_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

static int64_t to_ns(struct timespec t)
{
    int64_t ns;
    bool is_far = __builtin_mul_overflow((int64_t)t.tv_sec, NS_PER_S, &ns) ||
                  __builtin_add_overflow(ns, (int64_t)t.tv_nsec, &ns);
    return is_far ? INT64_MAX : ns;
}

struct item scan_facts(const struct stat *st, int64_t at_ns, int64_t doubt_ns)
{
    struct item item = { .ino = st->st_ino,
                         .dev = st->st_dev,
                         .mtime_ns = to_ns(st->st_mtim),
                         .ctime_ns = to_ns(st->st_ctim),
                         .size = (uint64_t)st->st_size };
    item.is_racy = item.ctime_ns > at_ns - doubt_ns || item.ctime_ns == INT64_MAX;
    return item;
}

struct tree_entry scan_entry(const struct stat *st, enum tree_type type)
{
    return (struct tree_entry){ .type = type,
                                .mode = (uint16_t)(st->st_mode & 07777),
                                .uid = st->st_uid,
                                .gid = st->st_gid,
                                .mtime_s = st->st_mtim.tv_sec,
                                .mtime_ns = (uint32_t)st->st_mtim.tv_nsec };
}

static bool is_of_type(const struct item *item, mode_t mode)
{
    switch ((enum tree_type)item->type) {
    case TREE_DIR:
        return S_ISDIR(mode);
    case TREE_FILE:
        return S_ISREG(mode);
    case TREE_SYMLINK:
        return S_ISLNK(mode);
    case TREE_HARDLINK:
        return false; /* found by its inode, never by time */
    }
    return false;
}

bool scan_is_clean(const struct item *item, const struct stat *st)
{
    return item->ino == st->st_ino && item->dev == st->st_dev && !item->is_racy &&
           item->ctime_ns == to_ns(st->st_ctim) && item->mtime_ns == to_ns(st->st_mtim) &&
           item->size == (uint64_t)st->st_size && is_of_type(item, st->st_mode);
}

/* security.selinux and the like are given by the machine's policy, not by the agent. */
static bool is_kept_xattr(const char *name)
{
    static const char *const kept[] = { "user.", "trusted.", "security.capability",
                                        "system.posix_acl_" };
    for (size_t i = 0; i < COUNT(kept); i++)
        if (strncmp(name, kept[i], strlen(kept[i])) == 0)
            return true;
    return false;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool put_xattr(int fd, const char *name, struct view path, struct buf *out, struct err *err)
{
    char shown[128];
    CLEANUP(buf_fini) struct buf value = { 0 };
    ssize_t len = fgetxattr(fd, name, buf_reserve(&value, TREE_XATTR_MAX), TREE_XATTR_MAX);
    if (len < 0 && errno == ENODATA)
        return true;
    if (len < 0)
        return err_sys(err, errno, "read attribute \"%.60s\" of \"%s\"", name,
                       scan_show(path, shown));
    value.len = (size_t)len;
    tree_put_xattr(out, view_str(name), buf_view(&value));
    return true;
}

static bool put_xattrs_of(int fd, struct view path, struct buf *names, struct buf *out,
                          struct err *err)
{
    const char *kept[TREE_XATTRS_MAX];
    size_t count = 0;
    char shown[128];
    for (const char *name = (char *)names->data; name < (char *)names->data + names->len;
         name += strlen(name) + 1) {
        if (!is_kept_xattr(name))
            continue;
        if (count == TREE_XATTRS_MAX)
            return err_set(err, ERR_INVALID, "\"%s\": more than %d attributes",
                           scan_show(path, shown), TREE_XATTRS_MAX);
        kept[count++] = name;
    }
    qsort(kept, count, sizeof(kept[0]), compare_names);
    for (size_t i = 0; i < count; i++)
        if (!put_xattr(fd, kept[i], path, out, err))
            return false;
    return true;
}

bool scan_xattrs(int fd, struct view path, struct buf *out, struct err *err)
{
    char shown[128];
    ssize_t len = flistxattr(fd, NULL, 0);
    if (len == 0 || (len < 0 && errno == ENOTSUP))
        return true;
    CLEANUP(buf_fini) struct buf names = { 0 };
    len = flistxattr(fd, (char *)buf_reserve(&names, XATTRS_BYTES), XATTRS_BYTES);
    if (len < 0)
        return err_sys(err, errno, "list attributes of \"%s\"", scan_show(path, shown));
    names.len = (size_t)len;
    return put_xattrs_of(fd, path, &names, out, err);
}

/* Files with several names: by inode, the entry that stands first. Open addressing. */
struct links {
    struct {
        uint64_t ino, dev;
        size_t entry_plus_one; /* 0: free */
    } * slots;
    size_t slot_count, used;
};

struct walk {
    const struct scan_spec *spec;
    struct scan *out;
    size_t before_at; /* entries before this one sort before the entry at hand */
    int64_t at_ns;    /* the walk began */
    uint64_t dev;
    struct links links;
    struct buf path; /* of the entry at hand */
    size_t depth;
};

static size_t link_slot(const struct links *links, uint64_t ino, uint64_t dev)
{
    size_t slot = (size_t)(ino * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (links->slot_count - 1);
    while (links->slots[slot].entry_plus_one != 0 &&
           (links->slots[slot].ino != ino || links->slots[slot].dev != dev))
        slot = (slot + 1) & (links->slot_count - 1);
    return slot;
}

static void links_grow(struct links *links)
{
    struct links old = *links;
    links->slot_count = old.slot_count == 0 ? 64 : 2 * old.slot_count;
    links->slots = mem_array(links->slot_count, sizeof(links->slots[0]));
    for (size_t i = 0; i < old.slot_count; i++)
        if (old.slots[i].entry_plus_one != 0)
            links->slots[link_slot(links, old.slots[i].ino, old.slots[i].dev)] = old.slots[i];
    free(old.slots);
}

/* The entry that has this inode already; otherwise the entry to come is noted and it is SIZE_MAX.
 */
static size_t link_first(struct walk *w, const struct stat *st)
{
    struct links *links = &w->links;
    if (4 * (links->used + 1) > 3 * links->slot_count)
        links_grow(links);
    size_t slot = link_slot(links, st->st_ino, st->st_dev);
    if (links->slots[slot].entry_plus_one != 0)
        return links->slots[slot].entry_plus_one - 1;
    links->slots[slot].ino = st->st_ino;
    links->slots[slot].dev = st->st_dev;
    links->slots[slot].entry_plus_one = w->out->catalog.count + 1;
    links->used++;
    return SIZE_MAX;
}

/* The names in one directory, sorted by byte value. */
struct names {
    struct buf text;
    size_t *at;
    size_t count, cap;
};

static void names_fini(struct names *names)
{
    buf_fini(&names->text);
    free(names->at);
}

static void names_add(struct names *names, struct view name)
{
    if (names->count == names->cap) {
        names->cap = names->cap == 0 ? 32 : 2 * names->cap;
        names->at = mem_resize(names->at, names->cap, sizeof(size_t));
    }
    names->at[names->count++] = names->text.len;
    buf_put(&names->text, name);
    buf_put_u8(&names->text, 0);
}

static int compare_at(const void *a, const void *b, void *text)
{
    return strcmp((const char *)text + *(const size_t *)a, (const char *)text + *(const size_t *)b);
}

static bool names_read(DIR *dir, struct view path, struct names *out, struct err *err)
{
    char shown[128];
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (entry == NULL && errno != 0)
            return err_sys(err, errno, "read directory \"%s\"", scan_show(path, shown));
        if (entry == NULL)
            break;
        const char *name = entry->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
            names_add(out, view_str(name));
    }
    if (out->count > 1)
        qsort_r(out->at, out->count, sizeof(size_t), compare_at, out->text.data);
    return true;
}

/* The names that a directory had in the catalog before: they still hold while its times do. */
static void names_from(const struct catalog *before, size_t dir, struct names *out)
{
    struct view path = catalog_borrow_path(before, dir);
    size_t skip = path.len == 0 ? 0 : path.len + 1;
    for (size_t i = dir + 1; i < before->count; i++) {
        struct view child = catalog_borrow_path(before, i);
        if (child.len <= skip || (skip > 0 && (child.data[skip - 1] != '/' ||
                                               memcmp(child.data, path.data, path.len) != 0)))
            return;
        if (memchr(child.data + skip, '/', child.len - skip) == NULL)
            names_add(out, view_of(child.data + skip, child.len - skip));
    }
}

/* The entry before of the path at hand, or SIZE_MAX; both sides come in the same order. */
static size_t find_before(struct walk *w)
{
    const struct catalog *before = w->spec->before;
    for (; w->before_at < before->count; w->before_at++) {
        int order = tree_path_compare(catalog_borrow_path(before, w->before_at),
                                      buf_view(&w->path));
        if (order == 0)
            return w->before_at;
        if (order > 0)
            break;
    }
    return SIZE_MAX;
}

static bool is_excluded(const struct walk *w)
{
    for (size_t i = 0; i < w->spec->exclude_count; i++)
        if (glob_is_match(w->spec->exclude[i], buf_view(&w->path)))
            return true;
    return false;
}

/* Chunks in a pack that is to become unused must be stored again. */
static bool is_leaving(const struct walk *w, const struct item *item)
{
    const struct catalog *before = w->spec->before;
    if (w->spec->leave == NULL || w->spec->leave->count == 0)
        return false;
    for (size_t i = 0; i < item->ref_count; i++)
        if (pack_set_has(w->spec->leave, before->refs[item->first_ref + i].pack))
            return true;
    return false;
}

static void add_dirty(struct scan *out, size_t at)
{
    if (out->dirty_count == out->dirty_cap) {
        out->dirty_cap = out->dirty_cap == 0 ? 64 : 2 * out->dirty_cap;
        out->dirty = mem_resize(out->dirty, out->dirty_cap, sizeof(size_t));
    }
    out->dirty[out->dirty_count++] = at;
    out->dirty_bytes += out->catalog.items[at].size;
}

static void visit_file(struct walk *w, const struct stat *st)
{
    struct catalog *c = &w->out->catalog;
    size_t old = find_before(w);
    size_t first = st->st_nlink > 1 ? link_first(w, st) : SIZE_MAX;
    if (first != SIZE_MAX) {
        CLEANUP(buf_fini) struct buf target = { 0 };
        buf_put(&target, catalog_borrow_path(c, first));
        struct item facts = { .ino = st->st_ino, .dev = st->st_dev };
        struct tree_entry entry = { .type = TREE_HARDLINK,
                                    .path = buf_view(&w->path),
                                    .target = buf_view(&target) };
        (void)catalog_add(c, &facts, &entry);
        return;
    }
    const struct item *item = old == SIZE_MAX ? NULL : &w->spec->before->items[old];
    if (item != NULL && scan_is_clean(item, st) && !is_leaving(w, item) &&
        (item->trusted == 0 || w->spec->may_trust_growth)) {
        (void)catalog_copy(c, w->spec->before, old);
        return;
    }
    struct item facts = scan_facts(st, w->at_ns, SCAN_TICK_NS);
    struct tree_entry entry = scan_entry(st, TREE_FILE);
    entry.path = buf_view(&w->path);
    entry.size = (uint64_t)st->st_size;
    add_dirty(w->out, catalog_add(c, &facts, &entry));
}

static bool visit_symlink(struct walk *w, int dir_fd, const char *name, const struct stat *st,
                          struct err *err)
{
    char shown[128], target[TREE_TARGET_MAX];
    size_t old = find_before(w);
    if (old != SIZE_MAX && scan_is_clean(&w->spec->before->items[old], st)) {
        (void)catalog_copy(&w->out->catalog, w->spec->before, old);
        return true;
    }
    ssize_t len = readlinkat(dir_fd, name, target, sizeof(target));
    if (len < 0 && (errno == ENOENT || errno == EINVAL))
        return true;
    if (len < 0)
        return err_sys(err, errno, "read link \"%s\"", scan_show(buf_view(&w->path), shown));
    struct item facts = scan_facts(st, w->at_ns, SCAN_TICK_NS);
    struct tree_entry entry = scan_entry(st, TREE_SYMLINK);
    entry.mode = 0777;
    entry.path = buf_view(&w->path);
    entry.target = view_of(target, (size_t)len);
    (void)catalog_add(&w->out->catalog, &facts, &entry);
    return true;
}

static bool walk_names(struct walk *w, int dir_fd, const struct names *names, size_t entry,
                       struct err *err);

/* Adds the directory itself, then what is in it. `fd` is ours. */
static bool visit_dir(struct walk *w, struct fd fd, const struct stat *st, struct err *err)
{
    char shown[128];
    struct view path = buf_view(&w->path);
    size_t old = find_before(w);
    bool is_clean = old != SIZE_MAX && scan_is_clean(&w->spec->before->items[old], st);
    size_t at;
    if (is_clean) {
        at = catalog_copy(&w->out->catalog, w->spec->before, old);
    } else {
        CLEANUP(buf_fini) struct buf xattrs = { 0 };
        struct item facts = scan_facts(st, w->at_ns, SCAN_TICK_NS);
        struct tree_entry entry = scan_entry(st, TREE_DIR);
        if (!scan_xattrs(fd.raw, path, &xattrs, err)) {
            fd_closep(&fd);
            return false;
        }
        entry.path = path;
        entry.xattrs = buf_view(&xattrs);
        facts.size = (uint64_t)st->st_size;
        at = catalog_add(&w->out->catalog, &facts, &entry);
    }
    CLEANUP(names_fini) struct names names = { 0 };
    if (st->st_dev != w->dev) { /* a mount point: its content is not ours */
        fd_closep(&fd);
        w->out->skipped++;
        return true;
    }
    if (is_clean) {
        CLEANUP(fd_closep) struct fd dir = fd_take(&fd);
        names_from(w->spec->before, old, &names);
        w->out->skipped += w->out->catalog.items[at].skipped;
        return walk_names(w, dir.raw, &names, SIZE_MAX, err);
    }
    DIR *dir = fdopendir(fd.raw);
    if (dir == NULL) {
        int why = errno;
        fd_closep(&fd);
        return err_sys(err, why, "open directory \"%s\"", scan_show(path, shown));
    }
    bool good = names_read(dir, path, &names, err) && walk_names(w, dirfd(dir), &names, at, err);
    (void)closedir(dir);
    return good;
}

/* What the name stands for now; `*out_is_special` for what is not saved. */
static bool visit(struct walk *w, int dir_fd, const char *name, bool *out_is_special,
                  struct err *err)
{
    char shown[128];
    struct stat st;
    *out_is_special = false;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ||
               err_sys(err, errno, "stat \"%s\"", scan_show(buf_view(&w->path), shown));
    if (S_ISREG(st.st_mode)) {
        visit_file(w, &st);
        return true;
    }
    if (S_ISLNK(st.st_mode))
        return visit_symlink(w, dir_fd, name, &st, err);
    if (!S_ISDIR(st.st_mode)) {
        *out_is_special = true;
        return true;
    }
    struct fd fd = { openat(dir_fd, name, DIR_HOW) };
    if (fd.raw < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
        return true;
    if (fd.raw < 0)
        return err_sys(err, errno, "open directory \"%s\"", scan_show(buf_view(&w->path), shown));
    return visit_dir(w, fd, &st, err);
}

/* "x-shm" beside "x": SQLite's memory shared between processes, which it makes anew at the next
 * open and which must not meet another -wal than its own. */
static bool is_shared_memory(const struct names *names, size_t at)
{
    static const char suffix[] = "-shm";
    const size_t suffix_len = sizeof(suffix) - 1;
    const char *name = (const char *)names->text.data + names->at[at];
    size_t len = strlen(name);
    if (len <= suffix_len || strcmp(name + len - suffix_len, suffix) != 0)
        return false;
    for (size_t i = at; i-- > 0;) { /* sorted: what begins alike stands just before */
        const char *other = (const char *)names->text.data + names->at[i];
        int order = strncmp(other, name, len - suffix_len);
        if (order != 0)
            return false;
        if (other[len - suffix_len] == '\0')
            return true;
    }
    return false;
}

/* `entry` is the directory's, to note what is skipped in it; SIZE_MAX: noted before. */
static bool walk_names(struct walk *w, int dir_fd, const struct names *names, size_t entry,
                       struct err *err)
{
    char shown[128];
    size_t path_len = w->path.len;
    if (w->depth == TREE_DEPTH_MAX)
        return err_set(err, ERR_INVALID, "\"%s\": more than %d directories deep",
                       scan_show(buf_view(&w->path), shown), TREE_DEPTH_MAX);
    w->depth++;
    for (size_t i = 0; i < names->count; i++) {
        const char *name = (const char *)names->text.data + names->at[i];
        bool is_special = false;
        if (path_len > 0)
            buf_put_u8(&w->path, '/');
        buf_put_str(&w->path, name);
        if (w->path.len > TREE_PATH_MAX)
            return err_set(err, ERR_INVALID, "\"%s\": path longer than %zu bytes",
                           scan_show(buf_view(&w->path), shown), TREE_PATH_MAX);
        if (!is_excluded(w) && !is_shared_memory(names, i) &&
            !visit(w, dir_fd, name, &is_special, err))
            return false;
        w->path.len = path_len;
        if (is_special && entry != SIZE_MAX) {
            w->out->skipped++;
            w->out->catalog.items[entry].skipped++;
        }
    }
    w->depth--;
    return true;
}

bool scan_tree(const struct scan_spec *spec, struct scan *out, struct err *err)
{
    struct stat st;
    struct walk w = { .spec = spec, .out = out, .at_ns = scan_clock_ns() };
    struct fd root = { openat(spec->root_fd, ".", DIR_HOW) };
    if (root.raw < 0)
        return err_sys(err, errno, "open the state directory");
    if (fstat(root.raw, &st) < 0) {
        int why = errno;
        fd_closep(&root);
        return err_sys(err, why, "stat the state directory");
    }
    w.dev = st.st_dev;
    catalog_reserve(&out->catalog, spec->before);
    bool good = visit_dir(&w, root, &st, err);
    buf_fini(&w.path);
    free(w.links.slots);
    return good;
}
