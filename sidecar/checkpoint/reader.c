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
    size_t ahead;      /* read at most so far beyond what is wanted */
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
        size_t room = READER_BUFFER - f->end, wanted = want - f->end + f->ahead;
        size_t step = room < wanted ? room : wanted;
        step = step < left ? step : (size_t)left;
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

static bool is_log(struct view path)
{
    static const char *const suffixes[] = { ".jsonl", ".ndjson", ".log" };
    for (size_t i = 0; i < COUNT(suffixes); i++) {
        size_t len = strlen(suffixes[i]);
        if (path.len > len && memcmp(path.data + path.len - len, suffixes[i], len) == 0)
            return true;
    }
    return false;
}

static bool may_sample(const struct reading *f, const struct item *old, const struct item *now)
{
    const struct reader *r = f->r;
    bool is_same = now->size == old->size && now->ctime_ns == old->ctime_ns &&
                   now->mtime_ns == old->mtime_ns;
    return r->may_trust_growth && (f->size > old->size || (is_same && r->is_still)) &&
           now->ino == old->ino && now->dev == old->dev && old->ref_count >= 4 &&
           old->trusted < READER_TRUST_MAX && (r->leave == NULL || r->leave->count == 0) &&
           is_log(f->path);
}

/* Of a log that grew: the first chunk, the last two of the old part and another one each time are
 * compared, the others taken over unread. `*out_same` false: it is no log, all must be read. */
