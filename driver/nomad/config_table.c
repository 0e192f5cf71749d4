#include "driver/nomad/config_table.h"

#include <msgpack.h>

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/own.h"
#include "common/base/text.h"
#include "driver/nomad/msgpack_bounds.h"

#define ITEM_BYTES_MAX ((int64_t)128 << 10) /* the kernel's limit for one argument of a program */
#define ATTR_BYTES_MAX 4096
#define ROWS_MAX       64

struct decoding {
    const struct config_table *table;
    void *out;
    struct str_list *unknown; /* NULL: an error */
    bool seen[ROWS_MAX];
};

void str_list_add(struct str_list *list, struct view text)
{
    list->items = mem_resize(list->items, list->count + 1, sizeof(char *));
    list->items[list->count++] = str_copy_n((const char *)text.data, text.len);
}

void str_list_fini(struct str_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct str_list){ 0 };
}

static void *value_at(const struct config_row *row, void *out) { return (char *)out + row->offset; }

/* "task config: state.interval: ..." */
static bool fail(const struct decoding *d, const struct config_row *row, struct err *err,
                 const char *fmt, ...) PRINTF(4, 5);
static bool fail(const struct decoding *d, const struct config_row *row, struct err *err,
                 const char *fmt, ...)
{
    char text[160];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return err_set(err, ERR_INVALID, "%s: %s%s%s: %s", d->table->title,
                   row->block ? row->block : "", row->block ? "." : "", row->name, text);
}

static struct view text_of(const msgpack_object *v)
{
    return view_of(v->via.str.ptr, v->via.str.size);
}

static bool check_text(const struct decoding *d, const struct config_row *row, struct view text,
                       struct err *err)
{
    if (utf8_is_valid(text))
        return true;
    return fail(d, row, err, "is not UTF-8 text, or has a NUL");
}

static bool check_range(const struct decoding *d, const struct config_row *row, int64_t value,
                        const char *unit, struct err *err)
{
    if (value >= row->min && value <= row->max)
        return true;
    return fail(d, row, err, "%" PRId64 "%s is not in %" PRId64 "...%" PRId64 "%s", value, unit,
                row->min, row->max, unit);
}

static bool put_string(const struct decoding *d, const struct config_row *row, struct view text,
                       struct err *err)
{
    if (!check_text(d, row, text, err))
        return false;
    if ((int64_t)text.len < row->min)
        return fail(d, row, err, "is empty");
    if ((int64_t)text.len > row->max)
        return fail(d, row, err, "has %zu bytes, at most %" PRId64 " are allowed", text.len,
                    row->max);
    char **slot = value_at(row, d->out);
    free(*slot);
    *slot = str_copy_n((const char *)text.data, text.len);
    return true;
}

static bool put_duration(const struct decoding *d, const struct config_row *row, struct view text,
                         struct err *err)
{
    int64_t ms = 0;
    struct err inner = { 0 };
    if (text.len > 64 || !utf8_is_valid(text) || !duration_parse(text, &ms, &inner))
        return fail(d, row, err, "is not a duration such as \"15s\", \"250ms\" or \"7d\"");
    const bool is_off = ms == 0 && row->zero_ok;
    if (!is_off && !check_range(d, row, ms, "ms", err))
        return false;
    *(int64_t *)value_at(row, d->out) = ms;
    return true;
}

static bool put_integer(const struct decoding *d, const struct config_row *row, int64_t value,
                        struct err *err)
{
    if (!check_range(d, row, value, "", err))
        return false;
    *(int64_t *)value_at(row, d->out) = value;
    return true;
}

