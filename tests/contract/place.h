/* place.h - a fresh place for one contract case, and calls that must succeed or fail in one way.
 *
 * Only for the suites in this directory. Every helper asserts. */
#pragma once
#include "tests/contract/store_contract.h"

struct place {
    const struct contract_store *b;
    void *raw;
    struct store *store;
};

#define PLACE(b) CLEANUP(place_close) struct place p = place_open(b)
#define NEEDS(b, what)                     \
    do {                                   \
        if (((b)->features & (what)) == 0) \
            return false;                  \
    } while (0)
#define MUST(condition, ...)                                               \
    do {                                                                   \
        if (!(condition))                                                  \
            place_failed(__FILE__, __LINE__, #condition, " " __VA_ARGS__); \
    } while (0)
#define MUST_NOT(condition, ...) MUST(!(condition), __VA_ARGS__)

/** Says what did not hold and aborts; legal on any thread. */
__attribute__((noreturn, format(printf, 4, 5))) void
place_failed(const char *file, int line, const char *what, const char *fmt, ...);

/** A place with one handle; closed and removed by place_close. */
struct place place_open(const struct contract_store *b);
void place_close(struct place *p);

/** A deadline far enough for any backend, and one that is over. */
struct deadline soon(void);
struct deadline past(void);

/** Calls on the register that must succeed. */
struct store_version create(struct store *s, const char *name, const char *text);
struct store_version replace(struct store *s, const char *name, struct store_version seen,
                             const char *text);
struct store_version expect(struct store *s, const char *name, const char *text);

/** Asserts a failure of this kind. */
void expect_fail(bool good, const struct err *err, enum err_kind kind);
void expect_absent(struct store *s, const char *name);
