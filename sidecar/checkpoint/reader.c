#include "sidecar/checkpoint/reader.h"

#include "common/base/fd.h"
#include "common/base/own.h"
#include "common/base/time.h"
#include "sidecar/image/chunker.h"

#include <assert.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#define HOLE_MIN     ((uint64_t)64 << 10)             /* smaller ones are stored as zeros */
#define BLOCK_BYTES  512                              /* the unit of st_blocks */
#define UNWRITTEN_NS (INT64_C(60) * 1000 * NS_PER_MS) /* the kernel writes back within 35 s */

/* One file while it is read. */
struct reading {
    struct reader *r;
    int fd;
    size_t at;            /* of the entry */
    struct view path;     /* for messages */
    const uint8_t *holes; /* encoded, hole_count of 16 bytes */
    size_t hole_count, hole_next;
    uint64_t size;     /* as far as we read */
    uint64_t pos;      /* in the file */
    size_t start, end; /* unconsumed bytes in the buffer */
    bool is_short;     /* the file ended before `size` */
};

static bool open_file(const struct reader *r, struct view path, struct fd *out, bool *out_gone,
                      struct err *err)
{
    char text[TREE_PATH_MAX + 1], shown[128];
    memcpy(text, path.data, path.len);
    text[path.len] = '\0';
    struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOATIME,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
    long raw = syscall(SYS_openat2, r->root_fd, text, &how, sizeof(how));
    if (raw < 0 && errno == EPERM) { /* only the owner may ask for O_NOATIME */
        how.flags &= ~(uint64_t)O_NOATIME;
        raw = syscall(SYS_openat2, r->root_fd, text, &how, sizeof(how));
    }
    *out_gone = raw < 0 && (errno == ENOENT || errno == ELOOP || errno == ENOTDIR ||
                            errno == ENXIO || errno == ENODEV);
    if (raw < 0 && !*out_gone)
        return err_sys(err, errno, "open \"%s\"", scan_show(path, shown));
    out->raw = (int)raw;
    return true;
}

/* Where the file has no data. Errors of lseek mean that the file system cannot tell: no holes. */
static void find_holes(int fd, const struct stat *st, struct buf *out)
{
    if ((uint64_t)st->st_blocks * BLOCK_BYTES >= (uint64_t)st->st_size)
        return;
    off_t at = 0;
    while (at < st->st_size && out->len < (size_t)TREE_HOLES_MAX * 16) {
        off_t hole = lseek(fd, at, SEEK_HOLE);
        if (hole < 0 || hole >= st->st_size)
            return;
        off_t data = lseek(fd, hole, SEEK_DATA);
        if (data < 0 && errno != ENXIO)
            return;
        if (data < 0 || data > st->st_size)
            data = st->st_size;
        if ((uint64_t)(data - hole) >= HOLE_MIN)
            tree_put_hole(out, (struct tree_hole){ (uint64_t)hole, (uint64_t)(data - hole) });
        at = data;
    }
}

static struct tree_hole next_hole(const struct reading *f)
{
    if (f->hole_next == f->hole_count)
        return (struct tree_hole){ f->size, 0 };
    struct cursor c = cursor_of(view_of(f->holes + 16 * f->hole_next, 16), "hole");
    struct tree_hole hole = { 0 };
    struct err none = { 0 };
    bool good = tree_take_hole(&c, &hole, &none);
    assert(good);
    return hole;
}

/* Reads on, past holes, until `want` bytes are in the buffer or the file ends. */
static bool fill(struct reading *f, size_t want, struct err *err)
{
    char shown[128];
    struct reader *r = f->r;
    if (f->end - f->start >= want)
        return true;
    memmove(r->buffer, r->buffer + f->start, f->end - f->start);
    f->end -= f->start;
    f->start = 0;
    if (deadline_is_past(r->until, boot_now()))
        return err_set(err, ERR_UNAVAILABLE, "read \"%s\": the time given is over",
                       scan_show(f->path, shown));
    while (f->end < want && f->pos < f->size) {
        struct tree_hole hole = next_hole(f);
        uint64_t left = hole.offset - f->pos;
        if (left == 0) {
            f->pos += hole.len;
            f->hole_next++;
            continue;
        }
        size_t step = READER_BUFFER - f->end < left ? READER_BUFFER - f->end : (size_t)left;
        ssize_t got = pread(f->fd, r->buffer + f->end, step, (off_t)f->pos);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_sys(err, errno, "read \"%s\"", scan_show(f->path, shown));
        if (got == 0) {
            f->is_short = true;
            f->size = f->pos;
            break;
        }
        f->end += (size_t)got;
        f->pos += (uint64_t)got;
        r->read_bytes += (uint64_t)got;
    }
    return true;
}

static bool put(struct reading *f, size_t len, struct err *err)
{
    struct reader *r = f->r;
    size_t ref = catalog_add_ref(r->catalog, f->at);
    struct view plain = view_of(r->buffer + f->start, len);
    f->start += len;
    return r->put(r->put_arg, plain, ref, err);
}

/* Reuses or replaces the chunks of the entry before one by one. Files cut by content stop at the
 * first change, since the cuts after it may move. The last chunk of a file that grew ended where
 * the file ended: it is not taken as a chunk, or each line appended would become one. */
