#include "sidecar/store/mem.h"

#include "common/base/own.h"
#include "sidecar/store/backend.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

struct mem_pack {
    struct mem_pack *next; /* ascending by name */
    char *pack;
    struct buf bytes;
};
struct mem_agent {
    struct mem_agent *next; /* ascending by name */
    char *name;
    struct buf record; /* len 0: none */
    uint64_t counter;  /* of the server, at the last write */
    struct boot changed;
    struct mem_pack *packs;
};
struct mem_late { /* a write on its way */
    struct mem_late *next;
    char *name;
    bool is_create;
    struct store_version expected;
    struct buf record;
};
struct mem_server {
    atomic_flag busy; /* held for copies only */
    bool is_private;  /* of one "mem:" handle */
    unsigned handles;
    uint64_t counter;
    struct mem_agent *agents;
    struct mem_late *late;
    struct {
        enum mem_fault fault;
        unsigned left;
        uint64_t calls;
    } ops[MEM_OP_COUNT];
    mem_hook *hook;
    void *hook_arg;
};
struct mem_store {
    struct store base;
    struct mem_server *server;
};
struct mem_writer {
    struct pack_writer base;
    char *name, *pack;
    struct buf bytes;
};

static void server_lock(struct mem_server *s)
{
    while (atomic_flag_test_and_set_explicit(&s->busy, memory_order_acquire))
        sched_yield();
}
static void server_unlock(struct mem_server *s)
{
    atomic_flag_clear_explicit(&s->busy, memory_order_release);
}
static void server_unlockp(struct mem_server **s) { server_unlock(*s); }

/* For the rest of the block. */
#define LOCKED(s)           \
    CLEANUP(server_unlockp) \
    struct mem_server *locked = (server_lock(s), (s))

static struct mem_server *server_of(struct store *store)
{
    return ((struct mem_store *)(void *)store)->server;
}

static struct mem_agent *find_agent(struct mem_server *s, const char *name, bool make)
{
    struct mem_agent **at = &s->agents;
    while (*at != NULL && strcmp((*at)->name, name) < 0)
        at = &(*at)->next;
    if (*at != NULL && strcmp((*at)->name, name) == 0)
        return *at;
    if (!make)
        return NULL;
    struct mem_agent *agent = mem_new(struct mem_agent);
    agent->name = str_copy(name);
    agent->next = *at;
    *at = agent;
    return agent;
}

static struct mem_pack **pack_slot(struct mem_agent *agent, const char *pack)
{
    struct mem_pack **at = &agent->packs;
    while (*at != NULL && strcmp((*at)->pack, pack) < 0)
        at = &(*at)->next;
    return at;
}

static struct mem_pack *find_pack(struct mem_server *s, const char *name, const char *pack)
{
    struct mem_agent *agent = find_agent(s, name, false);
    struct mem_pack *found = agent == NULL ? NULL : *pack_slot(agent, pack);
    return found != NULL && strcmp(found->pack, pack) == 0 ? found : NULL;
}

static void version_of(const struct mem_agent *agent, struct store_version *out)
{
    *out = (struct store_version){ 0 };
    (void)snprintf(out->text, sizeof(out->text), "%" PRIu64, agent->counter);
}

/* What is to befall this call. */
static enum mem_fault next_fault(struct mem_server *s, enum mem_op op, const char *name)
{
    server_lock(s);
    s->ops[op].calls++;
    bool scripted = s->ops[op].left > 0;
    enum mem_fault fault = scripted ? s->ops[op].fault : MEM_OK;
    s->ops[op].left -= scripted;
    mem_hook *hook = s->hook;
    void *arg = s->hook_arg;
    server_unlock(s);
    return !scripted && hook != NULL ? hook(arg, op, name) : fault;
}

/* False with the error of a fault that takes the place of the whole call. */
static bool passes(enum mem_fault fault, struct err *err)
{
    switch (fault) {
    case MEM_LOSE_REQUEST:
    case MEM_LATE:
        return err_set(err, ERR_UNAVAILABLE, "no answer");
    case MEM_CONFLICT:
        return err_set(err, ERR_CONFLICT, "another version");
    case MEM_DENIED:
        return err_set(err, ERR_DENIED, "no permission");
    case MEM_FULL:
        return err_sys(err, ENOSPC, "write");
    case MEM_OK:
    case MEM_LOSE_REPLY:
        break;
    }
    return true;
}

static bool replies(enum mem_fault fault, struct err *err)
{
    return fault != MEM_LOSE_REPLY || err_set(err, ERR_UNAVAILABLE, "no answer");
}

