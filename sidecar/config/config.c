#include "sidecar/config/config.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/hcl/read.h"
#include "common/hcl/write.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define ENV_PREFIX     "AGENT_SIDECAR_"
#define ENV_NAME_BYTES 64
#define ITEM_BYTES_MAX 1024 /* of one list item: a path pattern */
#define MARGIN_MIN_MS  200  /* as sidecar/lease has it: time to freeze and kill */

enum option_type { TYPE_TEXT, TYPE_TEXTS, TYPE_MS };
#define BLOCK_ID(block, rows, doc) BLOCK_##block,
enum block_id { BLOCK_top, CONFIG_BLOCKS(BLOCK_ID) BLOCK_COUNT };

struct option {
    enum block_id block;
    const char *key;
    enum option_type type;
    unsigned flags;
    const char *initial;
    int64_t min, max;
    const char *doc;
    size_t offset; /* of the member in struct sidecar_config */
};

#define ROW_AT(b, place, key, type, flags, initial, min, max, doc) \
    { BLOCK_##b, key,     TYPE_##type,                             \
      flags,     initial, min,                                     \
      max,       doc,     offsetof(struct sidecar_config, place) },
#define ROW_TOP(b, key, member, type, flags, initial, min, max, doc) \
    ROW_AT(b, member, key, type, flags, initial, min, max, doc)
#define ROW_IN(b, key, member, type, flags, initial, min, max, doc) \
    ROW_AT(b, b.member, key, type, flags, initial, min, max, doc)
#define ROWS_OF(block, rows, doc) rows(ROW_IN, block)
static const struct option options[] = { CONFIG_TOP(ROW_TOP, top) CONFIG_BLOCKS(ROWS_OF) };

