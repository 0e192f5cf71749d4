#include "common/base/own.h"
#include "tests/contract/place.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>

static struct pack_writer *begin(struct store *s, const char *name, const char *pack)
{
    struct pack_writer *w;
    struct err err = { 0 };
    MUST(store_pack_create(s, name, pack, soon(), &w, &err), "%s", err.msg);
    return w;
}

static void put(struct pack_writer *w, const char *text)
{
    struct err err = { 0 };
    MUST(pack_put(w, view_str(text), soon(), &err), "%s", err.msg);
}

static void commit(struct pack_writer *w)
{
    struct err err = { 0 };
    MUST(pack_commit(&w, soon(), &err), "%s", err.msg);
    MUST(w == NULL);
}

static void store_pack(struct store *s, const char *name, const char *pack, const char *text)
{
    struct pack_writer *w = begin(s, name, pack);
    put(w, text);
    commit(w);
}

static void expect_pack(struct store *s, const char *name, const char *pack, const char *text)
{
    uint64_t size = 0;
    struct err err = { 0 };
    MUST(store_pack_size(s, name, pack, soon(), &size, &err), "%s", err.msg);
    MUST(size == strlen(text));
    CLEANUP(str_freep) char *got = mem_array(size + 1, 1);
    struct pack_range all = { 0, size, (uint8_t *)got };
    MUST(store_pack_read(s, name, pack, all, soon(), &err), "%s", err.msg);
    MUST(strcmp(got, text) == 0);
}

static void expect_no_pack(struct store *s, const char *name, const char *pack)
{
    uint64_t size;
    uint8_t byte;
    struct err err = { 0 };
    expect_fail(store_pack_size(s, name, pack, soon(), &size, &err), &err, ERR_NOT_FOUND);
    struct pack_range one = { 0, 1, &byte };
    expect_fail(store_pack_read(s, name, pack, one, soon(), &err), &err, ERR_NOT_FOUND);
}

/* Appends "name=size;" for each pack or name. */
static bool note_pack(void *arg, const struct pack_info *info, struct err *err)
{
    (void)err;
    buf_put_fmt(arg, "%s=%llu;", info->pack, (unsigned long long)info->size_bytes);
    return true;
}

static bool note_name(void *arg, const char *name, struct err *err)
{
    (void)err;
    buf_put_fmt(arg, "%s;", name);
    return true;
}

static void expect_list(struct store *s, const char *name, const char *text)
{
    CLEANUP(buf_fini) struct buf seen = { 0 };
    struct err err = { 0 };
    MUST(store_pack_list(s, name, soon(), note_pack, &seen, &err), "%s", err.msg);
    MUST(strcmp(buf_borrow_str(&seen), text) == 0);
}

bool contract_committed_pack_is_read_back(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    struct pack_writer *w = begin(p.store, "eu/planner/0", "pack-1.x");
    put(w, "hello ");
    put(w, "");
    put(w, "world");
    commit(w);
    expect_pack(p.store, "eu/planner/0", "pack-1.x", "hello world");
    char part[4] = "";
    struct err err = { 0 };
    struct pack_range range = { 6, 3, (uint8_t *)part };
    MUST(store_pack_read(p.store, "eu/planner/0", "pack-1.x", range, soon(), &err));
    MUST(strcmp(part, "wor") == 0);
    return true;
}

bool contract_pack_is_invisible_before_commit(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    struct pack_writer *w = begin(p.store, "a", "p");
    put(w, "bytes");
    expect_no_pack(p.store, "a", "p");
    expect_list(p.store, "a", "");
    commit(w);
    expect_list(p.store, "a", "p=5;");
    return true;
}

bool contract_abandoned_pack_never_appears(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    struct pack_writer *w = begin(p.store, "a", "p");
    put(w, "bytes");
    pack_abandon(w);
    expect_no_pack(p.store, "a", "p");
    expect_list(p.store, "a", "");
    store_pack(p.store, "a", "p", "again");
    expect_pack(p.store, "a", "p", "again");
    return true;
}

