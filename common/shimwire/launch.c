#include "common/shimwire/launch.h"

#include <stddef.h>

#include "common/shimwire/pen.h"

#define VERSION_OLD    1 /* without what is inside */
#define VERSION        2
#define CHECKSUM_BYTES 8

static const char magic[] = "AGNTLNCH";

struct text_row {
    const char *name;
    size_t offset, max;
};
static const struct text_row text_rows[] = {
    { "alloc_id", offsetof(struct launch, alloc_id), LAUNCH_ID_MAX },
    { "task_name", offsetof(struct launch, task_name), LAUNCH_ID_MAX },
    { "task_id", offsetof(struct launch, task_id), LAUNCH_ID_MAX },
    { "cgroup_dir", offsetof(struct launch, cgroup_dir), LAUNCH_PATH_MAX },
    { "boot_id", offsetof(struct launch, boot_id), LAUNCH_BOOT_ID_MAX },
};
#define TEXT_ROWS (sizeof(text_rows) / sizeof(text_rows[0]))
static const struct text_row inside_rows[] = {
    { "cwd", offsetof(struct launch, inside.cwd), LAUNCH_DIR_MAX },
    { "agent_name", offsetof(struct launch, inside.agent_name), LAUNCH_ID_MAX },
    { "state_path", offsetof(struct launch, inside.state_path), LAUNCH_DIR_MAX },
};
#define INSIDE_ROWS (sizeof(inside_rows) / sizeof(inside_rows[0]))

static bool put_text(const struct launch *launch, const struct text_row *row, struct buf *out,
                     struct err *err)
{
    const char *text = (const char *)launch + row->offset;
    size_t len = strnlen(text, row->max + 1);
    if (len > row->max)
        return err_set(err, ERR_INVALID, "launch record: %s is longer than %zu bytes", row->name,
                       row->max);
    buf_put_bytes(out, view_of(text, len));
    return true;
}

static bool put_inside(const struct launch *launch, struct buf *out, struct err *err)
{
    const struct launch_inside *inside = &launch->inside;
    if (inside->group_count > SHIM_SPEC_GROUPS_MAX || inside->isolation_len > SHIM_SPEC_PLAN_MAX)
        return err_set(err, ERR_INVALID, "launch record: %u groups, isolation plan of %u bytes",
                       inside->group_count, inside->isolation_len);
    buf_put_u32(out, inside->uid);
    buf_put_u32(out, inside->gid);
    parts_put_groups(out, inside->groups, inside->group_count);
    for (size_t i = 0; i < INSIDE_ROWS; i++)
        if (!put_text(launch, &inside_rows[i], out, err))
            return false;
    buf_put_bytes(out, view_of(inside->isolation, inside->isolation_len));
    return true;
}

bool launch_encode(const struct launch *launch, struct buf *out, struct err *err)
{
    size_t start = out->len;
    buf_put_str(out, magic);
    buf_put_u16(out, launch->inside.is_known ? VERSION : VERSION_OLD);
    buf_put(out, view_of(launch->nonce, SHIM_NONCE_BYTES));
    buf_put_u64(out, (uint64_t)launch->at.ns);
    for (size_t i = 0; i < TEXT_ROWS; i++)
        if (!put_text(launch, &text_rows[i], out, err))
            return false;
    if (launch->inside.is_known && !put_inside(launch, out, err))
        return false;
    buf_put_u64(out, fnv_add(FNV_START, view_of(out->data + start, out->len - start)));
    return true;
}

static bool read_text(struct cursor *c, const struct text_row *row, struct launch *out,
                      struct err *err)
{
    struct view text;
    if (!cursor_bytes(c, row->name, row->max, &text, err))
        return false;
    if (memchr(text.data, 0, text.len) != NULL)
        return err_set(err, ERR_CORRUPT, "launch record: %s holds a NUL", row->name);
    memcpy((char *)out + row->offset, text.data, text.len);
    return true;
}

static bool read_inside(struct cursor *c, struct launch *out, struct err *err)
{
    struct launch_inside *inside = &out->inside;
    struct view plan;
    if (!cursor_u32(c, "uid", &inside->uid, err) || !cursor_u32(c, "gid", &inside->gid, err) ||
        !cursor_u32(c, "groups", &inside->group_count, err))
        return false;
    if (inside->group_count > SHIM_SPEC_GROUPS_MAX)
        return err_set(err, ERR_CORRUPT, "launch record: %u groups", inside->group_count);
    for (uint32_t i = 0; i < inside->group_count; i++)
        if (!cursor_u32(c, "groups", &inside->groups[i], err))
            return false;
    for (size_t i = 0; i < INSIDE_ROWS; i++)
        if (!read_text(c, &inside_rows[i], out, err))
            return false;
    if (!cursor_bytes(c, "isolation", SHIM_SPEC_PLAN_MAX, &plan, err))
        return false;
    if (plan.len > 0)
        memcpy(inside->isolation, plan.data, plan.len);
    inside->isolation_len = (uint32_t)plan.len;
    inside->is_known = true;
    return true;
}

static bool check_sum(struct view bytes, struct err *err)
{
    if (bytes.len < CHECKSUM_BYTES || bytes.len > LAUNCH_BYTES_MAX)
        return err_set(err, ERR_CORRUPT, "launch record: %zu bytes", bytes.len);
    uint64_t got = 0, want = fnv_add(FNV_START, view_of(bytes.data, bytes.len - CHECKSUM_BYTES));
    struct cursor tail = cursor_of(view_of(bytes.data + bytes.len - CHECKSUM_BYTES, CHECKSUM_BYTES),
                                   "launch record");
    if (!cursor_u64(&tail, "checksum", &got, err))
        return false;
    return got == want || err_set(err, ERR_CORRUPT, "launch record: damaged, the checksum differs");
}

bool launch_is_later(struct view bytes)
{
    struct err ignored = { 0 };
    struct cursor c = cursor_of(bytes, "launch record");
    struct view mark;
    uint16_t version = 0;
    return check_sum(bytes, &ignored) &&
           cursor_take(&c, "magic", sizeof(magic) - 1, &mark, &ignored) &&
           cursor_u16(&c, "version", &version, &ignored) && view_is_equal(mark, view_str(magic)) &&
           version > VERSION;
}

bool launch_decode(struct view bytes, struct launch *out, struct err *err)
{
    *out = (struct launch){ 0 };
    if (!check_sum(bytes, err))
        return false;
    struct cursor c = cursor_of(view_of(bytes.data, bytes.len - CHECKSUM_BYTES), "launch record");
    struct view mark, nonce;
    uint16_t version = 0;
    uint64_t at = 0;
    if (!cursor_take(&c, "magic", sizeof(magic) - 1, &mark, err) ||
        !cursor_u16(&c, "version", &version, err))
        return false;
    if (!view_is_equal(mark, view_str(magic)) || version < VERSION_OLD || version > VERSION)
        return err_set(err, ERR_CORRUPT, "launch record: not one, or version %u", version);
    if (!cursor_take(&c, "nonce", SHIM_NONCE_BYTES, &nonce, err) || !cursor_u64(&c, "at", &at, err))
        return false;
    memcpy(out->nonce, nonce.data, SHIM_NONCE_BYTES);
    out->at.ns = (int64_t)at;
    for (size_t i = 0; i < TEXT_ROWS; i++)
        if (!read_text(&c, &text_rows[i], out, err))
            return false;
    return (version == VERSION_OLD || read_inside(&c, out, err)) && cursor_finish(&c, err);
}
