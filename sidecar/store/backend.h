/* backend.h - what a backend gives to store.c, and what store.c has checked before it calls.
 *
 * Private to this room. Arguments arrive checked: names and pack names are well formed, records are
 * within STORE_RECORD_MAX, the deadline was not past, the feature is declared. An operation of a
 * feature that is not declared is NULL. A backend's own struct starts with `struct store`. */
#pragma once
#include "sidecar/store/store.h"
#include "sidecar/store/url.h"

struct store_ops {
    const char *scheme;
    unsigned features;
    bool (*open)(const struct store_url *url, const struct store_memory *memory, /* or NULL */
                 struct store **out, struct err *err);
    void (*close)(struct store *store);
    bool (*probe)(struct store *store, struct deadline until, struct err *err);
    bool (*read)(struct store *store, const char *name, struct deadline until, struct buf *out,
                 struct store_version *out_version, struct err *err);
    /* `expected` NULL: create. */
    bool (*write)(struct store *store, const char *name, const struct store_version *expected,
                  struct view record, struct deadline until, struct store_version *out_version,
                  struct err *err);
    bool (*watch)(struct store *store, const char *name, const struct store_version *seen,
                  struct deadline until, struct err *err);
    bool (*age)(struct store *store, const char *name, struct deadline until, int64_t *out_ms,
                struct err *err);
    bool (*list_names)(struct store *store, struct deadline until, store_name_fn *each, void *arg,
                       struct err *err);
    const struct pack_ops *packs;
};

struct pack_ops {
    bool (*create)(struct store *store, const char *name, const char *pack, struct deadline until,
                   struct pack_writer **out, struct err *err);
    bool (*put)(struct pack_writer *writer, struct view bytes, struct deadline until,
                struct err *err);
    bool (*commit)(struct pack_writer *writer, struct deadline until, struct err *err);
    void (*abandon)(struct pack_writer *writer); /* frees; also after commit, either outcome */
    bool (*size)(struct store *store, const char *name, const char *pack, struct deadline until,
                 uint64_t *out_bytes, struct err *err);
    bool (*read)(struct store *store, const char *name, const char *pack, struct pack_range range,
                 struct deadline until, struct err *err);
    bool (*list)(struct store *store, const char *name, struct deadline until, pack_list_fn *each,
                 void *arg, struct err *err);
    bool (*remove)(struct store *store, const char *name, const char *pack, struct deadline until,
                   struct err *err);
};

struct store {
    const struct store_ops *ops;
    char url[STORE_URL_MAX];
};
struct pack_writer {
    struct store *store; /* borrowed */
    bool has_failed;
};

extern const struct store_ops store_file_ops;
extern const struct store_ops store_mem_ops;