bool contract_second_commit_of_a_pack_conflicts(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    store_pack(p.store, "a", "p", "first");
    struct pack_writer *w = begin(p.store, "a", "p");
    put(w, "second");
    struct err err = { 0 };
    expect_fail(pack_commit(&w, soon(), &err), &err, ERR_CONFLICT);
    MUST(w == NULL);
    expect_pack(p.store, "a", "p", "first");
    return true;
}

bool contract_absent_pack_is_not_found(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    expect_no_pack(p.store, "a", "p");
    store_pack(p.store, "a", "p", "x");
    expect_no_pack(p.store, "a", "q");
    expect_no_pack(p.store, "b", "p");
    return true;
}

bool contract_range_past_the_end_is_corrupt(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    static const struct {
        uint64_t offset;
        size_t len;
    } rows[] = { { 0, 6 }, { 5, 1 }, { 6, 0 }, { UINT64_MAX, 2 }, { UINT64_MAX - 1, 5 } };
    uint8_t out[8];
    store_pack(p.store, "a", "p", "12345");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct err err = { 0 };
        struct pack_range range = { rows[i].offset, rows[i].len, out };
        expect_fail(store_pack_read(p.store, "a", "p", range, soon(), &err), &err, ERR_CORRUPT);
    }
    return true;
}

bool contract_empty_pack_is_a_pack(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    commit(begin(p.store, "a", "p"));
    expect_pack(p.store, "a", "p", "");
    expect_list(p.store, "a", "p=0;");
    return true;
}

bool contract_list_shows_all_packs_in_order(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    CLEANUP(buf_fini) struct buf want = { 0 };
    for (int i = 0; i < 1100; i++)
        buf_put_fmt(&want, "p%04d=0;", i);
    for (int i = 0; i < 1100; i++) { /* 367 and 1100 have no common divisor: all, out of order */
        char pack[32];
        (void)snprintf(pack, sizeof(pack), "p%04d", i * 367 % 1100);
        commit(begin(p.store, "a", pack));
    }
    store_pack(p.store, "b", "other", "x");
    expect_list(p.store, "a", buf_borrow_str(&want));
    expect_list(p.store, "none", "");
    return true;
}

static bool stop_at_second(void *arg, const struct pack_info *info, struct err *err)
{
    int *left = arg;
    return --*left > 0 || err_set(err, ERR_FENCED, "stopped at \"%s\"", info->pack);
}

bool contract_list_stops_with_the_callers_error(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    struct err err = { 0 };
    int left = 2;
    for (int i = 0; i < 3; i++)
        store_pack(p.store, "a", (const char[]){ (char)('p' + i), '\0' }, "x");
    expect_fail(store_pack_list(p.store, "a", soon(), stop_at_second, &left, &err), &err,
                ERR_FENCED);
    MUST(left == 0);
    return true;
}

bool contract_removed_pack_is_gone_and_may_come_back(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    struct err err = { 0 };
    MUST(store_pack_remove(p.store, "a", "p", soon(), &err), "%s", err.msg);
    store_pack(p.store, "a", "p", "one");
    store_pack(p.store, "a", "q", "two");
    MUST(store_pack_remove(p.store, "a", "p", soon(), &err), "%s", err.msg);
    MUST(store_pack_remove(p.store, "a", "p", soon(), &err), "%s", err.msg);
    expect_no_pack(p.store, "a", "p");
    expect_list(p.store, "a", "q=3;");
    store_pack(p.store, "a", "p", "three");
    expect_pack(p.store, "a", "p", "three");
    return true;
}

