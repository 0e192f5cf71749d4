#include "driver/dev/handshake.h"

#include "common/base/own.h"

#include <criterion/criterion.h>

Test(handshake, the_line_gives_the_socket)
{
    char path[HANDSHAKE_PATH_MAX + 1];
    struct err err = { 0 };
    cr_assert(handshake_decode(view_str("1|2|unix|/run/p1|grpc|"), path, &err), "%s", err.msg);
    cr_assert_str_eq(path, "/run/p1");
    cr_assert(handshake_decode(view_str("1|2|unix|/run/p2|grpc \r"), path, &err));
    cr_assert_str_eq(path, "/run/p2");
}

Test(handshake, what_differs_is_named)
{
    static const struct {
        const char *line, *what;
    } rows[] = {
        { "", "core protocol" },
        { "2|2|unix|/p|grpc|", "core protocol" },
        { "1|1|unix|/p|grpc|", "protocol version" },
        { "1|2|tcp|127.0.0.1:1|grpc|", "network" },
        { "1|2|unix|p|grpc|", "must be absolute" },
        { "1|2|unix|", "must be absolute" },
        { "1|2|unix|/p", "transport" },
        { "1|2|unix|/p|netrpc|", "transport" },
        { "This is a plugin", "core protocol" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        char path[HANDSHAKE_PATH_MAX + 1];
        struct err err = { 0 };
        cr_assert_not(handshake_decode(view_str(rows[i].line), path, &err), "%s", rows[i].line);
        cr_assert_eq(err.kind, ERR_INVALID);
        cr_assert_not_null(strstr(err.msg, rows[i].what), "%s", err.msg);
    }
}

Test(handshake, socket_paths_of_each_length_work_or_say_the_limit)
{
    static const size_t lengths[] = { 95, 107, 108, 200 };
    for (size_t i = 0; i < COUNT(lengths); i++) {
        char name[256], path[HANDSHAKE_PATH_MAX + 1];
        struct err err = { 0 };
        memset(name, 'p', sizeof name);
        name[0] = '/';
        name[lengths[i]] = '\0';
        CLEANUP(str_freep) char *line = str_format("1|2|unix|%s|grpc|", name);
        cr_assert_eq(handshake_decode(view_str(line), path, &err), lengths[i] <= 107);
    }
}
