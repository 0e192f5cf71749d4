/* config_table.h - one row a configuration key: type, default, limits and words in one place.
 *
 * The two tables (task_config.def, plugin_config.def) are the only list of keys: the schema that
 * Nomad gets, the decoding of its msgpack, the defaults, the error messages and the reference for
 * people (config_schema.h) come from the rows. Pure. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/err.h"

/* Job files are written by hand: anything longer is a mistake or an attack. */
#define CONFIG_BYTES_MAX ((size_t)1 << 20)
#define CONFIG_DEPTH_MAX 16

struct str_list { /* owns; zeroed is empty */
    char **items;
    size_t count;
};
/** Appends a copy of `text`. */
void str_list_add(struct str_list *list, struct view text);
/** Releases all; zeroed memory is fine; `list` is empty and usable afterwards. */
void str_list_fini(struct str_list *list);

enum config_type {
    CONFIG_STRING,   /* char *; limits are lengths in bytes */
    CONFIG_LIST,     /* struct str_list; limits are the number of items, each <= 128 KiB */
    CONFIG_DURATION, /* int64_t ms from "15s"; limits in ms; 0 is allowed where `zero_ok` */
    CONFIG_NUMBER,   /* int64_t; limits are values */
    CONFIG_BOOL,     /* bool */
    CONFIG_BLOCK,    /* bool: was it written; its keys are the rows whose `block` is its name */
    CONFIG_BLOCKS,   /* struct config_items: each as a block; `min` is the size of an item */
    CONFIG_ATTRS, /* struct str_list of "key=value": a block whose keys the job chooses; limits are
                     their number */
    CONFIG_TYPE_COUNT
};

/* A block that may be written several times. The rows of its keys point into the item that follows
 * this in memory (the job's last one is decoded there and moved away). */
struct config_items { /* owns */
    void *items;
    size_t count;
};

struct config_row {
    const char *block; /* NULL at the top */
    const char *name;
    enum config_type type;
    bool required;         /* in a block: only when the block is written */
    bool zero_ok;          /* durations: 0 is meaningful although below `min` */
    const char *otherwise; /* default as text of its type; NULL: none (empty, 0, absent) */
    int64_t min, max;
    size_t offset; /* of the value in the decoded struct */
    const char *doc;
    bool fixed; /* of the plugin: not changed while it runs */
};

struct config_table {
    const char *title; /* "task config", "plugin config": starts each message */
    const struct config_row *rows;
    size_t count;
};

/** Decodes a msgpack map into the zeroed struct at `out`, defaults applied also in blocks that are
 *  absent. `unknown` collects the paths of keys that no row has; NULL makes them an error. Empty
 *  bytes are an empty map. On failure the struct is released and zero again. Errors: INVALID,
 * naming the key by its path and never quoting more than 64 bytes of a value. */
MUST_USE bool config_decode(const struct config_table *table, struct view msgpack, void *out,
                            struct str_list *unknown, struct err *err);

/** A store is named by a URL, "<scheme>://...". NULL is fine. Errors: INVALID, naming `key`. */
MUST_USE bool config_check_store(const struct config_table *table, const char *key, const char *url,
                                 struct err *err);

/** A copy of its own of what config_decode filled. */
void config_copy(const struct config_table *table, const void *from, void *out);

/** The name of the first key that is fixed and has another value in `b` than in `a`, both filled by
 *  config_decode; NULL: there is none. */
const char *config_find_change(const struct config_table *table, const void *a, const void *b);

/** Releases what config_decode allocated and zeroes the values; zeroed memory is fine. */
void config_fini(const struct config_table *table, void *out);