static bool mem_probe(struct store *store, struct deadline until, struct err *err)
{
    (void)until;
    enum mem_fault fault = next_fault(server_of(store), MEM_READ, "");
    return passes(fault, err) && replies(fault, err);
}

static bool mem_read(struct store *store, const char *name, struct deadline until, struct buf *out,
                     struct store_version *out_version, struct err *err)
{
    (void)until;
    enum mem_fault fault = next_fault(server_of(store), MEM_READ, name);
    if (!passes(fault, err) || !replies(fault, err))
        return false;
    LOCKED(server_of(store));
    struct mem_agent *agent = find_agent(locked, name, false);
    if (agent == NULL || agent->record.len == 0)
        return err_set(err, ERR_NOT_FOUND, "no record");
    buf_put(out, buf_view(&agent->record));
    version_of(agent, out_version);
    return true;
}

/* The compare and the swap; the server is locked. */
static bool swap(struct mem_server *s, const char *name, const struct store_version *expected,
                 struct view record, struct store_version *out_version)
{
    struct mem_agent *agent = find_agent(s, name, expected == NULL);
    struct store_version now = { 0 };
    if (agent == NULL || (agent->record.len == 0) != (expected == NULL))
        return false;
    version_of(agent, &now);
    if (expected != NULL && !store_version_is_equal(expected, &now))
        return false;
    agent->record.len = 0;
    buf_put(&agent->record, record);
    agent->counter = ++s->counter;
    agent->changed = boot_now();
    version_of(agent, out_version);
    return true;
}

static void hold_late(struct mem_server *s, const char *name, const struct store_version *expected,
                      struct view record)
{
    struct mem_late *late = mem_new(struct mem_late);
    late->name = str_copy(name);
    late->is_create = expected == NULL;
    if (expected != NULL)
        late->expected = *expected;
    buf_put(&late->record, record);
    LOCKED(s);
    struct mem_late **end = &locked->late;
    while (*end != NULL)
        end = &(*end)->next;
    *end = late;
}

static bool mem_write(struct store *store, const char *name, const struct store_version *expected,
                      struct view record, struct deadline until, struct store_version *out_version,
                      struct err *err)
{
    (void)until;
    struct mem_server *server = server_of(store);
    enum mem_fault fault = next_fault(server, MEM_WRITE, name);
    if (fault == MEM_LATE)
        hold_late(server, name, expected, record);
    if (!passes(fault, err))
        return false;
    server_lock(server);
    bool won = swap(server, name, expected, record, out_version);
    server_unlock(server);
    if (!replies(fault, err))
        return false;
    return won || err_set(err, ERR_CONFLICT, expected == NULL ? "exists" : "another version");
}

static bool mem_watch(struct store *store, const char *name, const struct store_version *seen,
                      struct deadline until, struct err *err)
{
    (void)err;
    struct mem_server *server = server_of(store);
    while (!deadline_is_past(until, boot_now())) {
        server_lock(server);
        struct mem_agent *agent = find_agent(server, name, false);
        struct store_version now = { 0 };
        if (agent != NULL)
            version_of(agent, &now);
        server_unlock(server);
        if (!store_version_is_equal(seen, &now))
            return true;
        (void)nanosleep(&(struct timespec){ .tv_nsec = NS_PER_MS }, NULL);
    }
    return true;
}

static bool mem_age(struct store *store, const char *name, struct deadline until, int64_t *out_ms,
                    struct err *err)
{
    (void)until;
    LOCKED(server_of(store));
    struct mem_agent *agent = find_agent(locked, name, false);
    if (agent == NULL || agent->record.len == 0)
        return err_set(err, ERR_NOT_FOUND, "no record");
    *out_ms = boot_diff_ms(boot_now(), agent->changed);
    return true;
}

/* Names are copied first, so that `each` may call the store. */
static bool mem_list_names(struct store *store, struct deadline until, store_name_fn *each,
                           void *arg, struct err *err)
{
    (void)until;
    struct mem_server *server = server_of(store);
    enum mem_fault fault = next_fault(server, MEM_LIST, "");
    if (!passes(fault, err) || !replies(fault, err))
        return false;
    CLEANUP(buf_fini) struct buf names = { 0 };
    server_lock(server);
    for (struct mem_agent *at = server->agents; at != NULL; at = at->next)
        if (at->record.len > 0 || at->packs != NULL)
            buf_put(&names, view_of(at->name, strlen(at->name) + 1));
    server_unlock(server);
    for (size_t at = 0; at < names.len; at += strlen((char *)names.data + at) + 1)
        if (!each(arg, (char *)names.data + at, err))
            return false;
    return true;
}

