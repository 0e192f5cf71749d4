#include "sidecar/store/store.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "sidecar/store/backend.h"
#include "sidecar/store/name.h"

#include <assert.h>

/* What went wrong follows; both together leave room for it in a task event. */
#define PLACE_TOLD 48
#define NAME_TOLD  40

static const struct store_ops *const backends[] = { &store_file_ops, &store_mem_ops };

bool store_open(const char *url, const struct store_memory *memory, struct store **out,
                struct err *err)
{
    struct store_url parsed;
    if (!store_url_parse(url, &parsed, err))
        return false;
    for (size_t i = 0; i < COUNT(backends); i++)
        if (strcmp(backends[i]->scheme, parsed.scheme) == 0)
            return backends[i]->open(&parsed, memory, out, err);
    return err_set(err, ERR_INVALID, "open store \"%.100s\": unknown scheme \"%s\" (file, mem)",
                   url, parsed.scheme);
}

void store_close(struct store *store)
{
    if (store != NULL)
        store->ops->close(store);
}

const char *store_borrow_url(const struct store *store) { return store->url; }

bool store_has(const struct store *store, unsigned features)
{
    return (store->ops->features & features) == features;
}

/* What every call on an agent checks first. */
static bool may_call(const struct store *store, unsigned features, const char *what,
                     const char *name, struct deadline until, struct err *err)
{
    if (!store_has(store, features))
        return err_set(err, ERR_INVALID, "%s: store \"%.100s\" cannot do that", what, store->url);
    if (name != NULL && !store_name_check(name, err))
        return false;
    if (deadline_is_past(until, boot_now()))
        return err_set(err, ERR_UNAVAILABLE, "%s \"%.80s\": out of time", what,
                       name == NULL ? store->url : name);
    return true;
}

/* Where a person finds the store: "/srv/agents" of "file:///srv/agents?create=true". */
static bool with_place(const struct store *store, bool good, struct err *err)
{
    const char *after = strstr(store->url, "://");
    const char *place = after != NULL ? after + 3 : store->url;
    const size_t len = strcspn(place, "?");
    const bool is_long = len > PLACE_TOLD;
    return good || err_wrap(err, "store \"%.*s%s\"", (int)(is_long ? PLACE_TOLD : len), place,
                            is_long ? "..." : "");
}

static bool with_name(const struct store *store, bool good, const char *what, const char *name,
                      struct err *err)
{
    return with_place(store, good, err) || err_wrap(err, "%s \"%.*s%s\"", what, NAME_TOLD, name,
                                                    strlen(name) > NAME_TOLD ? "..." : "");
}

bool store_probe(struct store *store, struct deadline until, struct err *err)
{
    return may_call(store, 0, "probe store", NULL, until, err) &&
           with_place(store, store->ops->probe(store, until, err), err);
}

bool store_read(struct store *store, const char *name, struct deadline until, struct buf *out,
                struct store_version *out_version, struct err *err)
{
    return may_call(store, STORE_REGISTER, "read record", name, until, err) &&
           with_name(store, store->ops->read(store, name, until, out, out_version, err),
                     "read record", name, err);
}

static bool write_record(struct store *store, const char *name,
                         const struct store_version *expected, struct view record,
                         struct deadline until, struct store_version *out_version, struct err *err)
{
    const char *what = expected == NULL ? "create record" : "replace record";
    if (!may_call(store, STORE_REGISTER, what, name, until, err))
        return false;
    if (record.len == 0 || record.len > STORE_RECORD_MAX)
        return err_set(err, ERR_INVALID, "%s \"%.80s\": %zu bytes, must be 1 to %zu", what, name,
                       record.len, STORE_RECORD_MAX);
    return with_name(store,
                     store->ops->write(store, name, expected, record, until, out_version, err),
                     what, name, err);
}

bool store_create(struct store *store, const char *name, struct view record, struct deadline until,
                  struct store_version *out_version, struct err *err)
{
    return write_record(store, name, NULL, record, until, out_version, err);
}