static bool reuse(struct reading *f, const struct item *old, enum chunk_mode mode, struct err *err)
{
    struct reader *r = f->r;
    size_t usable = old->ref_count - (f->size > old->size && old->ref_count > 0);
    for (size_t i = 0; i < usable; i++) {
        const struct chunk_ref *ref = &r->before->refs[old->first_ref + i];
        uint64_t quick = r->before->quick[old->first_ref + i];
        if (!fill(f, ref->plain_len, err))
            return false;
        if (f->end - f->start < ref->plain_len)
            return true;
        bool is_same = quick_hash(r->seed, view_of(r->buffer + f->start, ref->plain_len)) == quick;
        if (!is_same && mode != CHUNK_PAGED)
            return true;
        if (!is_same || pack_set_has(r->leave, ref->pack)) {
            if (!put(f, ref->plain_len, err))
                return false;
            continue;
        }
        size_t at = catalog_add_ref(r->catalog, f->at);
        r->catalog->refs[at] = *ref;
        r->catalog->quick[at] = quick;
        f->start += ref->plain_len;
    }
    return true;
}

/* Cuts the rest of the file. */
static bool stream(struct reading *f, enum chunk_mode mode, struct err *err)
{
    struct chunker chunker = chunker_of(mode);
    size_t fed = 0; /* bytes after start that the chunker has seen */
    for (;;) {
        if (f->end - f->start == fed) {
            if (!fill(f, fed + 1, err))
                return false;
            if (f->end - f->start == fed)
                break;
        }
        bool is_cut;
        fed += chunker_feed(
            &chunker, view_of(f->r->buffer + f->start + fed, f->end - f->start - fed), &is_cut);
        if (!is_cut)
            continue;
        if (!put(f, fed, err))
            return false;
        fed = 0;
    }
    return fed == 0 || put(f, fed, err);
}

static bool read_content(struct reading *f, struct err *err)
{
    struct reader *r = f->r;
    if (!fill(f, CHUNK_MODE_BYTES, err))
        return false;
    enum chunk_mode mode = chunk_mode_of(view_of(r->buffer + f->start, f->end - f->start));
    size_t old = r->before == NULL ? SIZE_MAX : catalog_find(r->before, f->path);
    if (old != SIZE_MAX && f->hole_count == 0) {
        const struct item *item = &r->before->items[old];
        if (item->type == TREE_FILE && item->has_quick && !item->has_holes &&
            !reuse(f, item, mode, err))
            return false;
    }
    return stream(f, mode, err);
}

static bool is_equal_stat(const struct stat *a, const struct stat *b)
{
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Stores through a mapping change a file's times only when they touch a page that is clean.
 * Starting to write the dirty ones makes the next store visible; older ones were written long ago.
 */
static void make_stores_visible(int fd, const struct stat *st, int64_t now_ns)
{
    int64_t age_ns = now_ns - scan_facts(st, now_ns, 0).mtime_ns;
    if (age_ns < UNWRITTEN_NS)
        (void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

/* One attempt; `with_holes` false stores them as zeros. */
static bool read_once(struct reader *r, size_t at, int fd, bool with_holes,
                      enum reader_outcome *out, struct err *err)
{
    char shown[128];
    struct stat st, after;
    int64_t now_ns = scan_clock_ns();
    CLEANUP(buf_fini) struct buf path = { 0 }; /* the catalog's own bytes move */
    CLEANUP(buf_fini) struct buf holes = { 0 };
    CLEANUP(buf_fini) struct buf xattrs = { 0 };
    buf_put(&path, catalog_borrow_path(r->catalog, at));
    if (fstat(fd, &st) < 0)
        return err_sys(err, errno, "stat \"%s\"", scan_show(buf_view(&path), shown));
    if (!S_ISREG(st.st_mode)) {
        *out = READER_GONE;
        return true;
    }
    if ((uint64_t)st.st_size > TREE_SIZE_MAX)
        return err_set(err, ERR_INVALID, "\"%s\": larger than the format allows",
                       scan_show(buf_view(&path), shown));
    make_stores_visible(fd, &st, now_ns);
    if (!scan_xattrs(fd, buf_view(&path), &xattrs, err))
        return false;
    if (with_holes)
        find_holes(fd, &st, &holes);
    struct item facts = scan_facts(&st, now_ns, r->doubt_ns);
    facts.has_quick = true;
    struct tree_entry entry = scan_entry(&st, TREE_FILE);
    entry.path = buf_view(&path);
    entry.xattrs = buf_view(&xattrs);
    entry.holes = buf_view(&holes);
    entry.size = (uint64_t)st.st_size;
    catalog_replace(r->catalog, at, &facts, &entry);
    struct reading f = { .r = r,
                         .fd = fd,
                         .at = at,
                         .path = buf_view(&path),
                         .holes = holes.data,
                         .hole_count = holes.len / 16,
                         .size = entry.size };
    if (!read_content(&f, err))
        return false;
    if (fstat(fd, &after) < 0)
        return err_sys(err, errno, "stat \"%s\"", scan_show(buf_view(&path), shown));
    *out = f.is_short || !is_equal_stat(&st, &after) ? READER_MOVED : READER_STEADY;
    if (f.is_short && !with_holes)
        catalog_resize(r->catalog, at, f.size);
    return !f.is_short || !with_holes || read_once(r, at, fd, false, out, err);
}

bool reader_read(struct reader *r, size_t at, enum reader_outcome *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd fd = FD_NONE;
    bool is_gone = false;
    if (!open_file(r, catalog_borrow_path(r->catalog, at), &fd, &is_gone, err))
        return false;
    *out = READER_GONE;
    return is_gone || read_once(r, at, fd.raw, true, out, err);
}
