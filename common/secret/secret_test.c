#include "common/secret/secret.h"

#include "common/base/fd.h"
#include "common/base/file.h"
#include "common/base/own.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct seen {
    unsigned char bytes[64];
    size_t len;
    const unsigned char *where;
};

static bool look(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)err;
    struct seen *seen = arg;
    seen->len = len;
    seen->where = bytes;
    memcpy(seen->bytes, bytes, len < sizeof(seen->bytes) ? len : sizeof(seen->bytes));
    return true;
}

Test(secret, taken_bytes_are_inside_and_wiped_outside)
{
    char source[] = "hunter2-hunter2";
    struct err err = { 0 };
    struct seen seen = { 0 };
    CLEANUP(secret_freep) struct secret *s = secret_take_bytes(source, sizeof(source));
    cr_assert_eq(source[0], '\0');
    cr_assert_eq(source[13], '\0');
    cr_assert(secret_use(s, look, &seen, &err));
    cr_assert_eq(seen.len, sizeof(source));
    cr_assert_str_eq((char *)seen.bytes, "hunter2-hunter2");
}

/* Reading outside secret_use kills: proved in a child. */
Test(secret, bytes_are_unreadable_after_use)
{
    struct err err = { 0 };
    struct seen seen = { 0 };
    CLEANUP(secret_freep) struct secret *s = secret_random(32);
    cr_assert(secret_use(s, look, &seen, &err));
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGSEGV, SIG_DFL);
        _exit(*(const volatile unsigned char *)seen.where == 0 ? 0 : 1);
    }
    int status = 0;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFSIGNALED(status));
}

static bool use_again(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)len;
    struct seen inner = { 0 };
    cr_assert(secret_use(arg, look, &inner, err));
    return bytes[0] == inner.bytes[0]; /* still readable after the inner use */
}

Test(secret, use_inside_use_leaves_it_readable)
{
    struct err err = { 0 };
    CLEANUP(secret_freep) struct secret *s = secret_random(16);
    cr_assert(secret_use(s, use_again, s, &err));
}

static bool sum_up(const unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < len; i++)
        *(unsigned *)arg += bytes[i];
    return true;
}

static void *use_often(void *arg)
{
    for (int i = 0; i < 2000; i++) {
        unsigned sum = 0;
        struct err err = { 0 };
        cr_assert(secret_use(arg, sum_up, &sum, &err));
        cr_assert_eq(sum, 3u * 64);
    }
    return NULL;
}

Test(secret, threads_use_it_at_once)
{
    unsigned char threes[64];
    memset(threes, 3, sizeof(threes));
    CLEANUP(secret_freep) struct secret *s = secret_take_bytes(threes, sizeof(threes));
    pthread_t ids[4];
    for (size_t i = 0; i < COUNT(ids); i++)
        cr_assert_eq(pthread_create(&ids[i], NULL, use_often, s), 0);
    for (size_t i = 0; i < COUNT(ids); i++)
        cr_assert_eq(pthread_join(ids[i], NULL), 0);
}

static bool fail_to_fill(unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    (void)bytes, (void)len, (void)arg;
    return err_set(err, ERR_DENIED, "no");
}

Test(secret, failure_of_fill_and_of_use_is_returned)
{
    struct err err = { 0 };
    struct secret *s = NULL;
    cr_assert_not(secret_make(8, fail_to_fill, NULL, &s, &err));
    cr_assert_eq(err.kind, ERR_DENIED);
    cr_assert_null(s);
    cr_assert_not(secret_make(SECRET_MAX + 1, fail_to_fill, NULL, &s, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert_geq(fputs(text, file), 0);
    cr_assert_eq(fclose(file), 0);
}

static bool read_secret(const char *path, size_t max, struct secret **out, struct err *err)
{
    CLEANUP(fd_closep) struct fd file = { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) };
    cr_assert(fd_is_open(file));
    return secret_read_fd(file.raw, path, max, out, err);
}

Test(secret, file_is_read_whole_or_refused)
{
    char dir[] = "/tmp/secret-test-XXXXXX";
    cr_assert_not_null(mkdtemp(dir));
    CLEANUP(str_freep) char *path = str_format("%s/token", dir);
    CLEANUP(str_freep) char *fifo = str_format("%s/fifo", dir);
    write_file(path, "s.token");
    cr_assert_eq(mkfifo(fifo, 0600), 0);
    struct err err = { 0 };
    struct seen seen = { 0 };
    CLEANUP(secret_freep) struct secret *s = NULL;
    cr_assert(read_secret(path, 7, &s, &err), "%s", err.msg);
    cr_assert(secret_use(s, look, &seen, &err));
    cr_assert_eq(memcmp(seen.bytes, "s.token", 7), 0);
    struct secret *none = NULL;
    cr_assert_not(read_secret(path, 6, &none, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT);
    cr_assert_not(read_secret(fifo, 7, &none, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_null(strstr(err.msg, "s.token"));
    cr_assert(dir_remove_tree(dir, &err));
}

Test(secret, empty_secret_is_legal)
{
    struct err err = { 0 };
    CLEANUP(secret_freep) struct secret *empty = secret_take_bytes(NULL, 0);
    struct seen seen = { .len = 9 };
    cr_assert(secret_use(empty, look, &seen, &err));
    cr_assert_eq(seen.len, 0);
}