static bool mem_pack_create(struct store *store, const char *name, const char *pack,
                            struct deadline until, struct pack_writer **out, struct err *err)
{
    (void)until;
    enum mem_fault fault = next_fault(server_of(store), MEM_PACK_WRITE, name);
    if (!passes(fault, err) || !replies(fault, err))
        return false;
    struct mem_writer *writer = mem_new(struct mem_writer);
    writer->base.store = store;
    writer->name = str_copy(name);
    writer->pack = str_copy(pack);
    *out = &writer->base;
    return true;
}

static bool mem_pack_put(struct pack_writer *base, struct view bytes, struct deadline until,
                         struct err *err)
{
    (void)until;
    struct mem_writer *writer = (struct mem_writer *)(void *)base;
    enum mem_fault fault = next_fault(server_of(base->store), MEM_PACK_WRITE, writer->name);
    if (!passes(fault, err) || !replies(fault, err))
        return false;
    buf_put(&writer->bytes, bytes);
    return true;
}

static bool mem_pack_commit(struct pack_writer *base, struct deadline until, struct err *err)
{
    (void)until;
    struct mem_writer *writer = (struct mem_writer *)(void *)base;
    struct mem_server *server = server_of(base->store);
    enum mem_fault fault = next_fault(server, MEM_PACK_WRITE, writer->name);
    if (!passes(fault, err))
        return false;
    server_lock(server);
    struct mem_pack **slot = pack_slot(find_agent(server, writer->name, true), writer->pack);
    bool exists = *slot != NULL && strcmp((*slot)->pack, writer->pack) == 0;
    if (!exists) {
        struct mem_pack *made = mem_new(struct mem_pack);
        made->next = *slot;
        made->pack = STEAL(writer->pack);
        made->bytes = buf_take(&writer->bytes);
        *slot = made;
    }
    server_unlock(server);
    if (!replies(fault, err))
        return false;
    return !exists || err_set(err, ERR_CONFLICT, "commit pack \"%s\": exists", writer->pack);
}

static void mem_pack_abandon(struct pack_writer *base)
{
    struct mem_writer *writer = (struct mem_writer *)(void *)base;
    free(writer->name);
    free(writer->pack);
    buf_fini(&writer->bytes);
    free(writer);
}

static bool mem_pack_size(struct store *store, const char *name, const char *pack,
                          struct deadline until, uint64_t *out_bytes, struct err *err)
{
    (void)until;
    enum mem_fault fault = next_fault(server_of(store), MEM_PACK_READ, name);
    if (!passes(fault, err) || !replies(fault, err))
        return false;
    LOCKED(server_of(store));
    const struct mem_pack *found = find_pack(locked, name, pack);
    if (found == NULL)
        return err_set(err, ERR_NOT_FOUND, "no such pack");
    *out_bytes = found->bytes.len;
    return true;
}

static bool mem_pack_read(struct store *store, const char *name, const char *pack,
                          struct pack_range range, struct deadline until, struct err *err)
{
    (void)until;
    enum mem_fault fault = next_fault(server_of(store), MEM_PACK_READ, name);
    if (!passes(fault, err) || !replies(fault, err))
        return false;
    LOCKED(server_of(store));
    const struct mem_pack *found = find_pack(locked, name, pack);
    if (found == NULL)
        return err_set(err, ERR_NOT_FOUND, "no such pack");
    if (range.offset > found->bytes.len || range.len > found->bytes.len - range.offset)
        return err_set(err, ERR_CORRUPT, "ends before the range");
    if (range.len > 0)
        memcpy(range.out, found->bytes.data + range.offset, range.len);
    return true;
}

static bool mem_pack_list(struct store *store, const char *name, struct deadline until,
                          pack_list_fn *each, void *arg, struct err *err)
{
    (void)until;
    struct mem_server *server = server_of(store);
    enum mem_fault fault = next_fault(server, MEM_LIST, name);
    if (!passes(fault, err) || !replies(fault, err))
        return false;
    CLEANUP(buf_fini) struct buf names = { 0 };
    CLEANUP(buf_fini) struct buf sizes = { 0 };
    server_lock(server);
    struct mem_agent *agent = find_agent(server, name, false);
    for (struct mem_pack *at = agent == NULL ? NULL : agent->packs; at != NULL; at = at->next) {
        buf_put(&names, view_of(at->pack, strlen(at->pack) + 1));
        buf_put_u64(&sizes, at->bytes.len);
    }
    server_unlock(server);
    struct cursor size = cursor_of(buf_view(&sizes), "sizes");
    for (size_t at = 0; at < names.len; at += strlen((char *)names.data + at) + 1) {
        struct pack_info info = { .pack = (char *)names.data + at };
        if (!cursor_u64(&size, "size", &info.size_bytes, err) || !each(arg, &info, err))
            return false;
    }
    return true;
}