/* Nomad sends a number in whatever form it fits, decimal text included. */
static bool put_number(const struct decoding *d, const struct config_row *row,
                       const msgpack_object *v, struct err *err)
{
    if (v->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
        return put_integer(d, row, v->via.i64, err);
    if (v->type == MSGPACK_OBJECT_POSITIVE_INTEGER && v->via.u64 <= INT64_MAX)
        return put_integer(d, row, (int64_t)v->via.u64, err);
    if (v->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
        return fail(d, row, err, "is larger than %" PRId64, row->max);
    if (v->type == MSGPACK_OBJECT_STR) {
        int64_t value = 0;
        struct err inner = { 0 };
        if (v->via.str.size > 64 || !int_parse(text_of(v), INT64_MIN, INT64_MAX, &value, &inner))
            return fail(d, row, err, "is not a whole number in %" PRId64 "...%" PRId64, row->min,
                        row->max);
        return put_integer(d, row, value, err);
    }
    if (v->type != MSGPACK_OBJECT_FLOAT64 && v->type != MSGPACK_OBJECT_FLOAT32)
        return fail(d, row, err, "is not a number");
    const double f = v->via.f64;
    if (!(f >= -9007199254740992.0 && f <= 9007199254740992.0) || f != floor(f))
        return fail(d, row, err, "is not a whole number in %" PRId64 "...%" PRId64, row->min,
                    row->max);
    return put_integer(d, row, (int64_t)f, err);
}

static bool put_list(const struct decoding *d, const struct config_row *row,
                     const msgpack_object *v, struct err *err)
{
    const msgpack_object_array *array = &v->via.array;
    if (array->size > row->max)
        return fail(d, row, err, "has %u items, at most %" PRId64 " are allowed", array->size,
                    row->max);
    struct str_list *list = value_at(row, d->out);
    for (uint32_t i = 0; i < array->size; i++) {
        const msgpack_object *item = &array->ptr[i];
        if (item->type != MSGPACK_OBJECT_STR)
            return fail(d, row, err, "item %u is not a string", i + 1);
        if (item->via.str.size > ITEM_BYTES_MAX)
            return fail(d, row, err, "item %u has more than %" PRId64 " bytes", i + 1,
                        ITEM_BYTES_MAX);
        if (!utf8_is_valid(text_of(item)))
            return fail(d, row, err, "item %u is not UTF-8 text, or has a NUL", i + 1);
        str_list_add(list, text_of(item));
    }
    return true;
}

static bool put_attrs(const struct decoding *d, const struct config_row *row,
                      const msgpack_object_map *map, struct err *err)
{
    if (map->size > row->max)
        return fail(d, row, err, "has %u keys, at most %" PRId64 " are allowed", map->size,
                    row->max);
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key, *value = &map->ptr[i].val;
        if (key->type != MSGPACK_OBJECT_STR || value->type != MSGPACK_OBJECT_STR)
            return fail(d, row, err, "key %u or its value is not a string", i + 1);
        if (!utf8_is_valid(text_of(key)) || !utf8_is_valid(text_of(value)) ||
            key->via.str.size + value->via.str.size > ATTR_BYTES_MAX)
            return fail(d, row, err, "key %u is too long, or not UTF-8 text", i + 1);
        CLEANUP(buf_fini) struct buf pair = { 0 };
        buf_put(&pair, text_of(key));
        buf_put_u8(&pair, '=');
        buf_put(&pair, text_of(value));
        str_list_add(value_at(row, d->out), buf_view(&pair));
    }
    return true;
}

static bool decode_body(struct decoding *d, const char *block, const msgpack_object_map *map,
                        struct err *err);
static bool put_blocks(struct decoding *d, const struct config_row *row,
                       const msgpack_object_array *array, struct err *err);

static const char *const type_words[CONFIG_TYPE_COUNT] = {
    [CONFIG_STRING] = "string",     [CONFIG_LIST] = "list of strings",
    [CONFIG_DURATION] = "duration", [CONFIG_NUMBER] = "number",
    [CONFIG_BOOL] = "bool",         [CONFIG_BLOCK] = "block",
    [CONFIG_BLOCKS] = "block",      [CONFIG_ATTRS] = "block",
};
static const msgpack_object_type wire_types[CONFIG_TYPE_COUNT] = {
    [CONFIG_STRING] = MSGPACK_OBJECT_STR,   [CONFIG_LIST] = MSGPACK_OBJECT_ARRAY,
    [CONFIG_DURATION] = MSGPACK_OBJECT_STR, [CONFIG_NUMBER] = MSGPACK_OBJECT_NIL, /* several */
    [CONFIG_BOOL] = MSGPACK_OBJECT_BOOLEAN, [CONFIG_BLOCK] = MSGPACK_OBJECT_MAP,
    [CONFIG_BLOCKS] = MSGPACK_OBJECT_ARRAY, [CONFIG_ATTRS] = MSGPACK_OBJECT_MAP,
};

static bool decode_value(struct decoding *d, const struct config_row *row, const msgpack_object *v,
                         struct err *err)
{
    if (row->type != CONFIG_NUMBER && v->type != wire_types[row->type])
        return fail(d, row, err, "is not a %s", type_words[row->type]);
    switch (row->type) {
    case CONFIG_STRING:
        return put_string(d, row, text_of(v), err);
    case CONFIG_LIST:
        return put_list(d, row, v, err);
    case CONFIG_DURATION:
        return put_duration(d, row, text_of(v), err);
    case CONFIG_NUMBER:
        return put_number(d, row, v, err);
    case CONFIG_BOOL:
        *(bool *)value_at(row, d->out) = v->via.boolean;
        return true;
    case CONFIG_BLOCK:
        *(bool *)value_at(row, d->out) = true;
        return decode_body(d, row->name, &v->via.map, err);
    case CONFIG_BLOCKS:
        return put_blocks(d, row, &v->via.array, err);
    case CONFIG_ATTRS:
        return put_attrs(d, row, &v->via.map, err);
    case CONFIG_TYPE_COUNT:
        break;
    }
    assert(false && "a row with a type");
    return false;
}

static bool is_same_block(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static const struct config_row *row_find(const struct config_table *table, const char *block,
                                         struct view name)
{
    for (size_t i = 0; i < table->count; i++)
        if (is_same_block(table->rows[i].block, block) &&
            view_is_equal(name, view_str(table->rows[i].name)))
            return &table->rows[i];
    return NULL;
}

static bool meet_unknown(struct decoding *d, const char *block, struct view name, struct err *err)
{
    CLEANUP(buf_fini) struct buf path = { 0 };
    if (block)
        buf_put_fmt(&path, "%s.", block);
    utf8_put_clean(&path, view_of(name.data, name.len > 64 ? 64 : name.len));
    if (!d->unknown)
        return err_set(err, ERR_INVALID, "%s: %s: unknown key", d->table->title,
                       buf_borrow_str(&path));
    if (d->unknown->count < ROWS_MAX)
        str_list_add(d->unknown, buf_view(&path));
    return true;
}

static bool decode_body(struct decoding *d, const char *block, const msgpack_object_map *map,
                        struct err *err)
{
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object_kv *pair = &map->ptr[i];
        if (pair->key.type != MSGPACK_OBJECT_STR)
            return err_set(err, ERR_INVALID, "%s: %s: a key is not a string", d->table->title,
                           block ? block : "top");
        const struct config_row *row = row_find(d->table, block, text_of(&pair->key));
        if (!row) {
            if (!meet_unknown(d, block, text_of(&pair->key), err))
                return false;
            continue;
        }
        if (pair->val.type == MSGPACK_OBJECT_NIL)
            continue;
        bool *seen = &d->seen[row - d->table->rows];
        if (*seen)
            return fail(d, row, err, "is given twice");
        *seen = true;
        if (!decode_value(d, row, &pair->val, err))
            return false;
    }
    return true;
}

static bool is_block_open(const struct decoding *d, const char *block)
{
    if (!block)
        return true;
    const struct config_row *row = row_find(d->table, NULL, view_str(block));
    assert(row && (row->type == CONFIG_BLOCK || row->type == CONFIG_BLOCKS));
    return d->seen[row - d->table->rows];
}

/* A default obeys its own limits, so a row with a wrong one fails the first test that decodes. */
static bool put_default(struct decoding *d, const struct config_row *row, struct err *err)
{
    const struct view text = view_str(row->otherwise);
    switch (row->type) {
    case CONFIG_STRING:
        return put_string(d, row, text, err);
    case CONFIG_DURATION:
        return put_duration(d, row, text, err);
    case CONFIG_NUMBER: {
        int64_t value = 0;
        return int_parse(text, row->min, row->max, &value, err) && put_integer(d, row, value, err);
    }
    case CONFIG_BOOL:
        *(bool *)value_at(row, d->out) = strcmp(row->otherwise, "true") == 0;
        return true;
    case CONFIG_LIST:
    case CONFIG_BLOCK:
    case CONFIG_BLOCKS:
    case CONFIG_ATTRS:
    case CONFIG_TYPE_COUNT:
        break;
    }
    assert(false && "lists and blocks have no default");
    return false;
}

static bool complete_row(struct decoding *d, const struct config_row *row, struct err *err)
{
    if (d->seen[row - d->table->rows])
        return true;
    if (row->required && is_block_open(d, row->block))
        return fail(d, row, err, "is required");
    return !row->otherwise || put_default(d, row, err);
}

/* The rows of a repeated block are completed item by item. */
static bool is_of_item(const struct config_table *table, const struct config_row *row)
{
    const struct config_row *block = row->block ? row_find(table, NULL, view_str(row->block))
                                                : NULL;
    return block && block->type == CONFIG_BLOCKS;
}

static bool complete(struct decoding *d, struct err *err)
{
    for (size_t i = 0; i < d->table->count; i++)
        if (!is_of_item(d->table, &d->table->rows[i]) && !complete_row(d, &d->table->rows[i], err))
            return false;
    return true;
}

static bool put_item(struct decoding *d, const struct config_row *row,
                     const msgpack_object_map *map, struct err *err)
{
    struct config_items *all = value_at(row, d->out);
    const size_t size = (size_t)row->min;
    for (size_t i = 0; i < d->table->count; i++)
        if (is_same_block(d->table->rows[i].block, row->name))
            d->seen[i] = false;
    if (!decode_body(d, row->name, map, err))
        return false;
    d->seen[row - d->table->rows] = true;
    for (size_t i = 0; i < d->table->count; i++)
        if (is_same_block(d->table->rows[i].block, row->name) &&
            !complete_row(d, &d->table->rows[i], err))
            return false;
    all->items = mem_resize(all->items, all->count + 1, size);
    memcpy((char *)all->items + all->count++ * size, all + 1, size);
    memset(all + 1, 0, size);
    return true;
}

static bool put_blocks(struct decoding *d, const struct config_row *row,
                       const msgpack_object_array *array, struct err *err)
{
    if (array->size > row->max)
        return fail(d, row, err, "is written %u times, at most %" PRId64 " are allowed",
                    array->size, row->max);
    for (uint32_t i = 0; i < array->size; i++) {
        if (array->ptr[i].type != MSGPACK_OBJECT_MAP)
            return fail(d, row, err, "item %u is not a block", i + 1);
        if (!put_item(d, row, &array->ptr[i].via.map, err))
            return false;
    }
    return true;
}

static bool decode_bytes(struct decoding *d, struct view bytes, struct err *err)
{
    if (bytes.len == 0)
        return complete(d, err);
    if (bytes.len > CONFIG_BYTES_MAX)
        return err_set(err, ERR_INVALID, "%s: %zu bytes, at most %zu are allowed", d->table->title,
                       bytes.len, CONFIG_BYTES_MAX);
    if (!msgpack_bounds_check(bytes, err))
        return err_wrap(err, "%s", d->table->title);
    msgpack_unpacked got;
    msgpack_unpacked_init(&got);
    bool ok = msgpack_unpack_next(&got, (const char *)bytes.data, bytes.len, NULL) ==
              MSGPACK_UNPACK_SUCCESS;
    if (!ok)
        (void)err_set(err, ERR_INVALID, "%s: malformed msgpack", d->table->title);
    else if (got.data.type != MSGPACK_OBJECT_MAP)
        ok = err_set(err, ERR_INVALID, "%s: is not a map", d->table->title);
    else
        ok = decode_body(d, NULL, &got.data.via.map, err) && complete(d, err);
    msgpack_unpacked_destroy(&got);
    return ok;
}

bool config_decode(const struct config_table *table, struct view msgpack, void *out,
                   struct str_list *unknown, struct err *err)
{
    assert(table->count <= ROWS_MAX);
    struct decoding d = { .table = table, .out = out, .unknown = unknown };
    if (decode_bytes(&d, msgpack, err))
        return true;
    config_fini(table, out);
    return false;
}

bool config_check_store(const struct config_table *table, const char *key, const char *url,
                        struct err *err)
{
    static const char scheme[] = "abcdefghijklmnopqrstuvwxyz0123456789+";
    const size_t len = url ? strspn(url, scheme) : 0;
    if (!url || (len > 0 && strncmp(url + len, "://", 3) == 0))
        return true;
    return err_set(err, ERR_INVALID, "%s: %s: is not a URL such as file:///var/lib/agents",
                   table->title, key);
}

static void list_copy(const struct str_list *from, struct str_list *out)
{
    *out = (struct str_list){ 0 };
    for (size_t i = 0; i < from->count; i++)
        str_list_add(out, view_str(from->items[i]));
}

void config_copy(const struct config_table *table, const void *from, void *out)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct config_row *row = &table->rows[i];
        const void *value = (const char *)from + row->offset;
        switch (row->type) {
        case CONFIG_STRING: {
            const char *text = *(char *const *)value;
            *(char **)value_at(row, out) = text ? str_copy(text) : NULL;
            break;
        }
        case CONFIG_LIST:
        case CONFIG_ATTRS:
            list_copy(value, value_at(row, out));
            break;
        case CONFIG_DURATION:
        case CONFIG_NUMBER:
            *(int64_t *)value_at(row, out) = *(const int64_t *)value;
            break;
        case CONFIG_BOOL:
        case CONFIG_BLOCK:
            *(bool *)value_at(row, out) = *(const bool *)value;
            break;
        case CONFIG_BLOCKS: /* only a task has them, and no task's configuration is copied */
        case CONFIG_TYPE_COUNT:
            assert(false && "a type that is copied");
        }
    }
}

