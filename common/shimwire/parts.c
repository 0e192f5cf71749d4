#include "common/shimwire/parts.h"

size_t parts_count(const char *const *list)
{
    size_t count = 0;
    while (list != NULL && list[count] != NULL)
        count++;
    return count;
}

void parts_put_text(struct buf *out, const char *text)
{
    buf_put_bytes(out, view_str(text));
    buf_put_u8(out, 0);
}

void parts_put_list(struct buf *out, const char *const *list)
{
    size_t count = parts_count(list);
    buf_put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        parts_put_text(out, list[i]);
}

void parts_put_groups(struct buf *out, const uint32_t *groups, size_t count)
{
    buf_put_u32(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++)
        buf_put_u32(out, groups[i]);
}

bool parts_take_text(struct cursor *c, const char *name, const char **out, struct err *err)
{
    struct view text;
    uint8_t end = 0;
    if (!cursor_bytes(c, name, SHIM_SPEC_BYTES_MAX, &text, err) || !cursor_u8(c, name, &end, err))
        return false;
    if (end != 0 || memchr(text.data, 0, text.len) != NULL)
        return err_set(err, ERR_CORRUPT, "%s: %s has a NUL inside or none after it", c->what, name);
    *out = (const char *)text.data;
    return true;
}

bool parts_take_list(struct cursor *c, const char *name, struct shim_spec_store *store,
                     const char *const **out, struct err *err)
{
    uint32_t count = 0;
    if (!cursor_u32(c, name, &count, err))
        return false;
    if (count > SHIM_SPEC_SLOTS || store->used + count + 1 > SHIM_SPEC_SLOTS)
        return err_set(err, ERR_CORRUPT, "%s: %s has %u entries", c->what, name, count);
    *out = &store->slots[store->used];
    for (uint32_t i = 0; i < count; i++)
        if (!parts_take_text(c, name, &store->slots[store->used++], err))
            return false;
    store->slots[store->used++] = NULL;
    return true;
}

bool parts_take_groups(struct cursor *c, struct shim_spec_store *store, const uint32_t **out,
                       size_t *out_count, struct err *err)
{
    uint32_t count = 0;
    if (!cursor_u32(c, "groups", &count, err))
        return false;
    if (count > SHIM_SPEC_GROUPS_MAX)
        return err_set(err, ERR_CORRUPT, "%s: %u groups", c->what, count);
    for (uint32_t i = 0; i < count; i++)
        if (!cursor_u32(c, "groups", &store->groups[i], err))
            return false;
    *out = store->groups;
    *out_count = count;
    return true;
}
