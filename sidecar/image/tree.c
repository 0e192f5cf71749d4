#include "sidecar/image/tree.h"

#include "common/base/own.h"

#include <assert.h>

#define NAME_BYTES_MAX 255 /* of one part of a path: the kernel's NAME_MAX */
#define HOLE_BYTES     16
#define HASHED_REF     (CRYPTO_HASH_BYTES + 4) /* id and plain length: what does not move */
#define NS_PER_S       1000000000u
#define PATH_AT        27 /* in a head: after type, mode, owner, time, path length */

int tree_path_compare(struct view a, struct view b)
{
    size_t both = a.len < b.len ? a.len : b.len;
    size_t at = 0;
    while (at < both && a.data[at] == b.data[at])
        at++;
    if (at == both)
        return (a.len > b.len) - (a.len < b.len);
    int left = a.data[at] == '/' ? 0 : a.data[at];
    int right = b.data[at] == '/' ? 0 : b.data[at];
    return left - right;
}

void tree_put_xattr(struct buf *xattrs, struct view name, struct view value)
{
    buf_put_bytes(xattrs, name);
    buf_put_bytes(xattrs, value);
}

bool tree_take_xattr(struct cursor *xattrs, struct view *out_name, struct view *out_value,
                     struct err *err)
{
    if (!cursor_bytes(xattrs, "attribute name", NAME_BYTES_MAX, out_name, err) ||
        !cursor_bytes(xattrs, "attribute value", TREE_XATTR_MAX, out_value, err))
        return false;
    if (out_name->len == 0 || memchr(out_name->data, '\0', out_name->len) != NULL)
        return err_set(err, ERR_CORRUPT, "%s: bad attribute name", xattrs->what);
    return true;
}

void tree_put_hole(struct buf *holes, struct tree_hole hole)
{
    buf_put_u64(holes, hole.offset);
    buf_put_u64(holes, hole.len);
}

bool tree_take_hole(struct cursor *holes, struct tree_hole *out, struct err *err)
{
    return cursor_u64(holes, "hole offset", &out->offset, err) &&
           cursor_u64(holes, "hole length", &out->len, err);
}

void tree_encode_head(const struct tree_entry *entry, struct buf *out)
{
    assert(entry->path.len <= TREE_PATH_MAX);
    buf_put_u8(out, (uint8_t)entry->type);
    buf_put_u16(out, entry->mode);
    buf_put_u32(out, entry->uid);
    buf_put_u32(out, entry->gid);
    buf_put_u64(out, (uint64_t)entry->mtime_s);
    buf_put_u32(out, entry->mtime_ns);
    buf_put_bytes(out, entry->path);
    buf_put_bytes(out, entry->target);
    buf_put_bytes(out, entry->xattrs);
    if (entry->type != TREE_FILE)
        return;
    buf_put_u64(out, entry->size);
    buf_put_bytes(out, entry->holes);
}

void tree_encode_chunks(const struct chunk_ref *refs, size_t count, struct buf *out)
{
    buf_put_u32(out, (uint32_t)(count * CHUNK_REF_BYTES));
    for (size_t i = 0; i < count; i++)
        chunk_ref_encode(&refs[i], out);
}

void tree_encode_entry(const struct tree_entry *entry, struct buf *out)
{
    assert(entry->chunks.len % CHUNK_REF_BYTES == 0);
    tree_encode_head(entry, out);
    if (entry->type == TREE_FILE)
        buf_put_bytes(out, entry->chunks);
}

void tree_resize_head(uint8_t *head, size_t head_len, uint64_t size)
{
    const size_t tail = 8 + 4; /* size, and the length of no holes */
    assert(head_len >= PATH_AT + tail && head[0] == TREE_FILE);
    for (size_t i = 0; i < 8; i++)
        head[head_len - tail + i] = (uint8_t)(size >> (8 * i));
}

/* The byte string at `at`, whose length stands before it; lengths of ours are below 2^24. */
static struct view borrow_bytes(struct view head, size_t at)
{
    assert(head.len >= at);
    const uint8_t *len = head.data + at - 4;
    return view_of(head.data + at, (size_t)len[0] | (size_t)len[1] << 8 | (size_t)len[2] << 16);
}

struct view tree_borrow_path(struct view head) { return borrow_bytes(head, PATH_AT); }

struct view tree_borrow_target(struct view head)
{
    return borrow_bytes(head, PATH_AT + tree_borrow_path(head).len + 4);
}

static bool is_part(struct view part)
{
    bool is_dots = (part.len == 1 || part.len == 2) && part.data[0] == '.' &&
                   part.data[part.len - 1] == '.';
    return part.len >= 1 && part.len <= NAME_BYTES_MAX && !is_dots &&
           memchr(part.data, '\0', part.len) == NULL;
}

