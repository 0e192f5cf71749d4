#include "common/log/log.h"

#include "common/base/time.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What one line looks like, read back from a pipe that takes the place of stderr. */
static int capture(void)
{
    int ends[2];
    cr_assert_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    cr_assert_eq(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    return ends[0];
}

static const char *line(int from)
{
    static char text[8192];
    ssize_t len = read(from, text, sizeof(text) - 1);
    text[len > 0 ? len : 0] = '\0';
    return text;
}

Test(log, writes_one_json_line_with_typed_fields)
{
    int from = capture();
    log_init("driver", LOG_INFO);
    const char *task = "a\"b\\c\nd\xff";
    LOG(LOG_WARN, "lease renewed", F(task, task), F(left_ms, (int64_t)42), F(held, (bool)true));
    const char *got = line(from);
    cr_assert(strncmp(got, "{\"@timestamp\":\"20", 17) == 0, "%s", got);
    const char *rest = strstr(got, "\"@level\"");
    cr_assert_str_eq(rest,
                     "\"@level\":\"warn\",\"@module\":\"driver\",\"@message\":\"lease renewed\","
                     "\"task\":\"a\\\"b\\\\c\\u000ad\xef\xbf\xbd\",\"left_ms\":42,"
                     "\"held\":true}\n");
}

Test(log, lines_below_the_lowest_level_are_not_written)
{
    int from = capture();
    log_init("driver", LOG_WARN);
    LOG(LOG_INFO, "quiet");
    cr_assert_str_eq(line(from), "");
    log_set_level(LOG_INFO);
    LOG(LOG_INFO, "loud");
    cr_assert_not_null(strstr(line(from), "loud"));
}

Test(log, a_field_that_does_not_fit_is_left_out_whole)
{
    int from = capture();
    char big[2000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    LOG(LOG_INFO, "big", F(a, big), F(b, big), F(c, big), F(d, big), F(e, (int64_t)1));
    const char *got = line(from);
    size_t len = strlen(got);
    cr_assert_leq(len, 4096);
    cr_assert_str_eq(got + len - 8, ",\"e\":1}\n");
    cr_assert_null(strstr(got, "\"d\""));
}

Test(log, a_full_stderr_drops_whole_lines_and_never_blocks)
{
    int from = capture();
    size_t lines = 0;
    char text[8192], last = '\n';
    for (int i = 0; i < 2000; i++)
        LOG(LOG_INFO, "flood", F(i, i));
    for (ssize_t len; (len = read(from, text, sizeof(text))) > 0; last = text[len - 1])
        for (ssize_t i = 0; i < len; i++)
            lines += text[i] == '\n';
    cr_assert_gt(lines, 0);
    cr_assert_lt(lines, 2000);
    cr_assert_eq(last, '\n');
}

Test(log, an_error_is_a_field)
{
    int from = capture();
    struct err err = { 0 };
    (void)err_set(&err, ERR_DENIED, "read \"x\"");
    LOG(LOG_ERROR, "failed", F(err, &err));
    cr_assert_not_null(strstr(line(from), "\"err\":\"read \\\"x\\\"\""));
}

Test(log, levels_have_names)
{
    struct err err = { 0 };
    enum log_level level;
    cr_assert(log_level_parse("debug", &level, &err) && level == LOG_DEBUG);
    cr_assert_not(log_level_parse("loud", &level, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(log, repeats_are_due_at_powers_of_two)
{
    int due = 0;
    for (uint64_t i = 0; i < 100; i++)
        due += log_is_due(i);
    cr_assert_eq(due, 7);
}
