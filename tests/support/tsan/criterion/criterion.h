/* criterion.h - the part of Criterion that our unit tests use, for the tsan preset only.
 *
 * Criterion keeps its results in memory at an address that ThreadSanitizer does not allow ("Could
 * not initialize inheritable arena"). This stand-in runs each test in a forked child, one after the
 * other, and counts. Included once a program: it holds main. */
#pragma once
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MINI_SKIPPED   77
#define MINI_TIMEOUT_S 280 /* against a hang only: just before ctest would end the program */

struct mini_options {
    void (*init)(void), (*fini)(void);
    int signal, exit_code;
    double timeout;
    bool disabled;
    const char *description;
};

struct mini_test {
    const char *suite, *name; /* name NULL: the options of a suite */
    void (*run)(void);
    struct mini_options options;
};

extern const struct mini_test *const __start_mini_tests[], *const __stop_mini_tests[];
static bool mini_has_failed;

#define MINI_ENTER(symbol, suite, name, run, ...)                                 \
    static const struct mini_test symbol = { suite, name, run, { __VA_ARGS__ } }; \
    static const struct mini_test *const symbol##_at                              \
        __attribute__((section("mini_tests"), used)) = &symbol;
#define Test(suite, name, ...)                                                          \
    static void suite##_##name##_run(void);                                             \
    MINI_ENTER(suite##_##name##_test, #suite, #name, suite##_##name##_run, __VA_ARGS__) \
    static void suite##_##name##_run(void)
#define TestSuite(suite, ...) MINI_ENTER(suite##_suite_test, #suite, NULL, NULL, __VA_ARGS__)

__attribute__((format(printf, 4, 5))) static inline void
mini_failed(const char *file, int line, const char *what, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s:%d: %s ", file, line, what);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    mini_has_failed = true;
}

#define MINI_CHECK(condition, leave, what, ...)                     \
    do {                                                            \
        if (!(condition)) {                                         \
            mini_failed(__FILE__, __LINE__, what, " " __VA_ARGS__); \
            if (leave)                                              \
                _exit(1);                                           \
        }                                                           \
    } while (0)
#define MINI_OP(leave, a, op, b, ...) MINI_CHECK((a)op(b), leave, #a " " #op " " #b, __VA_ARGS__)

#define cr_assert(c, ...)            MINI_CHECK(c, true, #c, __VA_ARGS__)
#define cr_assert_not(c, ...)        MINI_CHECK(!(c), true, "not " #c, __VA_ARGS__)
#define cr_assert_null(p, ...)       MINI_CHECK((p) == NULL, true, "null " #p, __VA_ARGS__)
#define cr_assert_not_null(p, ...)   MINI_CHECK((p) != NULL, true, "not null " #p, __VA_ARGS__)
#define cr_assert_eq(a, b, ...)      MINI_OP(true, a, ==, b, __VA_ARGS__)
#define cr_assert_neq(a, b, ...)     MINI_OP(true, a, !=, b, __VA_ARGS__)
#define cr_assert_lt(a, b, ...)      MINI_OP(true, a, <, b, __VA_ARGS__)
#define cr_assert_leq(a, b, ...)     MINI_OP(true, a, <=, b, __VA_ARGS__)
#define cr_assert_gt(a, b, ...)      MINI_OP(true, a, >, b, __VA_ARGS__)
#define cr_assert_geq(a, b, ...)     MINI_OP(true, a, >=, b, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...)  MINI_CHECK(strcmp(a, b) == 0, true, #a " is " #b, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) MINI_CHECK(strcmp(a, b) != 0, true, #a " not " #b, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, n, ...) \
    MINI_CHECK(memcmp(a, b, n) == 0, true, #a " " #b, __VA_ARGS__)
#define cr_assert_float_eq(a, b, e, ...) \
    MINI_CHECK((a) - (b) <= (e) && (b) - (a) <= (e), true, #a " near " #b, __VA_ARGS__)
#define cr_assert_fail(...)         MINI_CHECK(false, true, "fail", __VA_ARGS__)
#define cr_expect(c, ...)           MINI_CHECK(c, false, #c, __VA_ARGS__)
#define cr_expect_not(c, ...)       MINI_CHECK(!(c), false, "not " #c, __VA_ARGS__)
#define cr_expect_null(p, ...)      MINI_CHECK((p) == NULL, false, "null " #p, __VA_ARGS__)
#define cr_expect_not_null(p, ...)  MINI_CHECK((p) != NULL, false, "not null " #p, __VA_ARGS__)
#define cr_expect_eq(a, b, ...)     MINI_OP(false, a, ==, b, __VA_ARGS__)
#define cr_expect_neq(a, b, ...)    MINI_OP(false, a, !=, b, __VA_ARGS__)
#define cr_expect_lt(a, b, ...)     MINI_OP(false, a, <, b, __VA_ARGS__)
#define cr_expect_leq(a, b, ...)    MINI_OP(false, a, <=, b, __VA_ARGS__)
#define cr_expect_gt(a, b, ...)     MINI_OP(false, a, >, b, __VA_ARGS__)
#define cr_expect_geq(a, b, ...)    MINI_OP(false, a, >=, b, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) MINI_CHECK(strcmp(a, b) == 0, false, #a " is " #b, __VA_ARGS__)
#define cr_expect_arr_eq(a, b, n, ...) \
    MINI_CHECK(memcmp(a, b, n) == 0, false, #a " " #b, __VA_ARGS__)
#define cr_log_info(...)  MINI_LOG(__VA_ARGS__)
#define cr_log_warn(...)  MINI_LOG(__VA_ARGS__)
#define MINI_LOG(...)     ((void)fprintf(stderr, __VA_ARGS__), (void)fputc('\n', stderr))
#define cr_skip_test(...) (MINI_LOG("skipped: " __VA_ARGS__), _exit(MINI_SKIPPED))
#define cr_skip(...)      cr_skip_test(__VA_ARGS__)

static inline void mini_child(const struct mini_test *test)
{
    const struct mini_options *suite = NULL, *own = &test->options;
    for (const struct mini_test *const *at = __start_mini_tests; at < __stop_mini_tests; at++) {
        if ((*at)->name == NULL && strcmp((*at)->suite, test->suite) == 0)
            suite = &(*at)->options;
    }
    (void)alarm(MINI_TIMEOUT_S);
    if (suite != NULL && suite->init != NULL)
        suite->init();
    if (own->init != NULL)
        own->init();
    test->run();
    if (own->fini != NULL)
        own->fini();
    if (suite != NULL && suite->fini != NULL)
        suite->fini();
    exit(mini_has_failed ? 1 : own->exit_code); /* ThreadSanitizer turns it into 66 */
}

static inline bool mini_passes(const struct mini_test *test)
{
    int status = 0;
    (void)fflush(NULL);
    pid_t child = fork();
    if (child == 0)
        mini_child(test);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == test->options.signal;
    return test->options.signal == 0 &&
           (WEXITSTATUS(status) == test->options.exit_code || WEXITSTATUS(status) == MINI_SKIPPED);
}

int main(void)
{
    int tested = 0, failed = 0;
    for (const struct mini_test *const *at = __start_mini_tests; at < __stop_mini_tests; at++) {
        if ((*at)->name == NULL || (*at)->options.disabled)
            continue;
        tested++;
        if (mini_passes(*at))
            continue;
        failed++;
        fprintf(stderr, "[FAIL] %s::%s\n", (*at)->suite, (*at)->name);
    }
    fprintf(stderr, "[====] Synthesis: Tested: %d | Passing: %d | Failing: %d\n", tested,
            tested - failed, failed);
    return tested == 0 || failed > 0;
}