/* Parts joined by single slashes, none of them ".", ".." or too long, not too many. */
static bool is_path(struct view path)
{
    size_t depth = 0;
    while (path.len > 0) {
        const uint8_t *slash = memchr(path.data, '/', path.len);
        size_t len = slash == NULL ? path.len : (size_t)(slash - path.data);
        if (!is_part(view_of(path.data, len)) || ++depth > TREE_DEPTH_MAX)
            return false;
        if (slash == NULL)
            return true;
        path = view_of(slash + 1, path.len - len - 1);
        if (path.len == 0)
            return false;
    }
    return true;
}

static bool check_xattrs(struct view xattrs, struct err *err)
{
    struct cursor c = cursor_of(xattrs, "tree");
    struct view before = { 0 }, name, value;
    for (size_t count = 0; c.rest.len > 0; count++) {
        if (!tree_take_xattr(&c, &name, &value, err))
            return false;
        if (count >= TREE_XATTRS_MAX || (count > 0 && tree_path_compare(before, name) >= 0))
            return err_set(err, ERR_CORRUPT, "tree: attributes too many or not in order");
        before = name;
    }
    return true;
}

/* Holes in order and inside, chunks of known form, both together exactly the size. */
static bool check_content(const struct tree_entry *entry, struct err *err)
{
    struct cursor holes = cursor_of(entry->holes, "tree");
    struct cursor chunks = cursor_of(entry->chunks, "tree");
    uint64_t end = 0, covered = 0;
    if (entry->size > TREE_SIZE_MAX)
        return err_set(err, ERR_CORRUPT, "tree: file larger than the format allows");
    if (entry->holes.len > (size_t)TREE_HOLES_MAX * HOLE_BYTES)
        return err_set(err, ERR_CORRUPT, "tree: too many holes");
    while (holes.rest.len > 0) {
        struct tree_hole hole;
        if (!tree_take_hole(&holes, &hole, err))
            return false;
        bool is_first = end == 0;
        if (hole.len == 0 || hole.offset > entry->size || hole.len > entry->size - hole.offset ||
            (!is_first && hole.offset <= end))
            return err_set(err, ERR_CORRUPT, "tree: hole outside its file or out of order");
        end = hole.offset + hole.len;
        covered += hole.len;
    }
    while (chunks.rest.len > 0) {
        struct chunk_ref ref;
        if (!chunk_ref_decode(&chunks, &ref, err))
            return false;
        covered += ref.plain_len; /* cannot overflow: at most TREE_BYTES_MAX / 56 chunks */
    }
    if (covered != entry->size)
        return err_set(err, ERR_CORRUPT, "tree: chunks cover %llu of %llu bytes",
                       (unsigned long long)covered, (unsigned long long)entry->size);
    return true;
}

static bool take_header(struct cursor *c, struct tree_entry *out, struct err *err)
{
    uint8_t type;
    uint64_t mtime;
    if (!cursor_u8(c, "type", &type, err) || !cursor_u16(c, "mode", &out->mode, err) ||
        !cursor_u32(c, "uid", &out->uid, err) || !cursor_u32(c, "gid", &out->gid, err) ||
        !cursor_u64(c, "time", &mtime, err) || !cursor_u32(c, "time", &out->mtime_ns, err) ||
        !cursor_bytes(c, "path", TREE_PATH_MAX, &out->path, err) ||
        !cursor_bytes(c, "target", TREE_PATH_MAX, &out->target, err) ||
        !cursor_bytes(c, "attributes", TREE_BYTES_MAX, &out->xattrs, err))
        return false;
    if (type < TREE_DIR || type > TREE_HARDLINK)
        return err_set(err, ERR_CORRUPT, "tree: entry of type %u", type);
    if (out->mode > 07777 || out->mtime_ns >= NS_PER_S)
        return err_set(err, ERR_CORRUPT, "tree: mode or time out of range");
    if (!is_path(out->path))
        return err_set(err, ERR_CORRUPT, "tree: bad path");
    out->type = (enum tree_type)type;
    out->mtime_s = (int64_t)mtime;
    return true;
}

static bool check_target(const struct tree_entry *entry, struct err *err)
{
    bool good = true;
    switch (entry->type) {
    case TREE_DIR:
    case TREE_FILE:
        good = entry->target.len == 0;
        break;
    case TREE_SYMLINK:
        good = entry->target.len > 0 && entry->target.len < TREE_TARGET_MAX &&
               memchr(entry->target.data, '\0', entry->target.len) == NULL;
        break;
    case TREE_HARDLINK:
        good = entry->target.len > 0 && is_path(entry->target) && entry->xattrs.len == 0 &&
               entry->mode == 0 && entry->uid == 0 && entry->gid == 0 && entry->mtime_s == 0 &&
               entry->mtime_ns == 0;
        break;
    }
    return good || err_set(err, ERR_CORRUPT, "tree: bad link target");
}

