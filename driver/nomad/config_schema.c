#include "driver/nomad/config_schema.h"

#include <inttypes.h>
#include <string.h>

#include "common/base/own.h"
#include "common/hcl/write.h"
#include "driver/nomad/config_table.h"
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_config.h"

/* Field numbers of hclspec.Spec's members and of what is in them (protocol reference, 3.1). */
enum {
    SPEC_OBJECT = 1,
    SPEC_ATTR = 3,
    SPEC_BLOCK_VALUE = 4,
    SPEC_BLOCK_ATTRS = 5,
    SPEC_BLOCK_LIST = 6,
    SPEC_DEFAULT = 9,
    SPEC_LITERAL = 10,
    OBJECT_ATTRIBUTES = 1,
    MAP_KEY = 1,
    MAP_VALUE = 2,
    ATTR_NAME = 1,
    ATTR_TYPE = 2,
    ATTR_REQUIRED = 3,
    BLOCK_NAME = 1,
    BLOCK_REQUIRED = 2,
    BLOCK_NESTED = 3,
    LIST_NAME = 1,
    LIST_MAX = 3,
    LIST_NESTED = 4,
    DEFAULT_PRIMARY = 1,
    DEFAULT_DEFAULT = 2,
    LITERAL_VALUE = 1
};

static const struct {
    const char *hcl, *people;
} types[CONFIG_TYPE_COUNT] = {
    [CONFIG_STRING] = { "string", "string" },
    [CONFIG_LIST] = { "list(string)", "list of strings" },
    [CONFIG_DURATION] = { "string", "duration" },
    [CONFIG_NUMBER] = { "number", "number" },
    [CONFIG_BOOL] = { "bool", "bool" },
    [CONFIG_BLOCK] = { "", "block" },
    [CONFIG_BLOCKS] = { "", "blocks" },
    [CONFIG_ATTRS] = { "string", "block of strings" },
};

static void put_varint(struct buf *out, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_put_u8(out, (uint8_t)(value | 0x80));
    buf_put_u8(out, (uint8_t)value);
}

static void put_field(struct buf *out, unsigned field, struct view bytes)
{
    put_varint(out, (uint64_t)field << 3 | 2);
    put_varint(out, bytes.len);
    buf_put(out, bytes);
}

static void put_true(struct buf *out, unsigned field)
{
    put_varint(out, (uint64_t)field << 3);
    buf_put_u8(out, 1);
}

/* ATTRS differs from an attribute in nothing but the member. */
static void put_attr(struct buf *out, const struct config_row *row)
{
    const unsigned kind = row->type == CONFIG_ATTRS ? SPEC_BLOCK_ATTRS : SPEC_ATTR;
    CLEANUP(buf_fini) struct buf attr = { 0 };
    put_field(&attr, ATTR_NAME, view_str(row->name));
    put_field(&attr, ATTR_TYPE, view_str(types[row->type].hcl));
    if (row->required)
        put_true(&attr, ATTR_REQUIRED);
    put_field(out, kind, buf_view(&attr));
}

/* HCL source text: only text needs quotes, and no default of ours needs escapes inside them. */
static void put_literal(struct buf *out, const struct config_row *row)
{
    const bool is_text = row->type == CONFIG_STRING || row->type == CONFIG_DURATION;
    CLEANUP(buf_fini) struct buf text = { 0 };
    buf_put_fmt(&text, is_text ? "\"%s\"" : "%s", row->otherwise);
    CLEANUP(buf_fini) struct buf literal = { 0 };
    put_field(&literal, LITERAL_VALUE, buf_view(&text));
    put_field(out, SPEC_LITERAL, buf_view(&literal));
}

static void put_body(struct buf *out, const struct config_table *table, const char *block);

static void put_blocks(struct buf *out, const struct config_table *table,
                       const struct config_row *row)
{
    CLEANUP(buf_fini) struct buf inner = { 0 };
    CLEANUP(buf_fini) struct buf nested = { 0 };
    put_body(&nested, table, row->name);
    put_field(&inner, LIST_NAME, view_str(row->name));
    put_varint(&inner, LIST_MAX << 3);
    put_varint(&inner, (uint64_t)row->max);
    put_field(&inner, LIST_NESTED, buf_view(&nested));
    put_field(out, SPEC_BLOCK_LIST, buf_view(&inner));
}