bool store_replace(struct store *store, const char *name, const struct store_version *expected,
                   struct view record, struct deadline until, struct store_version *out_version,
                   struct err *err)
{
    assert(expected != NULL);
    return write_record(store, name, expected, record, until, out_version, err);
}

bool store_watch(struct store *store, const char *name, const struct store_version *seen,
                 struct deadline until, struct err *err)
{
    return may_call(store, STORE_REGISTER | STORE_WATCH, "watch record", name, until, err) &&
           with_name(store, store->ops->watch(store, name, seen, until, err), "watch record", name,
                     err);
}

bool store_age(struct store *store, const char *name, struct deadline until, int64_t *out_ms,
               struct err *err)
{
    return may_call(store, STORE_REGISTER | STORE_AGE, "age of record", name, until, err) &&
           with_name(store, store->ops->age(store, name, until, out_ms, err), "age of record", name,
                     err);
}

bool store_list_names(struct store *store, struct deadline until, store_name_fn *each, void *arg,
                      struct err *err)
{
    return may_call(store, 0, "list agents", NULL, until, err) &&
           (with_place(store, store->ops->list_names(store, until, each, arg, err), err) ||
            err_wrap(err, "list agents"));
}

static bool may_use_pack(const struct store *store, const char *what, const char *name,
                         const char *pack, struct deadline until, struct err *err)
{
    return may_call(store, STORE_PACKS, what, name, until, err) && pack_name_check(pack, err);
}

bool store_pack_create(struct store *store, const char *name, const char *pack,
                       struct deadline until, struct pack_writer **out, struct err *err)
{
    return may_use_pack(store, "create pack", name, pack, until, err) &&
           with_name(store, store->ops->packs->create(store, name, pack, until, out, err),
                     "create pack", pack, err);
}

bool pack_put(struct pack_writer *writer, struct view bytes, struct deadline until, struct err *err)
{
    assert(!writer->has_failed);
    bool good = deadline_is_past(until, boot_now())
                    ? err_set(err, ERR_UNAVAILABLE, "write pack: out of time")
                    : with_place(writer->store,
                                 writer->store->ops->packs->put(writer, bytes, until, err), err) ||
                          err_wrap(err, "write pack");
    writer->has_failed = !good;
    return good;
}

bool pack_commit(struct pack_writer **writer, struct deadline until, struct err *err)
{
    CLEANUP(pack_abandonp) struct pack_writer *w = STEAL(*writer);
    assert(!w->has_failed);
    if (deadline_is_past(until, boot_now()))
        return err_set(err, ERR_UNAVAILABLE, "commit pack: out of time");
    return with_place(w->store, w->store->ops->packs->commit(w, until, err), err);
}

void pack_abandon(struct pack_writer *writer)
{
    if (writer != NULL)
        writer->store->ops->packs->abandon(writer);
}

bool store_pack_size(struct store *store, const char *name, const char *pack, struct deadline until,
                     uint64_t *out_bytes, struct err *err)
{
    return may_use_pack(store, "measure pack", name, pack, until, err) &&
           with_name(store, store->ops->packs->size(store, name, pack, until, out_bytes, err),
                     "measure pack", pack, err);
}

bool store_pack_read(struct store *store, const char *name, const char *pack,
                     struct pack_range range, struct deadline until, struct err *err)
{
    return may_use_pack(store, "read pack", name, pack, until, err) &&
           with_name(store, store->ops->packs->read(store, name, pack, range, until, err),
                     "read pack", pack, err);
}

bool store_pack_list(struct store *store, const char *name, struct deadline until,
                     pack_list_fn *each, void *arg, struct err *err)
{
    return may_call(store, STORE_PACKS, "list packs", name, until, err) &&
           with_name(store, store->ops->packs->list(store, name, until, each, arg, err),
                     "list packs", name, err);
}

bool store_pack_remove(struct store *store, const char *name, const char *pack,
                       struct deadline until, struct err *err)
{
    return may_use_pack(store, "remove pack", name, pack, until, err) &&
           with_name(store, store->ops->packs->remove(store, name, pack, until, err), "remove pack",
                     pack, err);
}
