/* err.h - one error object: a kind that tells the caller what to do, and a message for people.
 *
 * Used by every room. It lives on the caller's stack, never on the heap, so that it works after
 * fork, out of memory and in the shim. Success leaves it untouched; failure fills it once, and
 * each level on the way up may add context but never changes the kind. It never holds a secret. */
#pragma once
#include <stdbool.h>

#define ERR_KINDS(X) /* kind, exit code (sysexits where one fits), what the caller does */ \
    X(INVALID, 64, "fix the input; never retried")                                         \
    X(NOT_FOUND, 66, "absent, and the store answered; a decision, often not a failure")    \
    X(DENIED, 77, "log in again once, then give up")                                       \
    X(CONFLICT, 73, "someone else committed: read again and decide")                       \
    X(FENCED, 79, "this holder lost the right: stop the agent now, never retry")           \
    X(UNAVAILABLE, 75, "outcome unknown or no answer: the only kind that is retried")      \
    X(CORRUPT, 65, "bytes fail verification: keep them, never use or overwrite them")      \
    X(SYSTEM, 71, "the kernel refused; os_errno says why")

#define ERR_ENUM(kind, exit_code, action) ERR_##kind,
enum err_kind { ERR_NONE, ERR_KINDS(ERR_ENUM) ERR_KIND_COUNT };

struct err {
    enum err_kind kind;
    int os_errno;  /* 0 unless the kernel gave one */
    char msg[240]; /* UTF-8, NUL-terminated, truncated with "...", never a secret */
};

#define MUST_USE     __attribute__((warn_unused_result))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/** Fills `err` and returns false, so that `return err_set(...)` is the whole failure path. */
bool err_set(struct err *err, enum err_kind kind, const char *fmt, ...) PRINTF(3, 4);

/** As err_set with kind SYSTEM and the text of `os_errno` after the message. */
bool err_sys(struct err *err, int os_errno, const char *fmt, ...) PRINTF(3, 4);

/** Puts "context: " before the message and returns false; kind and errno are kept. */
bool err_wrap(struct err *err, const char *fmt, ...) PRINTF(2, 3);

/** "INVALID", "CORRUPT", ...; a static string. */
const char *err_kind_name(enum err_kind kind);

/** The process exit code of a kind; 0 for ERR_NONE. Table in docs/failures.md. */
int err_exit_code(enum err_kind kind);
