#include "tests/contract/place.h"

#include "common/base/own.h"

#include <stdarg.h>
#include <stdio.h>

void place_failed(const char *file, int line, const char *what, const char *fmt, ...)
{
    va_list args;
    (void)fprintf(stderr, "%s:%d: does not hold: %s", file, line, what);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    abort();
}

struct place place_open(const struct contract_store *b)
{
    struct place p = { .b = b, .raw = b->place_new() };
    p.store = b->connect(p.raw);
    MUST(store_has(p.store, b->features));
    return p;
}

void place_close(struct place *p)
{
    store_close(p->store);
    p->b->place_free(p->raw);
}

struct deadline soon(void) { return deadline_after(boot_now(), 20000, 0); }
struct deadline past(void) { return (struct deadline){ boot_add_ms(boot_now(), -1) }; }

struct store_version create(struct store *s, const char *name, const char *text)
{
    struct store_version v;
    struct err err = { 0 };
    MUST(store_create(s, name, view_str(text), soon(), &v, &err), "%s", err.msg);
    return v;
}

struct store_version replace(struct store *s, const char *name, struct store_version seen,
                             const char *text)
{
    struct store_version v;
    struct err err = { 0 };
    MUST(store_replace(s, name, &seen, view_str(text), soon(), &v, &err), "%s", err.msg);
    return v;
}

struct store_version expect(struct store *s, const char *name, const char *text)
{
    CLEANUP(buf_fini) struct buf got = { 0 };
    struct store_version v;
    struct err err = { 0 };
    MUST(store_read(s, name, soon(), &got, &v, &err), "%s", err.msg);
    MUST(strcmp(buf_borrow_str(&got), text) == 0);
    return v;
}

void expect_fail(bool good, const struct err *err, enum err_kind kind)
{
    MUST_NOT(good);
    MUST(err->kind == kind, "%s: %s", err_kind_name(err->kind), err->msg);
}

void expect_absent(struct store *s, const char *name)
{
    CLEANUP(buf_fini) struct buf got = { 0 };
    struct store_version v;
    struct err err = { 0 };
    expect_fail(store_read(s, name, soon(), &got, &v, &err), &err, ERR_NOT_FOUND);
}
