#include "sidecar/store/mem.h"

#include "common/base/own.h"

#include <criterion/criterion.h>
#include <errno.h>

/* The contract suite is in tests/contract/mem_test.c; here are the faults. */

struct rig {
    struct mem_server *server;
    struct store *store;
    struct store_version version; /* of "a", which holds "one" */
};

static struct deadline soon(void) { return deadline_after(boot_now(), 10000, 0); }

static struct rig rig_new(void)
{
    struct rig r = { .server = mem_server_new() };
    struct err err = { 0 };
    r.store = mem_server_connect(r.server);
    cr_assert(store_create(r.store, "a", view_str("one"), soon(), &r.version, &err));
    return r;
}

static void rig_fini(struct rig *r)
{
    store_close(r->store);
    mem_server_free(r->server);
}
#define RIG(r) CLEANUP(rig_fini) struct rig r = rig_new()

static enum err_kind replace(struct rig *r, const char *text)
{
    struct store_version version;
    struct err err = { 0 };
    return store_replace(r->store, "a", &r->version, view_str(text), soon(), &version, &err)
               ? ERR_NONE
               : err.kind;
}

static void expect(struct rig *r, const char *text)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err err = { 0 };
    cr_assert(store_read(r->store, "a", soon(), &bytes, &r->version, &err), "%s", err.msg);
    cr_assert_str_eq(buf_borrow_str(&bytes), text);
}

Test(mem, each_fault_of_a_write_does_what_it_says)
{
    static const struct {
        enum mem_fault fault;
        enum err_kind kind;
        const char *then;
    } rows[] = {
        { MEM_OK, ERR_NONE, "two" },
        { MEM_LOSE_REQUEST, ERR_UNAVAILABLE, "one" },
        { MEM_LOSE_REPLY, ERR_UNAVAILABLE, "two" },
        { MEM_LATE, ERR_UNAVAILABLE, "one" },
        { MEM_CONFLICT, ERR_CONFLICT, "one" },
        { MEM_DENIED, ERR_DENIED, "one" },
        { MEM_FULL, ERR_SYSTEM, "one" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        RIG(r);
        mem_server_script(r.server, MEM_WRITE, rows[i].fault, 1);
        cr_assert_eq(replace(&r, "two"), rows[i].kind, "fault %d", (int)rows[i].fault);
        expect(&r, rows[i].then);
        cr_assert_eq(replace(&r, "three"), ERR_NONE, "the script is over");
    }
}

Test(mem, late_write_arrives_when_delivered)
{
    RIG(r);
    mem_server_script(r.server, MEM_WRITE, MEM_LATE, 1);
    cr_assert_eq(replace(&r, "two"), ERR_UNAVAILABLE);
    cr_assert_eq(mem_server_deliver(r.server), 1);
    expect(&r, "two");
    cr_assert_eq(mem_server_deliver(r.server), 0);
}

Test(mem, late_write_whose_version_is_gone_changes_nothing)
{
    RIG(r);
    mem_server_script(r.server, MEM_WRITE, MEM_LATE, 1);
    cr_assert_eq(replace(&r, "two"), ERR_UNAVAILABLE);
    cr_assert_eq(replace(&r, "three"), ERR_NONE);
    cr_assert_eq(mem_server_deliver(r.server), 0);
    expect(&r, "three");
}

static enum mem_fault count_and_deny(void *arg, enum mem_op op, const char *name)
{
    unsigned *calls = arg;
    *calls += op == MEM_READ && strcmp(name, "a") == 0;
    return MEM_DENIED;
}

Test(mem, hook_decides_what_no_script_covers)
{
    RIG(r);
    unsigned calls = 0;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct err err = { 0 };
    mem_server_hook(r.server, count_and_deny, &calls);
    mem_server_script(r.server, MEM_READ, MEM_OK, 1);
    expect(&r, "one");
    cr_assert_eq(calls, 0);
    cr_assert_not(store_read(r.store, "a", soon(), &bytes, &r.version, &err));
    cr_assert_eq(err.kind, ERR_DENIED);
    cr_assert_eq(calls, 1);
    mem_server_hook(r.server, NULL, NULL);
    expect(&r, "one");
    cr_assert_eq(mem_server_calls(r.server, MEM_READ), 3);
    cr_assert_eq(mem_server_calls(r.server, MEM_WRITE), 1);
}

Test(mem, full_store_fails_the_pack_with_the_errno)
{
    RIG(r);
    struct pack_writer *w = NULL;
    struct err err = { 0 };
    cr_assert(store_pack_create(r.store, "a", "p", soon(), &w, &err));
    mem_server_script(r.server, MEM_PACK_WRITE, MEM_FULL, 1);
    cr_assert_not(pack_put(w, view_str("x"), soon(), &err));
    cr_assert_eq(err.kind, ERR_SYSTEM);
    cr_assert_eq(err.os_errno, ENOSPC);
    pack_abandon(w);
}

Test(mem, lost_reply_of_a_commit_leaves_the_pack)
{
    RIG(r);
    struct pack_writer *w = NULL;
    struct err err = { 0 };
    uint64_t size;
    cr_assert(store_pack_create(r.store, "a", "p", soon(), &w, &err));
    cr_assert(pack_put(w, view_str("xyz"), soon(), &err));
    mem_server_script(r.server, MEM_PACK_WRITE, MEM_LOSE_REPLY, 1);
    cr_assert_not(pack_commit(&w, soon(), &err));
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
    cr_assert_null(w);
    cr_assert(store_pack_size(r.store, "a", "p", soon(), &size, &err));
    cr_assert_eq(size, 3);
}
