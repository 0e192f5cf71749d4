#include "common/base/err.h"

#include "common/base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERR_ROW(kind, exit_code, action) [ERR_##kind] = { #kind, exit_code },
static const struct {
    const char *name;
    int exit_code;
} rows[] = { [ERR_NONE] = { "NONE", 0 }, ERR_KINDS(ERR_ROW) };
_Static_assert(sizeof(rows) / sizeof(rows[0]) == ERR_KIND_COUNT, "a row for each kind");

static const char ellipsis[] = "...";

/* Neither translates nor allocates: an error is also made after a fork. */
#ifdef __GLIBC__
#define errno_text strerrordesc_np
#else /* musl */
#define errno_text strerror
#endif

/* Marks a message that did not fit; `want` is what snprintf would have written. A cut inside a
 * UTF-8 sequence is moved back to its first byte. What was quoted from outside may be no UTF-8. */
static void finish(char *msg, size_t size, int want)
{
    if (want < 0 || (size_t)want >= size) {
        size_t at = size - sizeof(ellipsis);
        while (at > 0 && ((unsigned char)msg[at] & 0xc0U) == 0x80U)
            at--;
        memcpy(msg + at, ellipsis, sizeof(ellipsis));
    }
    utf8_mend(msg);
}

bool err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
    assert(kind > ERR_NONE && kind < ERR_KIND_COUNT);
    va_list args;
    va_start(args, fmt);
    int want = vsnprintf(err->msg, sizeof(err->msg), fmt, args);
    va_end(args);
    finish(err->msg, sizeof(err->msg), want);
    err->kind = kind;
    err->os_errno = 0;
    return false;
}

bool err_sys(struct err *err, int os_errno, const char *fmt, ...)
{
    char what[sizeof(err->msg)];
    va_list args;
    va_start(args, fmt);
    int want = vsnprintf(what, sizeof(what), fmt, args);
    va_end(args);
    finish(what, sizeof(what), want);
    const char *why = errno_text(os_errno);
    want = snprintf(err->msg, sizeof(err->msg), "%s: %s", what, why ? why : "unknown error");
    finish(err->msg, sizeof(err->msg), want);
    err->kind = ERR_SYSTEM;
    err->os_errno = os_errno;
    return false;
}

bool err_wrap(struct err *err, const char *fmt, ...)
{
    assert(err->kind != ERR_NONE);
    char old[sizeof(err->msg)];
    char context[sizeof(err->msg)];
    memcpy(old, err->msg, sizeof(old));
    va_list args;
    va_start(args, fmt);
    int want = vsnprintf(context, sizeof(context), fmt, args);
    va_end(args);
    finish(context, sizeof(context), want);
    want = snprintf(err->msg, sizeof(err->msg), "%s: %s", context, old);
    finish(err->msg, sizeof(err->msg), want);
    return false;
}

const char *err_kind_name(enum err_kind kind) { return rows[kind].name; }
int err_exit_code(enum err_kind kind) { return rows[kind].exit_code; }
