#include "sidecar/lease/record_keys.h"

#include "common/base/file.h"
#include "common/base/own.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct key_dir {
    char path[64], file[96];
    struct keyring *ring;
};

static struct key_dir key_dir_new(void)
{
    struct key_dir d = { .path = "/tmp/record-keys-XXXXXX" };
    struct err err = { 0 };
    cr_assert_not_null(mkdtemp(d.path));
    (void)snprintf(d.file, sizeof(d.file), "%s/agent.key", d.path);
    cr_assert(keyring_open(d.file, true, &d.ring, &err), "%s", err.msg);
    return d;
}

static void key_dir_fini(struct key_dir *d)
{
    struct err err = { 0 };
    keyring_close(d->ring);
    cr_assert(dir_remove_tree(d->path, &err), "%s", err.msg);
}

static struct record record_for(const struct keyring *ring)
{
    struct record r = { .name = "a/b", .epoch = 1, .ttl_ms = 15000 };
    keyring_wrap_new(ring, r.name, r.wrapped_key);
    return r;
}

Test(record_keys, record_is_read_with_the_same_key_file)
{
    CLEANUP(key_dir_fini) struct key_dir d = key_dir_new();
    CLEANUP(record_keys_fini) struct record_keys writer = record_keys_of(d.ring);
    CLEANUP(record_keys_fini) struct record_keys reader = record_keys_of(d.ring);
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct record_auth w = record_keys_auth(&writer), rd = record_keys_auth(&reader);
    struct record r = record_for(d.ring), again;
    struct err err = { 0 };
    cr_assert(record_encode(&r, &w, &bytes, &err), "%s", err.msg);
    cr_assert(record_decode(buf_view(&bytes), "a/b", &rd, &again, &err), "%s", err.msg);
    cr_assert_eq(memcmp(&r, &again, sizeof(r)), 0);
}

Test(record_keys, record_of_another_key_file_is_corrupt)
{
    CLEANUP(key_dir_fini) struct key_dir mine = key_dir_new();
    CLEANUP(key_dir_fini) struct key_dir other = key_dir_new();
    CLEANUP(record_keys_fini) struct record_keys writer = record_keys_of(other.ring);
    CLEANUP(record_keys_fini) struct record_keys reader = record_keys_of(mine.ring);
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct record_auth w = record_keys_auth(&writer), rd = record_keys_auth(&reader);
    struct record r = record_for(other.ring), again;
    struct err err = { 0 };
    cr_assert(record_encode(&r, &w, &bytes, &err), "%s", err.msg);
    cr_assert_not(record_decode(buf_view(&bytes), "a/b", &rd, &again, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
}

Test(record_keys, another_data_key_is_unwrapped_anew)
{
    CLEANUP(key_dir_fini) struct key_dir d = key_dir_new();
    CLEANUP(record_keys_fini) struct record_keys rk = record_keys_of(d.ring);
    CLEANUP(buf_fini) struct buf first = { 0 };
    CLEANUP(buf_fini) struct buf second = { 0 };
    struct record_auth auth = record_keys_auth(&rk);
    struct record a = record_for(d.ring), b = record_for(d.ring), again;
    struct err err = { 0 };
    cr_assert(record_encode(&a, &auth, &first, &err));
    cr_assert(record_encode(&b, &auth, &second, &err));
    cr_assert(record_decode(buf_view(&first), "a/b", &auth, &again, &err), "%s", err.msg);
    cr_assert(record_decode(buf_view(&second), "a/b", &auth, &again, &err), "%s", err.msg);
}