#define BLOCK_ROW(block, rows, doc) \
    [BLOCK_##block] = { #block, doc, offsetof(struct sidecar_config, block.is_present) },
static const struct {
    const char *name, *doc;
    size_t present_offset;
} blocks[] = { [BLOCK_top] = { "", "the agent", 0 }, CONFIG_BLOCKS(BLOCK_ROW) };

struct loader {
    struct sidecar_config *config;
    const struct hcl *tree;
    const struct hcl_node *bodies[BLOCK_COUNT]; /* NULL: the block is not in the text */
    const struct hcl_node *values[COUNT(options)];
    const char *variables[COUNT(options)]; /* the text behind the =; NULL: not in the environment */
};

static void *member_of(const struct sidecar_config *config, size_t offset)
{
    return (char *)(uintptr_t)config + offset;
}

static bool *presence_of(struct sidecar_config *config, enum block_id block)
{
    return member_of(config, blocks[block].present_offset);
}

static void variable_name(const struct option *o, char out[ENV_NAME_BYTES])
{
    (void)snprintf(out, ENV_NAME_BYTES, ENV_PREFIX "%s%s%s", blocks[o->block].name,
                   o->block == BLOCK_top ? "" : "_", o->key);
    for (char *c = out; *c; c++)
        *c = (char)toupper((unsigned char)*c);
}

/* Fails where the option was given: its variable, its place in the text, or its block. */
static bool option_fail(const struct loader *l, size_t i, struct err *err, const char *reason)
{
    const struct option *o = &options[i];
    char name[ENV_NAME_BYTES];
    variable_name(o, name);
    if (l->variables[i])
        return err_set(err, ERR_INVALID, "environment: %s %s", name, reason);
    const struct hcl_node *at = l->values[i] ? l->values[i] : l->bodies[o->block];
    return hcl_fail(l->tree, at ? at : hcl_root(l->tree), err, "\"%s%s%s\" %s",
                    blocks[o->block].name, o->block == BLOCK_top ? "" : ".", o->key, reason);
}

static bool characters_check(const struct loader *l, size_t i, struct view text, struct err *err)
{
    for (size_t n = 0; n < text.len; n++)
        if (text.data[n] < 0x20 || text.data[n] == 0x7f)
            return option_fail(l, i, err, "holds a control character");
    return utf8_is_valid(text) || option_fail(l, i, err, "is not UTF-8");
}

static bool text_check(const struct loader *l, size_t i, const char *text, struct err *err)
{
    const struct option *o = &options[i];
    const size_t len = strlen(text);
    char reason[80];
    if (!characters_check(l, i, view_str(text), err))
        return false;
    if ((int64_t)len >= o->min && (int64_t)len <= o->max)
        return true;
    (void)snprintf(reason, sizeof reason, "must have %lld to %lld bytes, not %zu",
                   (long long)o->min, (long long)o->max, len);
    return option_fail(l, i, err, len ? reason : "must not be empty");
}

static bool item_add(const struct loader *l, size_t i, const char *item, size_t len,
                     struct err *err)
{
    struct config_texts *list = member_of(l->config, options[i].offset);
    if ((int64_t)list->count >= options[i].max)
        return option_fail(l, i, err, "has too many items");
    if (len == 0 || len > ITEM_BYTES_MAX)
        return option_fail(l, i, err, "has an item that is empty or longer than 1024 bytes");
    if (!characters_check(l, i, view_of(item, len), err))
        return false;
    list->items = mem_resize(list->items, list->count + 2, sizeof *list->items);
    list->items[list->count++] = str_copy_n(item, len);
    list->items[list->count] = NULL;
    return true;
}

static void text_replace(char **member, const char *text)
{
    char *copy = str_copy(text);
    free(*member);
    *member = copy;
}

static bool value_store(struct loader *l, size_t i, const struct hcl_node *value, struct err *err)
{
    const struct option *o = &options[i];
    void *member = member_of(l->config, o->offset);
    const char *text;
    switch (o->type) {
    case TYPE_TEXT:
        if (!hcl_read_text(l->tree, value, &text, err) || !text_check(l, i, text, err))
            return false;
        text_replace(member, text);
        return true;
    case TYPE_TEXTS:
        if (!hcl_check_texts(l->tree, value, err))
            return false;
        for (const struct hcl_node *n = value->first; n; n = n->next)
            if (!item_add(l, i, n->text, strlen(n->text), err))
                return false;
        return true;
    case TYPE_MS:
        return hcl_read_ms(l->tree, value, o->min, o->max, member, err);
    }
    return true;
}

static bool variable_store(struct loader *l, size_t i, const char *text, struct err *err)
{
    const struct option *o = &options[i];
    void *member = member_of(l->config, o->offset);
    struct err quoting; /* quotes the value, so it stays here */
    int64_t *ms = member;
    switch (o->type) {
    case TYPE_TEXT:
        if (!text_check(l, i, text, err))
            return false;
        text_replace(member, text);
        return true;
    case TYPE_TEXTS:
        for (const char *end; *text; text = *end ? end + 1 : end) {
            end = strchrnul(text, ',');
            if (!item_add(l, i, text, (size_t)(end - text), err))
                return false;
        }
        return true;
    case TYPE_MS:
        if (!duration_parse(view_str(text), ms, &quoting))
            return option_fail(l, i, err, "must be a duration with its unit: ms, s, m, h, d");
        return (*ms >= o->min && *ms <= o->max) || option_fail(l, i, err, "is outside its limits");
    }
    return true;
}

static void defaults_store(struct sidecar_config *config)
{
    for (size_t i = 0; i < COUNT(options); i++) {
        void *member = member_of(config, options[i].offset);
        struct config_texts *list = member;
        struct err never;
        switch (options[i].type) {
        case TYPE_TEXT:
            text_replace(member, options[i].initial);
            break;
        case TYPE_TEXTS:
            list->items = mem_new(char *);
            break;
        case TYPE_MS:
            if (!duration_parse(view_str(options[i].initial), member, &never))
                abort(); /* a row of options.def is wrong */
            break;
        }
    }
}

/* The rules of one body, made from the rows; `out` has room for all options, blocks and the end. */
static void rules_make(enum block_id block, struct hcl_rule *out)
{
    for (size_t i = 0; i < COUNT(options); i++)
        if (options[i].block == block)
            *out++ = (struct hcl_rule){ .name = options[i].key };
    for (size_t b = 1; block == BLOCK_top && b < BLOCK_COUNT; b++)
        *out++ = (struct hcl_rule){ .name = blocks[b].name, .is_block = true };
    *out = (struct hcl_rule){ 0 };
}

static bool text_load(struct loader *l, struct err *err)
{
    struct hcl_rule rules[COUNT(options) + BLOCK_COUNT + 1];
    for (enum block_id b = BLOCK_top; b < BLOCK_COUNT; b++) {
        l->bodies[b] = b == BLOCK_top ? hcl_root(l->tree)
                                      : hcl_block(hcl_root(l->tree), blocks[b].name);
        rules_make(b, rules);
        if (l->bodies[b] && !hcl_check(l->tree, l->bodies[b], rules, err))
            return false;
        if (l->bodies[b] && b != BLOCK_top)
            *presence_of(l->config, b) = true;
    }
    for (size_t i = 0; i < COUNT(options); i++) {
        const struct hcl_node *body = l->bodies[options[i].block];
        l->values[i] = body ? hcl_attr(body, options[i].key) : NULL;
    }
    return true;
}

static bool variable_unknown(const char *variable, size_t len, struct err *err)
{
    char names[COUNT(options)][ENV_NAME_BYTES], word[ENV_NAME_BYTES];
    struct hcl_rule rules[COUNT(options) + 1] = { 0 };
    for (size_t i = 0; i < COUNT(options); i++) {
        variable_name(&options[i], names[i]);
        rules[i].name = names[i];
    }
    (void)snprintf(word, sizeof word, "%.*s", (int)len, variable);
    const char *near = hcl_suggest(word, rules);
    return err_set(err, ERR_INVALID, "environment: unknown variable \"%s\"%s%s%s", word,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

/* An empty variable counts as not given: containers cannot unset one. */
static bool variables_find(struct loader *l, const char *const *env, struct err *err)
{
    for (; env && *env; env++) {
        if (strncmp(*env, ENV_PREFIX, strlen(ENV_PREFIX)) != 0)
            continue;
        const size_t len = (size_t)(strchrnul(*env, '=') - *env);
        const char *text = (*env)[len] ? *env + len + 1 : "";
        size_t i = 0;
        for (; i < COUNT(options); i++) {
            char name[ENV_NAME_BYTES];
            variable_name(&options[i], name);
            if (strlen(name) == len && strncmp(*env, name, len) == 0)
                break;
        }
        if (i == COUNT(options))
            return variable_unknown(*env, len, err);
        if (!*text)
            continue;
        l->variables[i] = text;
        if (options[i].block != BLOCK_top)
            *presence_of(l->config, options[i].block) = true;
    }
    return true;
}

static bool values_store(struct loader *l, struct err *err)
{
    for (size_t i = 0; i < COUNT(options); i++) {
        const bool is_asked = options[i].block == BLOCK_top ||
                              *presence_of(l->config, options[i].block);
        const bool is_given = l->variables[i] || l->values[i];
        if (l->variables[i] && !variable_store(l, i, l->variables[i], err))
            return false;
        if (!l->variables[i] && l->values[i] && !value_store(l, i, l->values[i], err))
            return false;
        if (is_asked && !is_given && (options[i].flags & CONFIG_REQUIRED))
            return option_fail(l, i, err, "is missing");
    }
    return true;
}

static size_t option_at(size_t offset)
{
    size_t i = 0;
    while (options[i].offset != offset)
        i++;
    return i;
}
#define OPTION(member) option_at(offsetof(struct sidecar_config, member))

static bool lease_finish(struct loader *l, struct err *err)
{
    struct sidecar_config *c = l->config;
    c->lease.is_present = c->lease.is_present || c->state.is_present;
    if (!c->lease.is_present)
        return true;
    if (!*c->name)
        return option_fail(l, OPTION(name), err, "is missing: state and lease belong to a name");
    if (!*c->lease.store && !c->state.is_present)
        return option_fail(l, OPTION(lease.store), err, "is missing: there is no state store");
    if (!*c->lease.store)
        text_replace(&c->lease.store, c->state.store);
    const int64_t ttl = c->lease.ttl_ms, floor = 50 + ttl / 100, high = ttl / 3;
    const int64_t low = floor < MARGIN_MIN_MS ? MARGIN_MIN_MS : floor; /* the lease has both */
    if (c->lease.margin_ms == 0)
        c->lease.margin_ms = 250 + ttl / 50;
    if (c->lease.margin_ms >= low && c->lease.margin_ms <= high)
        return true;
    char reason[80];
    (void)snprintf(reason, sizeof reason, "must be from %lldms to %lldms with this ttl",
                   (long long)low, (long long)high);
    return option_fail(l, OPTION(lease.margin_ms), err, reason);
}

/* A checkpoint each millisecond would only keep the machine busy; the driver has the same rule. */
static bool state_finish(struct loader *l, struct err *err)
{
    const int64_t ms = l->config->state.interval_ms;
    return ms == 0 || ms >= CONFIG_INTERVAL_MIN_MS ||
           option_fail(l, OPTION(state.interval_ms), err, "must be 0s or at least 100ms");
}

static int signal_number(const char *name)
{
    for (int s = 1; s < SIGSYS + 1; s++)
        if (strncmp(name, "SIG", 3) == 0 && sigabbrev_np(s) &&
            strcmp(name + 3, sigabbrev_np(s)) == 0)
            return s;
    return 0;
}

static bool stop_finish(struct loader *l, struct err *err)
{
    struct sidecar_config *c = l->config;
    if (!signal_number(c->stop.signal))
        return option_fail(l, OPTION(stop.signal), err, "must be the name of a signal (SIGTERM)");
    if (c->stop.reserve_ms == 0)
        c->stop.reserve_ms = c->stop.timeout_ms / 3;
    if (c->stop.reserve_ms > c->stop.timeout_ms / 2)
        return option_fail(l, OPTION(stop.reserve_ms), err, "must be at most half of stop.timeout");
    return true;
}

bool config_load(const char *name, struct view text, const char *const *env,
                 struct sidecar_config **out, struct err *err)
{
    CLEANUP(hcl_freep) struct hcl *tree = NULL;
    if (!hcl_parse(name, text, &tree, err))
        return false;
    CLEANUP(config_freep) struct sidecar_config *config = mem_new(struct sidecar_config);
    struct loader l = { .config = config, .tree = tree };
    defaults_store(config);
    if (!text_load(&l, err) || !variables_find(&l, env, err) || !values_store(&l, err) ||
        !state_finish(&l, err) || !lease_finish(&l, err) || !stop_finish(&l, err))
        return false;
    *out = STEAL(config);
    return true;
}

void config_free(struct sidecar_config *config)
{
    for (size_t i = 0; config && i < COUNT(options); i++) {
        void *member = member_of(config, options[i].offset);
        const struct config_texts *list = member;
        switch (options[i].type) {
        case TYPE_TEXT:
            free(*(char **)member);
            break;
        case TYPE_TEXTS:
            for (size_t n = 0; n < list->count; n++)
                free(list->items[n]);
            free(list->items);
            break;
        case TYPE_MS:
            break;
        }
    }
    free(config);
}

int config_stop_signal(const struct sidecar_config *config)
{
    return signal_number(config->stop.signal);
}

static bool list_put(struct buf *out, unsigned indent, const char *key,
                     const struct config_texts *list, struct err *err)
{
    buf_put_fmt(out, "%*s%s = [", (int)indent * 2, "", key);
    for (size_t n = 0; n < list->count; n++) {
        buf_put_str(out, n ? ", " : "");
        if (!hcl_put_text(out, view_str(list->items[n]), err))
            return err_wrap(err, "%s", key);
    }
    buf_put_str(out, "]\n");
    return true;
}

static bool option_put(struct buf *out, const struct option *o, const struct sidecar_config *config,
                       struct err *err)
{
    const void *member = member_of(config, o->offset);
    const struct config_texts *list = member;
    const char *const *text = member;
    const int64_t *ms = member;
    const unsigned indent = o->block == BLOCK_top ? 0 : 1;
    switch (o->type) {
    case TYPE_TEXT:
        return !**text || hcl_put_attr(out, indent, o->key, *text, err);
    case TYPE_TEXTS:
        return !list->count || list_put(out, indent, o->key, list, err);
    case TYPE_MS:
        buf_put_fmt(out, "%*s%s = \"%lldms\"\n", (int)indent * 2, "", o->key, (long long)*ms);
        return true;
    }
    return true;
}

bool config_put_hcl(struct buf *out, const struct sidecar_config *config, struct err *err)
{
    for (enum block_id b = BLOCK_top; b < BLOCK_COUNT; b++) {
        if (b != BLOCK_top && !*(const bool *)member_of(config, blocks[b].present_offset))
            continue;
        if (b != BLOCK_top)
            buf_put_fmt(out, "%s {\n", blocks[b].name);
        for (size_t i = 0; i < COUNT(options); i++)
            if (options[i].block == b && !option_put(out, &options[i], config, err))
                return false;
        if (b != BLOCK_top)
            buf_put_str(out, "}\n");
    }
    return true;
}

void config_put_reference(struct buf *out)
{
    static const char *const types[] = {
        [TYPE_TEXT] = "string", [TYPE_TEXTS] = "list of strings", [TYPE_MS] = "duration"
    };
    for (enum block_id b = BLOCK_top; b < BLOCK_COUNT; b++) {
        buf_put_fmt(out,
                    "%s### %s%s%s: %s\n\n| key | type | default | meaning | variable |\n"
                    "|---|---|---|---|---|\n",
                    b == BLOCK_top ? "" : "\n", b == BLOCK_top ? "" : "`",
                    b == BLOCK_top ? "Top level" : blocks[b].name, b == BLOCK_top ? "" : "`",
                    blocks[b].doc);
        for (size_t i = 0; i < COUNT(options); i++) {
            const struct option *o = &options[i];
            char name[ENV_NAME_BYTES];
            variable_name(o, name);
            if (o->block == b)
                buf_put_fmt(out, "| `%s` | %s | %s%s%s | %s | `%s` |\n", o->key, types[o->type],
                            *o->initial ? "`" : "",
                            *o->initial                    ? o->initial
                            : (o->flags & CONFIG_REQUIRED) ? "required"
                                                           : "-",
                            *o->initial ? "`" : "", o->doc, name);
        }
    }
}