bool contract_two_writers_do_not_mix(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    CLEANUP(store_closep) struct store *other = b->connect(p.raw);
    struct pack_writer *first = begin(p.store, "a", "p"), *second = begin(other, "a", "q");
    put(first, "1");
    put(second, "22");
    put(first, "1");
    put(second, "22");
    commit(second);
    commit(first);
    expect_pack(p.store, "a", "p", "11");
    expect_pack(p.store, "a", "q", "2222");
    return true;
}

bool contract_names_are_listed_in_order(const struct contract_store *b)
{
    PLACE(b);
    CLEANUP(buf_fini) struct buf seen = { 0 };
    CLEANUP(buf_fini) struct buf want = { 0 };
    char longest[STORE_NAME_MAX + 1] = "";
    struct err err = { 0 };
    memset(longest, '~', STORE_NAME_MAX);
    MUST(store_list_names(p.store, soon(), note_name, &seen, &err), "%s", err.msg);
    MUST(seen.len == 0);
    (void)create(p.store, "b/c", "x");
    (void)create(p.store, longest, "x");
    (void)create(p.store, "b", "x");
    (void)create(p.store, "a+", "x");
    if ((b->features & STORE_PACKS) != 0)
        store_pack(p.store, "b/a", "p", "x");
    buf_put_fmt(&want, "a+;b;%sb/c;%s;", (b->features & STORE_PACKS) != 0 ? "b/a;" : "", longest);
    MUST(store_list_names(p.store, soon(), note_name, &seen, &err), "%s", err.msg);
    MUST(strcmp(buf_borrow_str(&seen), buf_borrow_str(&want)) == 0);
    return true;
}

bool contract_handles_share_the_place(const struct contract_store *b)
{
    PLACE(b);
    CLEANUP(store_closep) struct store *other = b->connect(p.raw);
    struct store_version v = create(p.store, "a", "one");
    (void)replace(other, "a", expect(other, "a", "one"), "two");
    struct store_version ignored;
    struct err err = { 0 };
    expect_fail(store_replace(p.store, "a", &v, view_str("x"), soon(), &ignored, &err), &err,
                ERR_CONFLICT);
    return true;
}

static void *write_packs(void *arg)
{
    const struct place *p = arg;
    CLEANUP(store_closep) struct store *mine = p->b->connect(p->raw);
    for (int i = 0; i < 50; i++) {
        char pack[32];
        (void)snprintf(pack, sizeof(pack), "p%02d", i);
        store_pack(mine, "a", pack, pack);
    }
    return NULL;
}

bool contract_record_and_packs_at_the_same_instant(const struct contract_store *b)
{
    NEEDS(b, STORE_PACKS);
    PLACE(b);
    pthread_t thread;
    MUST(pthread_create(&thread, NULL, write_packs, &p) == 0);
    struct store_version v = create(p.store, "a", "0");
    for (int i = 0; i < 50; i++)
        v = replace(p.store, "a", v, "n");
    pthread_join(thread, NULL);
    (void)expect(p.store, "a", "n");
    expect_pack(p.store, "a", "p49", "p49");
    return true;
}

static int count_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    MUST(dir != NULL);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

bool contract_no_descriptor_stays_open(const struct contract_store *b)
{
    PLACE(b);
    struct store_version v = create(p.store, "a", "one"), ignored;
    struct err err = { 0 };
    uint64_t size;
    int before = count_descriptors();
    for (int i = 0; i < 20; i++) {
        v = replace(p.store, "a", v, "two");
        expect_fail(store_create(p.store, "a", view_str("x"), soon(), &ignored, &err), &err,
                    ERR_CONFLICT);
        if ((b->features & STORE_WATCH) != 0)
            MUST(store_watch(p.store, "a", &v, deadline_after(boot_now(), 1, 0), &err));
        if ((b->features & STORE_PACKS) == 0)
            continue;
        pack_abandon(begin(p.store, "a", "p"));
        MUST_NOT(store_pack_size(p.store, "a", "p", soon(), &size, &err));
        expect_list(p.store, "a", "");
    }
    MUST(count_descriptors() == before);
    return true;
}