static void put_row(struct buf *out, const struct config_table *table, const struct config_row *row)
{
    CLEANUP(buf_fini) struct buf inner = { 0 };
    if (row->type == CONFIG_BLOCKS) {
        put_blocks(out, table, row);
        return;
    }
    if (row->type == CONFIG_BLOCK) {
        CLEANUP(buf_fini) struct buf nested = { 0 };
        put_body(&nested, table, row->name);
        put_field(&inner, BLOCK_NAME, view_str(row->name));
        if (row->required)
            put_true(&inner, BLOCK_REQUIRED);
        put_field(&inner, BLOCK_NESTED, buf_view(&nested));
        put_field(out, SPEC_BLOCK_VALUE, buf_view(&inner));
        return;
    }
    if (!row->otherwise) {
        put_attr(out, row);
        return;
    }
    CLEANUP(buf_fini) struct buf primary = { 0 };
    CLEANUP(buf_fini) struct buf literal = { 0 };
    put_attr(&primary, row);
    put_literal(&literal, row);
    put_field(&inner, DEFAULT_PRIMARY, buf_view(&primary));
    put_field(&inner, DEFAULT_DEFAULT, buf_view(&literal));
    put_field(out, SPEC_DEFAULT, buf_view(&inner));
}

static bool is_in(const struct config_row *row, const char *block)
{
    return block ? row->block && strcmp(row->block, block) == 0 : !row->block;
}

static void put_body(struct buf *out, const struct config_table *table, const char *block)
{
    CLEANUP(buf_fini) struct buf object = { 0 };
    for (size_t i = 0; i < table->count; i++) {
        const struct config_row *row = &table->rows[i];
        if (!is_in(row, block))
            continue;
        CLEANUP(buf_fini) struct buf spec = { 0 };
        CLEANUP(buf_fini) struct buf entry = { 0 };
        put_row(&spec, table, row);
        put_field(&entry, MAP_KEY, view_str(row->name));
        put_field(&entry, MAP_VALUE, buf_view(&spec));
        put_field(&object, OBJECT_ATTRIBUTES, buf_view(&entry));
    }
    put_field(out, SPEC_OBJECT, buf_view(&object));
}

void config_put_spec(const struct config_table *table, struct buf *out)
{
    put_body(out, table, NULL);
}

static void put_limits(struct buf *out, const struct config_row *row)
{
    const char *zero = row->zero_ok ? "0 or " : "";
    switch (row->type) {
    case CONFIG_STRING:
        buf_put_fmt(out, "%" PRId64 "...%" PRId64 " bytes", row->min, row->max);
        return;
    case CONFIG_LIST:
    case CONFIG_BLOCKS:
    case CONFIG_ATTRS:
        buf_put_fmt(out, "up to %" PRId64 " items", row->max);
        return;
    case CONFIG_DURATION:
        buf_put_fmt(out, "%s%" PRId64 "...%" PRId64 " ms", zero, row->min, row->max);
        return;
    case CONFIG_NUMBER:
        buf_put_fmt(out, "%" PRId64 "...%" PRId64, row->min, row->max);
        return;
    case CONFIG_BOOL:
    case CONFIG_BLOCK:
    case CONFIG_TYPE_COUNT:
        return;
    }
}

void config_put_doc(const struct config_table *table, struct buf *out)
{
    buf_put_str(out, "| key | type | default | limits | meaning |\n|---|---|---|---|---|\n");
    for (size_t i = 0; i < table->count; i++) {
        const struct config_row *row = &table->rows[i];
        buf_put_fmt(out, "| `%s%s%s` | %s | ", row->block ? row->block : "", row->block ? "." : "",
                    row->name, types[row->type].people);
        if (row->required)
            buf_put_str(out, "required");
        else if (row->otherwise)
            buf_put_fmt(out, "`%s`", row->otherwise);
        buf_put_str(out, " | ");
        put_limits(out, row);
        buf_put_fmt(out, " | %s%s |\n", row->doc,
                    row->fixed ? "; fixed while the plugin runs" : "");
    }
}

static bool put_list(const char *key, unsigned indent, const struct str_list *list, struct buf *out,
                     struct err *err)
{
    buf_put_fmt(out, "%*s%s = [", (int)indent * 2, "", key);
    for (size_t i = 0; i < list->count; i++) {
        buf_put_str(out, i ? ", " : "");
        if (!hcl_put_text(out, view_str(list->items[i]), err))
            return false;
    }
    buf_put_str(out, "]\n");
    return true;
}

static bool put_body_values(const struct config_table *table, const char *block, const void *values,
                            struct buf *out, struct err *err);