bool tree_decode_entry(struct cursor *c, struct tree_entry *out, struct err *err)
{
    *out = (struct tree_entry){ 0 };
    if (!take_header(c, out, err) || !check_target(out, err) || !check_xattrs(out->xattrs, err))
        return false;
    if (out->type != TREE_FILE)
        return true;
    return cursor_u64(c, "size", &out->size, err) &&
           cursor_bytes(c, "holes", TREE_BYTES_MAX, &out->holes, err) &&
           cursor_bytes(c, "chunks", TREE_BYTES_MAX, &out->chunks, err) && check_content(out, err);
}

/* The directories that enclose the entry being checked. */
struct enclosing {
    struct view dirs[TREE_DEPTH_MAX + 1];
    size_t depth;
};

static struct view parent_of(struct view path)
{
    const uint8_t *slash = path.len > 0 ? memrchr(path.data, '/', path.len) : NULL;
    return view_of(path.data, slash == NULL ? 0 : (size_t)(slash - path.data));
}

static bool check_place(struct enclosing *in, const struct tree_entry *entry, struct err *err)
{
    struct view parent = parent_of(entry->path);
    while (in->depth > 1 && !view_is_equal(in->dirs[in->depth - 1], parent))
        in->depth--;
    if (entry->path.len > 0 && !view_is_equal(in->dirs[in->depth - 1], parent))
        return err_set(err, ERR_CORRUPT, "tree: entry without its directory");
    if (entry->type == TREE_DIR)
        in->dirs[in->depth++] = entry->path;
    return true;
}

static void add_up(struct tree_totals *totals, const struct tree_entry *entry)
{
    totals->files += entry->type == TREE_FILE;
    totals->dirs += entry->type == TREE_DIR;
    totals->symlinks += entry->type == TREE_SYMLINK;
    totals->hardlinks += entry->type == TREE_HARDLINK;
    totals->bytes += entry->size;
    totals->chunks += entry->chunks.len / CHUNK_REF_BYTES;
}

static int compare_views(const void *a, const void *b)
{
    return tree_path_compare(*(const struct view *)a, *(const struct view *)b);
}

static void free_views(struct view **views) { free(*views); }

/* Each hard link names a file that stands before it. The entries have been checked. */
static bool check_links(struct view tree, uint64_t files, struct err *err)
{
    CLEANUP(free_views) struct view *seen = mem_array(files + 1, sizeof(struct view));
    size_t count = 0;
    struct cursor c = cursor_of(tree, "tree");
    while (c.rest.len > 0) {
        struct tree_entry entry;
        if (!tree_decode_entry(&c, &entry, err))
            return false;
        if (entry.type == TREE_FILE)
            seen[count++] = entry.path;
        if (entry.type == TREE_HARDLINK &&
            bsearch(&entry.target, seen, count, sizeof(struct view), compare_views) == NULL)
            return err_set(err, ERR_CORRUPT, "tree: hard link to no earlier file");
    }
    return true;
}

bool tree_check(struct view tree, struct tree_totals *out, struct err *err)
{
    struct cursor c = cursor_of(tree, "tree");
    struct enclosing in = { 0 };
    struct view before = { 0 };
    *out = (struct tree_totals){ 0 };
    if (tree.len > TREE_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "tree: larger than the format allows");
    for (bool is_root = true; is_root || c.rest.len > 0; is_root = false) {
        struct tree_entry entry;
        if (!tree_decode_entry(&c, &entry, err))
            return false;
        if (is_root != (entry.path.len == 0) || (is_root && entry.type != TREE_DIR))
            return err_set(err, ERR_CORRUPT, "tree: the root does not stand first");
        if (!is_root && tree_path_compare(before, entry.path) >= 0)
            return err_set(err, ERR_CORRUPT, "tree: entries are not in order");
        if (!check_place(&in, &entry, err))
            return false;
        before = entry.path;
        add_up(out, &entry);
    }
    return out->hardlinks == 0 || check_links(tree, out->files, err);
}

void tree_hash_entry(struct keyed_hash *hash, struct view head, struct view chunks)
{
    keyed_hash_put(hash, head);
    if (chunks.len == 0)
        return;
    keyed_hash_put(hash, view_of(chunks.data, 4)); /* the length of the list */
    for (size_t at = 4; at < chunks.len; at += CHUNK_REF_BYTES)
        keyed_hash_put(hash, view_of(chunks.data + at, HASHED_REF));
}

bool tree_root_hash(const struct agent_keys *keys, struct view tree, uint8_t out[CRYPTO_HASH_BYTES],
                    struct err *err)
{
    CLEANUP(keyed_hash_freep)
    struct keyed_hash *hash = keyed_hash_new(keys, SUBKEY_ROOT_HASH);
    struct cursor c = cursor_of(tree, "tree");
    while (c.rest.len > 0) {
        const uint8_t *start = c.rest.data;
        struct tree_entry entry;
        if (!tree_decode_entry(&c, &entry, err))
            return false;
        size_t len = (size_t)(c.rest.data - start);
        size_t list = entry.type == TREE_FILE ? 4 + entry.chunks.len : 0;
        tree_hash_entry(hash, view_of(start, len - list), view_of(start + len - list, list));
    }
    keyed_hash_finish(hash, out);
    return true;
}
