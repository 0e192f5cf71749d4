#include "sidecar/store/store.h"

#include "common/base/own.h"
#include "sidecar/store/mem.h"

#include <criterion/criterion.h>

Test(store, scheme_chooses_the_backend)
{
    CLEANUP(store_closep) struct store *file = NULL;
    CLEANUP(store_closep) struct store *mem = NULL;
    struct err err = { 0 };
    cr_assert(store_open("file:///nowhere/at/all", NULL, &file, &err), "%s", err.msg);
    cr_assert_str_eq(store_borrow_url(file), "file:///nowhere/at/all");
    cr_assert(store_has(file, STORE_REGISTER | STORE_PACKS));
    cr_assert_not(store_has(file, STORE_REGISTER | STORE_AGE));
    cr_assert(store_open("mem:", NULL, &mem, &err), "%s", err.msg);
    cr_assert(store_probe(mem, deadline_after(boot_now(), 1000, 0), &err), "%s", err.msg);
}

Test(store, url_that_no_backend_takes_is_invalid)
{
    static const char *const urls[] = { "ftp://x",
                                        "file://relative",
                                        "file:",
                                        "mem:?x=1",
                                        "file:///x?create=yes",
                                        "file:///x?created=true",
                                        "file:///x?id=0",
                                        "file:///x?create=true&id=00000000000000000000000000000000",
                                        "" };
    for (size_t i = 0; i < COUNT(urls); i++) {
        struct store *store = NULL;
        struct err err = { 0 };
        cr_assert_not(store_open(urls[i], NULL, &store, &err), "%s", urls[i]);
        cr_assert_eq(err.kind, ERR_INVALID, "%s", err.msg);
        cr_assert_null(store);
    }
}

Test(store, feature_that_is_missing_is_invalid)
{
    CLEANUP(store_closep) struct store *file = NULL;
    struct err err = { 0 };
    int64_t age_ms;
    cr_assert(store_open("file:///nowhere", NULL, &file, &err));
    cr_assert_not(store_age(file, "a", deadline_after(boot_now(), 1000, 0), &age_ms, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(store, failure_names_call_and_agent)
{
    CLEANUP(store_closep) struct store *file = NULL;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct store_version version;
    struct err err = { 0 };
    cr_assert(store_open("file:///nowhere", NULL, &file, &err));
    cr_assert_not(
        store_read(file, "eu/a", deadline_after(boot_now(), 1000, 0), &bytes, &version, &err));
    cr_assert_eq(err.kind, ERR_UNAVAILABLE);
    cr_assert_not_null(strstr(err.msg, "read record \"eu/a\""), "%s", err.msg);
    cr_assert_not_null(strstr(err.msg, "/nowhere"), "%s", err.msg);
    store_close(NULL);
    pack_abandon(NULL);
}

/* An operator reads it in a task event: which store, and what refused. */
Test(store, what_fails_says_where)
{
    struct err err = { 0 };
    struct store_version version = { .text = "1" };
    struct pack_writer *writer = NULL;
    struct mem_server *server = mem_server_new();
    CLEANUP(store_closep) struct store *store = mem_server_connect(server);
    const struct deadline until = deadline_after(boot_now(), 10000, 0);
    cr_assert_not(store_replace(store, "a", &version, view_str("x"), until, &version, &err));
    cr_assert_str_eq(err.msg, "replace record \"a\": store \"mem:\": another version");
    cr_assert(store_pack_create(store, "a", "p", until, &writer, &err), "%s", err.msg);
    mem_server_script(server, MEM_PACK_WRITE, MEM_FULL, 1);
    cr_assert_not(pack_put(writer, view_str("x"), until, &err));
    cr_assert_str_eq(err.msg, "write pack: store \"mem:\": write: No space left on device");
    pack_abandon(writer);
    store_close(STEAL(store));
    mem_server_free(server);
}

Test(store, path_with_nothing_at_it_says_how_a_store_is_made)
{
    struct err err = { 0 };
    CLEANUP(store_closep) struct store *store = NULL;
    CLEANUP(store_closep) struct store *maker = NULL;
    const struct deadline until = deadline_after(boot_now(), 10000, 0);
    cr_assert(store_open("file:///proc/x", NULL, &store, &err), "%s", err.msg);
    cr_assert_not(store_pack_list(store, "a", until, NULL, NULL, &err));
    cr_assert_str_eq(err.msg, "list packs \"a\": store \"/proc/x\": open: No such file or "
                              "directory; for a new store add ?create=true");
    cr_assert(store_open("file:///proc/x?create=true", NULL, &maker, &err), "%s", err.msg);
    cr_assert_not(store_probe(maker, until, &err));
    cr_assert_null(strstr(err.msg, "add ?create"), "%s", err.msg);
}
