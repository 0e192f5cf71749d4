/* fixture_test.h - for the tests of this room: a state directory, a store, an agent's keys.
 *
 * Everything lies in one fresh directory below /tmp (or FIXTURE_DIR), removed at the end. */
#pragma once
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "common/secret/secret.h"
#include "sidecar/checkpoint/checkpoint.h"
#include "sidecar/checkpoint/compare_test.h"
#include "sidecar/checkpoint/verify.h"
#include "sidecar/store/mem.h"

#define FIXTURE_NAME "prod/web/1"

struct fixture {
    char dir[64];
    char state[96];
    char out[96]; /* where restores go */
    struct store *store;
    struct agent_keys *keys;
    uint8_t wrapped_key[KEYRING_WRAPPED_BYTES]; /* of no key file */
    struct checkpoint *cp;
    char head[PACK_ID_TEXT]; /* committed; empty: none */
    struct checkpoint_result last;
};

static inline struct deadline fixture_soon(void) { return deadline_after(boot_now(), 60000, 0); }

static inline struct agent_keys *fixture_keys(uint8_t first)
{
    uint8_t bytes[32];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(first + i);
    struct secret *key = secret_take_bytes(bytes, sizeof(bytes));
    struct agent_keys *keys = agent_keys_new(key);
    secret_free(key);
    return keys;
}

static inline struct checkpoint_source fixture_source(const struct fixture *f)
{
    return (struct checkpoint_source){ f->store, FIXTURE_NAME, f->keys, 2, f->wrapped_key };
}

static inline void fixture_open(struct fixture *f, const char *const *exclude, size_t count)
{
    struct err err = { 0 };
    struct checkpoint_spec spec = { .source = fixture_source(f),
                                    .root = f->state,
                                    .exclude = exclude,
                                    .exclude_count = count,
                                    .epoch = 7 };
    cr_assert(checkpoint_new(&spec, &f->cp, &err), "%s", err.msg);
    struct restore_report report;
    if (f->head[0] != '\0')
        cr_assert(checkpoint_restore_into(f->cp, f->head, NULL, fixture_soon(), &report, &err),
                  "%s", err.msg);
}

static inline void fixture_begin_at(struct fixture *f, const char *base, const char *store_url)
{
    struct err err = { 0 };
    *f = (struct fixture){ 0 };
    (void)snprintf(f->dir, sizeof(f->dir), "%s/checkpoint-test-XXXXXX", base);
    cr_assert_not_null(mkdtemp(f->dir));
    (void)snprintf(f->state, sizeof(f->state), "%s/state", f->dir);
    (void)snprintf(f->out, sizeof(f->out), "%s/out", f->dir);
    cr_assert_eq(mkdir(f->state, 0755), 0);
    CLEANUP(str_freep) char *url = str_format("file://%s/store?create=true", f->dir);
    cr_assert(store_open(store_url != NULL ? store_url : url, NULL, &f->store, &err), "%s",
              err.msg);
    f->keys = fixture_keys(0);
}

static inline void fixture_begin(struct fixture *f)
{
    fixture_begin_at(f, "/tmp", NULL);
    fixture_open(f, NULL, 0);
}

static inline void fixture_end(struct fixture *f)
{
    struct err err = { 0 };
    checkpoint_free(f->cp);
    store_close(f->store);
    agent_keys_free(f->keys);
    cr_assert(dir_remove_tree(f->dir, &err), "%s", err.msg);
}

static inline bool fixture_try(struct fixture *f, const struct cut_ops *cut, struct err *err)
{
    struct checkpoint_request request = { .reason = "test", .cut = cut, .until = fixture_soon() };
    return checkpoint_take(f->cp, &request, &f->last, err);
}

/* Takes and commits; true when something changed. */
static inline bool fixture_save(struct fixture *f)
{
    struct err err = { 0 };
    cr_assert(fixture_try(f, NULL, &err), "%s", err.msg);
    if (!f->last.is_changed) {
        cr_assert_str_eq(f->last.id, f->head);
        return false;
    }
    checkpoint_committed(f->cp);
    memcpy(f->head, f->last.id, sizeof(f->head));
    return true;
}

static inline bool fixture_restore_to(struct fixture *f, const char *id, const char *target,
                                      struct restore_report *report, struct err *err)
{
    struct checkpoint_source source = fixture_source(f);
    struct restore_spec spec = { .id = id, .target = target, .until = fixture_soon() };
    return checkpoint_restore(&source, &spec, report, err);
}

static inline void fixture_write(const struct fixture *f, const char *name, const void *bytes,
                                 size_t len)
{
    struct err err = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/%s", f->state, name);
    CLEANUP(fd_closep)
    struct fd fd = { open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644) };
    cr_assert_geq(fd.raw, 0, "%s", path);
    cr_assert(fd_write_all(fd.raw, bytes, len, &err));
}

static inline void fixture_append(const struct fixture *f, const char *name, const char *text)
{
    struct err err = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/%s", f->state, name);
    CLEANUP(fd_closep) struct fd fd = { open(path, O_WRONLY | O_APPEND | O_CLOEXEC) };
    cr_assert_geq(fd.raw, 0, "%s", path);
    cr_assert(fd_write_all(fd.raw, text, strlen(text), &err));
}

/* Bytes that do not compress, from a small generator. */
static inline uint64_t fixture_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static inline void fixture_noise(uint8_t *bytes, size_t len, uint64_t seed)
{
    uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(fixture_random(&state) >> 32);
}

static inline void fixture_write_noise(const struct fixture *f, const char *name, size_t len,
                                       uint64_t seed)
{
    uint8_t *bytes = mem_array(len + 1, 1);
    fixture_noise(bytes, len, seed);
    fixture_write(f, name, bytes, len);
    free(bytes);
}