static void pack_unlink(struct mem_pack **slot)
{
    struct mem_pack *gone = *slot;
    *slot = gone->next;
    buf_fini(&gone->bytes);
    free(gone->pack);
    free(gone);
}

static bool mem_pack_remove(struct store *store, const char *name, const char *pack,
                            struct deadline until, struct err *err)
{
    (void)until;
    struct mem_server *server = server_of(store);
    enum mem_fault fault = next_fault(server, MEM_PACK_WRITE, name);
    if (!passes(fault, err))
        return false;
    server_lock(server);
    if (find_pack(server, name, pack) != NULL)
        pack_unlink(pack_slot(find_agent(server, name, false), pack));
    server_unlock(server);
    return replies(fault, err);
}

struct mem_server *mem_server_new(void)
{
    struct mem_server *server = mem_new(struct mem_server);
    atomic_flag_clear(&server->busy);
    return server;
}

static void late_free(struct mem_late *late)
{
    free(late->name);
    buf_fini(&late->record);
    free(late);
}

void mem_server_free(struct mem_server *server)
{
    if (server == NULL)
        return;
    assert(server->handles == 0);
    for (struct mem_agent *agent; (agent = server->agents) != NULL;) {
        server->agents = agent->next;
        while (agent->packs != NULL)
            pack_unlink(&agent->packs);
        buf_fini(&agent->record);
        free(agent->name);
        free(agent);
    }
    for (struct mem_late *late; (late = server->late) != NULL;) {
        server->late = late->next;
        late_free(late);
    }
    free(server);
}

struct store *mem_server_connect(struct mem_server *server)
{
    struct mem_store *store = mem_new(struct mem_store);
    store->base.ops = &store_mem_ops;
    (void)snprintf(store->base.url, sizeof(store->base.url), "mem:");
    store->server = server;
    LOCKED(server);
    locked->handles++;
    return &store->base;
}

static bool mem_open(const struct store_url *url, const struct store_memory *memory,
                     struct store **out, struct err *err)
{
    (void)memory; /* it dies with the handle */
    if (!store_url_check(url, (const char *const[]){ NULL }, err))
        return false;
    struct mem_server *server = mem_server_new();
    server->is_private = true;
    *out = mem_server_connect(server);
    return true;
}

static void mem_close(struct store *store)
{
    struct mem_server *server = server_of(store);
    free(store);
    server_lock(server);
    assert(server->handles > 0);
    bool is_last = --server->handles == 0;
    server_unlock(server);
    if (is_last && server->is_private)
        mem_server_free(server);
}

void mem_server_script(struct mem_server *server, enum mem_op op, enum mem_fault fault,
                       unsigned count)
{
    LOCKED(server);
    locked->ops[op].fault = fault;
    locked->ops[op].left = count;
}

void mem_server_hook(struct mem_server *server, mem_hook *hook, void *arg)
{
    LOCKED(server);
    locked->hook = hook;
    locked->hook_arg = arg;
}

unsigned mem_server_deliver(struct mem_server *server)
{
    unsigned applied = 0;
    LOCKED(server);
    for (struct mem_late *late; (late = locked->late) != NULL;) {
        struct store_version ignored;
        locked->late = late->next;
        applied += swap(locked, late->name, late->is_create ? NULL : &late->expected,
                        buf_view(&late->record), &ignored);
        late_free(late);
    }
    return applied;
}

uint64_t mem_server_calls(struct mem_server *server, enum mem_op op)
{
    LOCKED(server);
    return locked->ops[op].calls;
}

static const struct pack_ops mem_packs = {
    .create = mem_pack_create,
    .put = mem_pack_put,
    .commit = mem_pack_commit,
    .abandon = mem_pack_abandon,
    .size = mem_pack_size,
    .read = mem_pack_read,
    .list = mem_pack_list,
    .remove = mem_pack_remove,
};

const struct store_ops store_mem_ops = {
    .scheme = "mem",
    .features = STORE_REGISTER | STORE_PACKS | STORE_WATCH | STORE_AGE,
    .open = mem_open,
    .close = mem_close,
    .probe = mem_probe,
    .read = mem_read,
    .write = mem_write,
    .watch = mem_watch,
    .age = mem_age,
    .list_names = mem_list_names,
    .packs = &mem_packs,
};