/* The rows of an item point to the place behind its list (struct config_items): seen from there,
 * each item is a whole configuration. */
static bool put_items(const struct config_table *table, const struct config_row *row,
                      const struct config_items *all, struct buf *out, struct err *err)
{
    const size_t place = row->offset + sizeof(*all);
    for (size_t i = 0; i < all->count; i++) {
        const char *item = (const char *)all->items + i * (size_t)row->min;
        buf_put_fmt(out, "%s {\n", row->name);
        if (!put_body_values(table, row->name, item - place, out, err))
            return false;
        buf_put_str(out, "}\n");
    }
    return true;
}

static bool put_attrs(const char *name, const struct str_list *pairs, struct buf *out,
                      struct err *err)
{
    if (pairs->count == 0)
        return true;
    buf_put_fmt(out, "%s {\n", name);
    for (size_t i = 0; i < pairs->count; i++) {
        const size_t len = strcspn(pairs->items[i], "=");
        CLEANUP(str_freep) char *key = str_copy_n(pairs->items[i], len);
        if (!hcl_put_attr(out, 1, key, pairs->items[i] + len + 1, err))
            return false;
    }
    buf_put_str(out, "}\n");
    return true;
}

static bool put_value(const struct config_table *table, const struct config_row *row,
                      const void *values, struct buf *out, struct err *err)
{
    const void *at = (const char *)values + row->offset;
    const unsigned indent = row->block ? 1 : 0;
    const int width = (int)indent * 2;
    switch (row->type) {
    case CONFIG_STRING: {
        const char *text = *(char *const *)at;
        return !text || hcl_put_attr(out, indent, row->name, text, err);
    }
    case CONFIG_LIST:
        return put_list(row->name, indent, at, out, err);
    case CONFIG_DURATION:
        buf_put_fmt(out, "%*s%s = \"%" PRId64 "ms\"\n", width, "", row->name, *(const int64_t *)at);
        return true;
    case CONFIG_NUMBER:
        buf_put_fmt(out, "%*s%s = %" PRId64 "\n", width, "", row->name, *(const int64_t *)at);
        return true;
    case CONFIG_BOOL:
        buf_put_fmt(out, "%*s%s = %s\n", width, "", row->name,
                    *(const bool *)at ? "true" : "false");
        return true;
    case CONFIG_BLOCK:
        if (!*(const bool *)at)
            return true;
        buf_put_fmt(out, "%s {\n", row->name);
        if (!put_body_values(table, row->name, values, out, err))
            return false;
        buf_put_str(out, "}\n");
        return true;
    case CONFIG_BLOCKS:
        return put_items(table, row, at, out, err);
    case CONFIG_ATTRS:
        return put_attrs(row->name, at, out, err);
    case CONFIG_TYPE_COUNT:
        return true;
    }
    return true;
}

static bool put_body_values(const struct config_table *table, const char *block, const void *values,
                            struct buf *out, struct err *err)
{
    for (size_t i = 0; i < table->count; i++)
        if (is_in(&table->rows[i], block) && !put_value(table, &table->rows[i], values, out, err))
            return false;
    return true;
}

bool config_put_values(const struct config_table *table, const void *values, struct buf *out,
                       struct err *err)
{
    return put_body_values(table, NULL, values, out, err);
}

void config_put_page(struct buf *out)
{
    buf_put_str(out, "# Configuration of the driver\n\n"
                     "Made from `driver/nomad/*.def` by `nomad-driver-agent -schema`; a test "
                     "compares. Durations are text such as "
                     "`\"15s\"`, `\"250ms\"`, `\"7d\"`.\n\n"
                     "## Task: `config` of a task with `driver = \"agent\"`\n\n");
    config_put_doc(&task_config_table, out);
    buf_put_str(
        out,
        "\n`destination` of a `volume_mount` and of what a device plugin mounts is relative to "
        "the task directory or an absolute path in it, as `mount.target` is; or a place on the "
        "node that its operator has made for it, such as `/data`: an existing directory (for a "
        "file: a file) without symbolic links on the way. There is no root file system of the "
        "task in which one could be made. What agents see of the system (docs/isolation.md), "
        "`/proc`, `/sys`, `/dev`, `/run`, `/boot`, `/root`, `/tmp` and `/var/tmp` are refused, "
        "and what would hide the command, allocations or the driver's directories.\n");
    buf_put_str(out, "\n## Client: `plugin \"nomad-driver-agent\" { config { ... } }`\n\n");
    config_put_doc(&plugin_config_table, out);
}
