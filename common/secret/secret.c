#include "common/secret/secret.h"

#include "common/base/fd.h"
#include "common/base/own.h"

#include <sodium.h>

#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>

#define SECRET_MAGIC 0x73656372u
#define CHANGING     (-1) /* somebody is in mprotect */

struct secret {
    unsigned magic;
    size_t len;
    unsigned char *bytes; /* between guard pages; readable while users > 0 */
    atomic_int users;     /* or CHANGING */
};

/* Writable until `seal_away`. */
static struct secret *secret_new(size_t len)
{
    assert(len <= SECRET_MAX);
    int ready = sodium_init();
    assert(ready >= 0);
    struct secret *s = mem_new(struct secret);
    *s = (struct secret){ .magic = SECRET_MAGIC,
                          .len = len,
                          .bytes = sodium_malloc(len ? len : 1) };
    if (s->bytes == NULL)
        abort();
    return s;
}

static struct secret *seal_away(struct secret *s)
{
    (void)sodium_mprotect_noaccess(s->bytes);
    return s;
}

struct secret *secret_random(size_t len)
{
    struct secret *s = secret_new(len);
    randombytes_buf(s->bytes, len);
    return seal_away(s);
}

struct secret *secret_take_bytes(void *bytes, size_t len)
{
    struct secret *s = secret_new(len);
    if (len > 0) {
        memcpy(s->bytes, bytes, len);
        sodium_memzero(bytes, len);
    }
    return seal_away(s);
}

bool secret_make(size_t len, secret_fill_fn *fill, void *arg, struct secret **out, struct err *err)
{
    if (len > SECRET_MAX)
        return err_set(err, ERR_INVALID, "keep a secret of %zu bytes: more than %zu", len,
                       SECRET_MAX);
    CLEANUP(secret_freep) struct secret *s = secret_new(len);
    memset(s->bytes, 0, len);
    if (!fill(s->bytes, len, arg, err))
        return false;
    *out = seal_away(STEAL(s));
    return true;
}

struct file_source {
    int fd;
    const char *path;
};

static bool fill_from_file(unsigned char *bytes, size_t len, void *arg, struct err *err)
{
    const struct file_source *from = arg;
    size_t got, more = 0;
    unsigned char next;
    if (!fd_read_full(from->fd, bytes, len, &got, err) ||
        (got == len && !fd_read_full(from->fd, &next, 1, &more, err)))
        return err_wrap(err, "read \"%s\"", from->path);
    sodium_memzero(&next, sizeof(next));
    if (got != len || more != 0)
        return err_set(err, ERR_CORRUPT, "read \"%s\": its size changed meanwhile", from->path);
    return true;
}

bool secret_read_fd(int fd, const char *path, size_t max, struct secret **out, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, errno, "stat \"%s\"", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, ERR_INVALID, "read \"%s\": not a regular file", path);
    if (st.st_size < 0 || (uint64_t)st.st_size > max || max > SECRET_MAX)
        return err_set(err, ERR_CORRUPT, "read \"%s\": more than %zu bytes", path, max);
    struct file_source from = { fd, path };
    return secret_make((size_t)st.st_size, fill_from_file, &from, out, err);
}

/* Moves `users` by one; the first and the last change what the page allows. Two threads meet here
 * only for the length of an mprotect. */
static void count_user(struct secret *s, int step, int (*change)(void *), int closed_at)
{
    for (;;) {
        int users = atomic_load(&s->users);
        if (users == CHANGING) {
            (void)sched_yield();
            continue;
        }
        bool is_edge = users == closed_at;
        if (!atomic_compare_exchange_weak(&s->users, &users, is_edge ? CHANGING : users + step))
            continue;
        if (!is_edge)
            return;
        int changed = change(s->bytes);
        assert(changed == 0);
        atomic_store(&s->users, users + step);
        return;
    }
}

bool secret_use(const struct secret *s, secret_use_fn *use, void *arg, struct err *err)
{
    assert(s->magic == SECRET_MAGIC);
    struct secret *counted = (struct secret *)(uintptr_t)s; /* the count is not the content */
    count_user(counted, +1, sodium_mprotect_readonly, 0);
    bool good = use(s->bytes, s->len, arg, err);
    count_user(counted, -1, sodium_mprotect_noaccess, 1);
    return good;
}

size_t secret_len(const struct secret *s) { return s->len; }

void secret_wipe(void *bytes, size_t len)
{
    if (len > 0)
        sodium_memzero(bytes, len);
}

void secret_free(struct secret *s)
{
    if (s == NULL)
        return;
    assert(s->magic == SECRET_MAGIC && atomic_load(&s->users) == 0);
    int kept_errno = errno;
    sodium_free(s->bytes); /* wipes */
    s->magic = 0;
    free(s);
    errno = kept_errno;
}