static bool is_same_list(const struct str_list *a, const struct str_list *b)
{
    for (size_t i = 0; i < a->count && a->count == b->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return a->count == b->count;
}

static bool is_same_value(const struct config_row *row, const void *a, const void *b)
{
    switch (row->type) {
    case CONFIG_STRING: {
        const char *from = *(char *const *)a, *to = *(char *const *)b;
        return from == to || (from && to && strcmp(from, to) == 0);
    }
    case CONFIG_LIST:
    case CONFIG_ATTRS:
        return is_same_list(a, b);
    case CONFIG_DURATION:
    case CONFIG_NUMBER:
        return *(const int64_t *)a == *(const int64_t *)b;
    case CONFIG_BOOL:
    case CONFIG_BLOCK:
        return *(const bool *)a == *(const bool *)b;
    case CONFIG_BLOCKS: /* of a task only, and nothing of a task is fixed */
    case CONFIG_TYPE_COUNT:
        break;
    }
    assert(false && "a type that can be fixed");
    return false;
}

const char *config_find_change(const struct config_table *table, const void *a, const void *b)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct config_row *row = &table->rows[i];
        if (row->fixed &&
            !is_same_value(row, (const char *)a + row->offset, (const char *)b + row->offset))
            return row->name;
    }
    return NULL;
}