static bool sample(struct reading *f, const struct item *old, bool *out_same, struct err *err)
{
    struct reader *r = f->r;
    size_t turn = 1 + (size_t)(f->size / CHUNK_MIN + old->trusted) % (old->ref_count - 2);
    *out_same = false;
    f->ahead = 0;
    for (size_t i = 0; i < old->ref_count; i++) {
        const struct chunk_ref *ref = &r->before->refs[old->first_ref + i];
        uint64_t quick = r->before->quick[old->first_ref + i];
        bool is_last = i + 1 == old->ref_count;
        if (i == 0 || i == turn || i + 2 >= old->ref_count) {
            if (!fill(f, ref->plain_len, err))
                return false;
            if (f->end - f->start < ref->plain_len ||
                quick_hash(r->seed, view_of(r->buffer + f->start, ref->plain_len)) != quick)
                return true;
            if (is_last && f->size > old->size)
                break; /* ended where the file ended: cut again with what follows */
            f->start += ref->plain_len;
        } else {
            f->pos += ref->plain_len - (f->end - f->start);
            f->start = f->end = 0;
        }
        size_t at = catalog_add_ref(r->catalog, f->at);
        r->catalog->refs[at] = *ref;
        r->catalog->quick[at] = quick;
    }
    *out_same = true;
    f->ahead = READER_BUFFER;
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

/* What the catalog before knows of this file; NULL: nothing of use. */
static const struct item *known_item(const struct reading *f)
{
    const struct catalog *before = f->r->before;
    size_t old = before == NULL || f->hole_count > 0 ? SIZE_MAX : catalog_find(before, f->path);
    if (old == SIZE_MAX)
        return NULL;
    const struct item *item = &before->items[old];
    return item->type == TREE_FILE && item->has_quick && !item->has_holes ? item : NULL;
}

static bool read_content(struct reading *f, bool may_trust, bool *out_wrong, struct err *err)
{
    struct reader *r = f->r;
    const struct item *old = known_item(f);
    *out_wrong = false;
    if (may_trust && old != NULL && may_sample(f, old, &r->catalog->items[f->at])) {
        bool is_same = false;
        if (!sample(f, old, &is_same, err))
            return false;
        *out_wrong = !is_same;
        r->catalog->items[f->at].trusted = (uint8_t)(old->trusted + 1);
        return !is_same || stream(f, CHUNK_CONTENT, err);
    }
    if (!fill(f, CHUNK_MODE_BYTES, err))
        return false;
    enum chunk_mode mode = chunk_mode_of(view_of(r->buffer + f->start, f->end - f->start));
    return (old == NULL || reuse(f, old, mode, err)) && stream(f, mode, err);
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

enum attempt {
    TRUSTING, /* as far as allowed */
    READING,  /* all of it */
    AS_ZEROS  /* all of it, holes as zeros: the file became shorter meanwhile */
};

/* Everything about the file but its content, as the entry's new head. */
static bool replace_entry(struct reader *r, size_t at, int fd, const struct stat *st,
                          struct buf *holes, struct err *err)
{
    CLEANUP(buf_fini) struct buf path = { 0 }; /* the catalog's own bytes move */
    CLEANUP(buf_fini) struct buf xattrs = { 0 };
    buf_put(&path, catalog_borrow_path(r->catalog, at));
    if (!scan_xattrs(fd, buf_view(&path), &xattrs, err))
        return false;
    struct item facts = scan_facts(st, r->now_ns, r->doubt_ns);
    struct tree_entry entry = scan_entry(st, TREE_FILE);
    facts.has_quick = true;
    entry.path = buf_view(&path);
    entry.xattrs = buf_view(&xattrs);
    entry.holes = buf_view(holes);
    entry.size = (uint64_t)st->st_size;
    catalog_replace(r->catalog, at, &facts, &entry);
    return true;
}

/* `*out_again`: what was read is of no use, the next attempt will do. */
static bool read_once(struct reader *r, size_t at, int fd, enum attempt attempt, bool *out_again,
                      enum reader_outcome *out, struct err *err)
{
    char shown[128];
    struct stat st, after;
    CLEANUP(buf_fini) struct buf holes = { 0 };
    CLEANUP(buf_fini) struct buf path = { 0 };
    buf_put(&path, catalog_borrow_path(r->catalog, at));
    r->now_ns = scan_clock_ns();
    if (fstat(fd, &st) < 0)
        return err_sys(err, errno, "stat \"%s\"", scan_show(buf_view(&path), shown));
    if (!S_ISREG(st.st_mode))
        return true;
    if ((uint64_t)st.st_size > TREE_SIZE_MAX)
        return err_set(err, ERR_INVALID, "\"%s\": larger than the format allows",
                       scan_show(buf_view(&path), shown));
    if (!r->may_trust_growth || !is_log(buf_view(&path))) /* logs are written, not mapped */
        make_stores_visible(fd, &st, r->now_ns);
    if (attempt != AS_ZEROS)
        find_holes(fd, &st, &holes);
    struct reading f = { .r = r,
                         .fd = fd,
                         .at = at,
                         .path = buf_view(&path),
                         .holes = holes.data,
                         .hole_count = holes.len / 16,
                         .size = (uint64_t)st.st_size,
                         .ahead = READER_BUFFER };
    bool is_wrong = false;
    if (!replace_entry(r, at, fd, &st, &holes, err) ||
        !read_content(&f, attempt == TRUSTING, &is_wrong, err))
        return false;
    if (fstat(fd, &after) < 0)
        return err_sys(err, errno, "stat \"%s\"", scan_show(buf_view(&path), shown));
    *out = f.is_short || !is_equal_stat(&st, &after) ? READER_MOVED : READER_STEADY;
    *out_again = is_wrong || (f.is_short && attempt != AS_ZEROS);
    if (f.is_short && attempt == AS_ZEROS)
        catalog_resize(r->catalog, at, f.size);
    return true;
}

bool reader_read(struct reader *r, size_t at, enum reader_outcome *out, struct err *err)
{
    CLEANUP(fd_closep) struct fd fd = FD_NONE;
    bool is_gone = false, is_again = false;
    if (!open_file(r, catalog_borrow_path(r->catalog, at), &fd, &is_gone, err))
        return false;
    *out = READER_GONE;
    if (is_gone)
        return true;
    for (enum attempt attempt = TRUSTING; attempt <= AS_ZEROS; attempt++) {
        is_again = false;
        if (!read_once(r, at, fd.raw, attempt, &is_again, out, err))
            return false;
        if (!is_again)
            break;
    }
    return true;
}
