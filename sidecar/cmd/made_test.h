/* made_test.h - a store with one agent and one checkpoint, for the tests of the commands. */
#pragma once
#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"
#include "sidecar/checkpoint/checkpoint.h"
#include "sidecar/cmd/args.h"
#include "sidecar/crypto/keyring.h"
#include "sidecar/lease/record_keys.h"
#include "sidecar/store/store.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MADE_NAME "test/agent"

struct made {
    char root[32], url[96], key[64], tree[64], out[64], id[PACK_ID_TEXT];
};

/* Long enough for every call here. */
static inline struct deadline made_until(void) { return deadline_after(boot_now(), 20000, 0); }

/* One file, saved; the record names it. */
static inline void made_checkpoint(struct made *m, struct store *store,
                                   const struct agent_keys *keys, struct record *record)
{
    struct err err;
    struct checkpoint_result result;
    CLEANUP(checkpoint_freep) struct checkpoint *cp = NULL;
    CLEANUP(str_freep) char *file = str_format("%s/notes.txt", m->tree);
    const struct checkpoint_spec spec = {
        .source = { store, MADE_NAME, keys, 0, record->wrapped_key }, .root = m->tree, .epoch = 1
    };
    const struct checkpoint_request request = { .reason = "test", .until = made_until() };
    cr_assert(dir_make(m->tree, 0700, &err) &&
              file_publish(AT_FDCWD, file, view_str("kept words"), 0640, FILE_REPLACE, &err));
    cr_assert(checkpoint_new(&spec, &cp, &err) && checkpoint_take(cp, &request, &result, &err),
              "%s", err.msg);
    checkpoint_committed(cp);
    record->has_head = true;
    record->head.sequence = result.sequence;
    record->head.epoch = 1;
    record->head.wall_ms = result.wall_ms;
    (void)snprintf(record->head.id, sizeof record->head.id, "%s", result.id);
    (void)snprintf(m->id, sizeof m->id, "%s", result.id);
}

/* A released record of epoch 1, with a head when `has_checkpoint`. */
static inline void made_make(struct made *m, bool has_checkpoint)
{
    struct err err;
    struct record record = { .epoch = 1, .renewals = 1, .ttl_ms = 15000, .released = true };
    (void)snprintf(m->root, sizeof m->root, "/tmp/cmd-test-XXXXXX");
    cr_assert_not_null(mkdtemp(m->root));
    (void)snprintf(m->url, sizeof m->url, "file://%s/store?create=true", m->root);
    (void)snprintf(m->key, sizeof m->key, "%s/key", m->root);
    (void)snprintf(m->tree, sizeof m->tree, "%s/tree", m->root);
    (void)snprintf(m->out, sizeof m->out, "%s/out", m->root);
    CLEANUP(store_closep) struct store *store = NULL;
    CLEANUP(keyring_closep) struct keyring *keyring = NULL;
    CLEANUP(agent_keys_freep) struct agent_keys *keys = NULL;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert(store_open(m->url, NULL, &store, &err) && keyring_open(m->key, true, &keyring, &err),
              "%s", err.msg);
    (void)snprintf(record.name, sizeof record.name, MADE_NAME);
    (void)snprintf(record.holder.node, sizeof record.holder.node, "node-1");
    keyring_wrap_new(keyring, MADE_NAME, record.wrapped_key);
    cr_assert(keyring_unwrap(keyring, MADE_NAME,
                             view_of(record.wrapped_key, sizeof record.wrapped_key), &keys, &err));
    if (has_checkpoint)
        made_checkpoint(m, store, keys, &record);
    struct record_keys rk = record_keys_of(keyring);
    struct record_auth auth = record_keys_auth(&rk);
    struct store_version version;
    cr_assert(record_encode(&record, &auth, &bytes, &err) &&
                  store_create(store, MADE_NAME, buf_view(&bytes), made_until(), &version, &err),
              "%s", err.msg);
    record_keys_fini(&rk);
}

/* Everything of it. */
static inline void made_remove(struct made *m)
{
    struct err err;
    cr_assert(dir_remove_tree(m->root, &err), "%s", err.msg);
}

/* The options that name the agent. */
static inline struct args made_args(const struct made *m)
{
    return (struct args){ .store = m->url, .name = MADE_NAME, .key_file = m->key };
}

static inline char *made_record(const struct made *m)
{
    return str_format("%s/store/agents/test%%2Fagent/record", m->root);
}

/* The packs stay. */
static inline void made_forget_record(const struct made *m)
{
    CLEANUP(str_freep) char *path = made_record(m);
    cr_assert_eq(unlink(path), 0, "%s", path);
}

/* One digit of its tag. */
static inline void made_damage_record(const struct made *m)
{
    struct err err;
    CLEANUP(str_freep) char *path = made_record(m);
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    cr_assert(file_read(AT_FDCWD, path, 32768, &bytes, &err), "%s", err.msg);
    size_t len = strnlen((const char *)bytes.data, bytes.len); /* zero bytes follow */
    uint8_t *digit = &bytes.data[len - 3];
    *digit = *digit == '0' ? '1' : '0';
    cr_assert(file_publish(AT_FDCWD, path, buf_view(&bytes), 0600, FILE_REPLACE, &err));
}

/* Flips a bit every 16 bytes of the checkpoint's pack, wherever it lies below `path`. */
static inline void made_damage(const struct made *m, const char *path)
{
    DIR *dir = opendir(path);
    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        CLEANUP(str_freep) char *below = str_format("%s/%s", path, e->d_name);
        if (e->d_type == DT_DIR && e->d_name[0] != '.')
            made_damage(m, below);
        if (e->d_type != DT_REG || strncmp(e->d_name, m->id, strlen(m->id)) != 0)
            continue;
        cr_assert_eq(chmod(below, 0600), 0);
        CLEANUP(fd_closep) struct fd fd = { open(below, O_RDWR | O_CLOEXEC) };
        char byte;
        for (off_t at = 0; pread(fd.raw, &byte, 1, at) == 1; at += 16) {
            byte ^= 1;
            cr_assert_eq(pwrite(fd.raw, &byte, 1, at), 1);
        }
    }
    if (dir != NULL)
        (void)closedir(dir);
}

/* Runs a command with stdout into a file; returns what it returned, `text` is what it printed. */
static inline bool made_run(const struct made *m, bool (*run)(const struct args *, struct err *),
                            const struct args *args, char text[8192], struct err *err)
{
    struct err why;
    CLEANUP(buf_fini) struct buf printed = { 0 };
    CLEANUP(str_freep) char *path = str_format("%s/stdout", m->root);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert(fd >= 0 && dup2(fd, STDOUT_FILENO) == STDOUT_FILENO);
    close(fd);
    bool ok = run(args, err);
    cr_assert(file_read(AT_FDCWD, path, 8191, &printed, &why), "%s", why.msg);
    memcpy(text, buf_borrow_str(&printed), printed.len + 1);
    return ok;
}