static void row_fini(const struct config_table *table, const struct config_row *row, void *out);

/* Item by item through the place that the rows point to. */
static void items_fini(const struct config_table *table, const struct config_row *row, void *out)
{
    struct config_items *all = value_at(row, out);
    const size_t size = (size_t)row->min;
    for (size_t item = 0; item < all->count; item++) {
        memcpy(all + 1, (char *)all->items + item * size, size);
        for (size_t i = 0; i < table->count; i++)
            if (is_same_block(table->rows[i].block, row->name))
                row_fini(table, &table->rows[i], out);
    }
    free(all->items);
    *all = (struct config_items){ 0 };
}

static void row_fini(const struct config_table *table, const struct config_row *row, void *out)
{
    switch (row->type) {
    case CONFIG_STRING:
        str_freep(value_at(row, out));
        break;
    case CONFIG_LIST:
    case CONFIG_ATTRS:
        str_list_fini(value_at(row, out));
        break;
    case CONFIG_DURATION:
    case CONFIG_NUMBER:
        *(int64_t *)value_at(row, out) = 0;
        break;
    case CONFIG_BOOL:
    case CONFIG_BLOCK:
        *(bool *)value_at(row, out) = false;
        break;
    case CONFIG_BLOCKS:
        items_fini(table, row, out);
        break;
    case CONFIG_TYPE_COUNT:
        break;
    }
}

/* What a failed decoding left in the place of items goes first. */
void config_fini(const struct config_table *table, void *out)
{
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].type != CONFIG_BLOCKS)
            row_fini(table, &table->rows[i], out);
    for (size_t i = 0; i < table->count; i++)
        if (table->rows[i].type == CONFIG_BLOCKS)
            row_fini(table, &table->rows[i], out);
}
