#include "sidecar/crypto/keyring.h"

#include "common/base/file.h"
#include "common/base/own.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/keyring-test-XXXXXX";
static char path[64];

static void begin(void)
{
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/agent.key", dir);
}

static void end(void)
{
    struct err err = { 0 };
    cr_assert(dir_remove_tree(dir, &err));
}

TestSuite(keyring, .init = begin, .fini = end);

static void write_key(const char *text, mode_t mode)
{
    struct err err = { 0 };
    cr_assert(file_publish(AT_FDCWD, path, view_str(text), mode, FILE_REPLACE, &err));
}

static enum err_kind failure_of_open(struct err *err)
{
    struct keyring *ring = NULL;
    *err = (struct err){ 0 };
    cr_assert_not(keyring_open(path, true, &ring, err));
    cr_assert_null(ring);
    cr_assert_not_null(strstr(err->msg, path), "%s", err->msg);
    return err->kind;
}

Test(keyring, absent_file_is_made_private_once)
{
    struct err err = { 0 };
    CLEANUP(keyring_closep) struct keyring *a = NULL;
    CLEANUP(keyring_closep) struct keyring *b = NULL;
    cr_assert_not(keyring_open(path, false, &a, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert(keyring_open(path, true, &a, &err), "%s", err.msg);
    struct stat st;
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 07777, 0600);
    cr_assert(keyring_open(path, true, &b, &err), "%s", err.msg);
    cr_assert_str_eq(keyring_borrow_id(a), keyring_borrow_id(b));
}

Test(keyring, missing_parent_directory_is_made)
{
    struct err err = { 0 };
    CLEANUP(keyring_closep) struct keyring *ring = NULL;
    CLEANUP(str_freep) char *deep = str_format("%s/a/b/agent.key", dir);
    cr_assert(keyring_open(deep, true, &ring, &err), "%s", err.msg);
}

static void *open_first(void *arg)
{
    struct err err = { 0 };
    cr_assert(keyring_open(path, true, arg, &err), "%s", err.msg);
    return NULL;
}

Test(keyring, first_users_agree_on_one_key)
{
    for (int round = 0; round < 50; round++) {
        struct keyring *rings[4] = { 0 };
        pthread_t ids[4];
        for (size_t i = 0; i < 4; i++)
            cr_assert_eq(pthread_create(&ids[i], NULL, open_first, &rings[i]), 0);
        for (size_t i = 0; i < 4; i++)
            cr_assert_eq(pthread_join(ids[i], NULL), 0);
        for (size_t i = 0; i < 4; i++) {
            cr_assert_str_eq(keyring_borrow_id(rings[0]), keyring_borrow_id(rings[i]));
            if (i > 0)
                keyring_close(rings[i]);
        }
        keyring_close(rings[0]);
        cr_assert_eq(unlink(path), 0);
    }
}

Test(keyring, file_open_to_others_is_denied)
{
    struct err err = { 0 };
    CLEANUP(keyring_closep) struct keyring *ring = NULL;
    cr_assert(keyring_open(path, true, &ring, &err));
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert_eq(failure_of_open(&err), ERR_DENIED);
    cr_assert_not_null(strstr(err.msg, "0640"));
}

Test(keyring, file_of_another_user_is_denied)
{
    if (geteuid() != 0)
        cr_skip("needs root to give the file away");
    struct err err = { 0 };
    CLEANUP(keyring_closep) struct keyring *ring = NULL;
    cr_assert(keyring_open(path, true, &ring, &err));
    cr_assert_eq(chown(path, 12345, 0), 0);
    cr_assert_eq(failure_of_open(&err), ERR_DENIED);
    cr_assert_not_null(strstr(err.msg, "12345"));
}

Test(keyring, directory_and_symlink_are_refused)
{
    struct err err = { 0 };
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(failure_of_open(&err), ERR_INVALID);
    cr_assert_eq(rmdir(path), 0);
    cr_assert_eq(symlink("/etc/passwd", path), 0);
    cr_assert_eq(failure_of_open(&err), ERR_INVALID);
    cr_assert_not_null(strstr(err.msg, "symbolic link"), "%s", err.msg);
}

Test(keyring, what_we_may_not_read_or_make_is_denied)
{
    if (geteuid() != 0)
        cr_skip("needs root to become somebody else");
    struct err err = { 0 };
    CLEANUP(keyring_closep) struct keyring *ring = NULL;
    cr_assert(keyring_open(path, true, &ring, &err));
    cr_assert_eq(chmod(dir, 0755), 0);
    cr_assert_eq(seteuid(65534), 0);
    cr_expect_eq(failure_of_open(&err), ERR_DENIED, "%s", err.msg);
    cr_assert_eq(seteuid(0), 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(seteuid(65534), 0);
    cr_expect_eq(failure_of_open(&err), ERR_DENIED, "%s", err.msg);
    cr_assert_eq(seteuid(0), 0); /* for the clean-up */
}

Test(keyring, every_cut_and_foreign_file_is_corrupt_and_stays)
{
    struct err err = { 0 };
    CLEANUP(buf_fini) struct buf good = { 0 };
    CLEANUP(keyring_closep) struct keyring *ring = NULL;
    cr_assert(keyring_open(path, true, &ring, &err));
    cr_assert(file_read(AT_FDCWD, path, 1000, &good, &err));
    char text[128];
    for (size_t len = 0; len < good.len; len++) {
        memcpy(text, good.data, len);
        text[len] = '\0';
        write_key(text, 0600);
        cr_assert_eq(failure_of_open(&err), ERR_CORRUPT);
    }
    for (size_t at = 0; at + 1 < good.len; at++) {
        memcpy(text, good.data, good.len);
        text[good.len] = '\0';
        text[at] = text[at] == '7' ? '8' : '7';
        write_key(text, 0600);
        cr_assert_eq(failure_of_open(&err), ERR_CORRUPT, "byte %zu", at);
    }
    write_key("-----BEGIN PRIVATE KEY-----\n", 0600);
    cr_assert_eq(failure_of_open(&err), ERR_CORRUPT);
}

static uint8_t wrapped[KEYRING_WRAPPED_BYTES];

static struct keyring *open_ring(const char *file)
{
    struct err err = { 0 };
    struct keyring *ring = NULL;
    cr_assert(keyring_open(file, true, &ring, &err), "%s", err.msg);
    return ring;
}

Test(keyring, unwrapped_key_is_the_same_each_time)
{
    CLEANUP(keyring_closep) struct keyring *ring = open_ring(path);
    struct err err = { 0 };
    uint8_t first[CRYPTO_HASH_BYTES], second[CRYPTO_HASH_BYTES];
    keyring_wrap_new(ring, "web/1", wrapped);
    CLEANUP(agent_keys_freep) struct agent_keys *a = NULL;
    CLEANUP(agent_keys_freep) struct agent_keys *b = NULL;
    cr_assert(keyring_unwrap(ring, "web/1", view_of(wrapped, sizeof(wrapped)), &a, &err));
    cr_assert(keyring_unwrap(ring, "web/1", view_of(wrapped, sizeof(wrapped)), &b, &err));
    agent_keys_hash(a, SUBKEY_RECORD_MAC, view_str("x"), first);
    agent_keys_hash(b, SUBKEY_RECORD_MAC, view_str("x"), second);
    cr_assert_eq(memcmp(first, second, sizeof(first)), 0);
}

Test(keyring, another_key_file_is_named)
{
    CLEANUP(str_freep) char *other_path = str_format("%s/other.key", dir);
    CLEANUP(keyring_closep) struct keyring *ring = open_ring(path);
    CLEANUP(keyring_closep) struct keyring *other = open_ring(other_path);
    struct agent_keys *keys = NULL;
    struct err err = { 0 };
    keyring_wrap_new(ring, "web/1", wrapped);
    cr_assert_not(keyring_unwrap(other, "web/1", view_of(wrapped, sizeof(wrapped)), &keys, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_not_null(strstr(err.msg, keyring_borrow_id(ring)), "%s", err.msg);
    cr_assert_not_null(strstr(err.msg, keyring_borrow_id(other)), "%s", err.msg);
    cr_assert_not_null(strstr(err.msg, other_path), "%s", err.msg);
}

Test(keyring, changed_cut_or_foreign_wrapping_is_corrupt)
{
    CLEANUP(keyring_closep) struct keyring *ring = open_ring(path);
    struct agent_keys *keys = NULL;
    keyring_wrap_new(ring, "web/1", wrapped);
    for (size_t i = 0; i < sizeof(wrapped); i++) {
        struct err err = { 0 };
        wrapped[i] ^= 1;
        cr_assert_not(
            keyring_unwrap(ring, "web/1", view_of(wrapped, sizeof(wrapped)), &keys, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT);
        wrapped[i] ^= 1;
        cr_assert_not(keyring_unwrap(ring, "web/1", view_of(wrapped, i), &keys, &err));
        cr_assert_eq(err.kind, ERR_CORRUPT);
    }
    struct err err = { 0 };
    cr_assert_not(keyring_unwrap(ring, "web/2", view_of(wrapped, sizeof(wrapped)), &keys, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
}

Test(keyring, wrapped_key_says_whose_it_is)
{
    char id[KEYRING_ID_TEXT];
    struct err err = { 0 };
    CLEANUP(keyring_closep) struct keyring *ring = NULL;
    cr_assert(keyring_open(path, true, &ring, &err), "%s", err.msg);
    keyring_wrap_new(ring, "a", wrapped);
    keyring_wrapped_id(wrapped, id);
    cr_assert_str_eq(id, keyring_borrow_id(ring));
}
