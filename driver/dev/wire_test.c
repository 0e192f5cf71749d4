#include "driver/dev/wire.h"

#include "common/base/own.h"
#include "driver/hclspec/spec.h"

#include <criterion/criterion.h>

Test(wire, the_handshake_gives_the_socket)
{
    char path[HANDSHAKE_PATH_MAX + 1];
    struct err err = { 0 };
    cr_assert(handshake_decode(view_str("1|2|unix|/run/p1|grpc|"), path, &err), "%s", err.msg);
    cr_assert_str_eq(path, "/run/p1");
    cr_assert(handshake_decode(view_str("1|2|unix|/run/p2|grpc \r"), path, &err));
    cr_assert_str_eq(path, "/run/p2");
}

Test(wire, what_differs_in_a_handshake_is_named)
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

Test(wire, socket_paths_of_each_length_work_or_say_the_limit)
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

static struct view bytes(const char *text, size_t len) { return view_of(text, len); }
#define B(text) bytes(text, sizeof(text) - 1)

Test(wire, plugin_info_must_be_of_our_driver)
{
    char version[WIRE_TEXT_BYTES];
    struct err err = { 0 };
    cr_assert(wire_info(B("\x08\x02\x12\x06v0.1.0\x1a\x05\x30.1.0\x22\x05"
                          "agent"),
                        version, &err),
              "%s", err.msg);
    cr_assert_str_eq(version, "0.1.0");
    static const struct {
        struct view reply;
        const char *message;
    } rows[] = {
        { { (const uint8_t *)"\x08", 1 }, "the reply is malformed" },
        { { (const uint8_t *)"", 0 }, "the reply says it is not a driver" },
        { { (const uint8_t *)"\x08\x02", 2 }, "the reply lacks API version v0.1.0" },
        { { (const uint8_t *)"\x08\x02\x12\x06v0.1.0", 10 },
          "the reply says it is another driver" },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        cr_assert_not(wire_info(rows[i].reply, version, &err));
        cr_assert_eq(err.kind, ERR_INVALID);
        cr_assert_str_eq(err.msg, rows[i].message);
    }
}

Test(wire, replies_without_their_parts_are_refused)
{
    struct spec *spec = NULL;
    struct wire_result result = { 0 };
    struct wire_health health = { 0 };
    char text[WIRE_TEXT_BYTES];
    bool is_image = false;
    struct err err = { 0 };
    cr_assert_not(wire_schema(B(""), &spec, &err));
    cr_assert_not(wire_schema(B("\x0a"), &spec, &err));
    cr_assert_not(wire_started(B(""), &err));
    cr_assert_str_eq(err.msg, "the reply lacks its handle");
    cr_assert_not(wire_started(B("\x1a\x02\x08\x01"), &err));
    cr_assert_not(wire_result(B(""), &result, &err));
    cr_assert_str_eq(err.msg, "the reply lacks its result");
    cr_assert_not(wire_result(B("\x0a"), &result, &err));
    cr_assert_not(wire_health(B("\x0a"), &health, &err));
    cr_assert_not(wire_event(B("\x0a"), text, &err));
    cr_assert_not(wire_capabilities(B("\x0a"), &is_image, &err));
    cr_assert_not(wire_is_running(B("\x0a")));
}

Test(wire, replies_are_read)
{
    struct spec *spec = NULL;
    struct wire_result result = { 0 };
    struct wire_health health = { 0 };
    char text[WIRE_TEXT_BYTES];
    bool is_image = false;
    struct err err = { 0 };
    cr_assert(wire_schema(B("\x0a\x02\x0a\x00"), &spec, &err));
    spec_free(spec);
    cr_assert(wire_started(B("\x1a\x03\x12\x01x"), &err));
    cr_assert(wire_result(B("\x0a\x05\x08\x8f\x01\x18\x01\x12\x03oom"), &result, &err));
    cr_assert_eq(result.exit_code, 143);
    cr_assert(result.oom_killed);
    cr_assert_str_eq(result.err, "oom");
    cr_assert(wire_health(B("\x10\x02\x1a\x02ok"), &health, &err));
    cr_assert(health.is_healthy);
    cr_assert_str_eq(health.description, "ok");
    cr_assert(wire_event(B("\x2a\x02hi"), text, &err));
    cr_assert_str_eq(text, "hi");
    cr_assert(wire_capabilities(B(""), &is_image, &err));
    cr_assert(is_image);
    cr_assert(wire_capabilities(B("\x0a\x00"), &is_image, &err));
    cr_assert_not(is_image);
    cr_assert(wire_is_running(B("\x12\x12\x0a\x10\x0a\x05phase\x12\x07running")));
    cr_assert_not(wire_is_running(B("\x12\x12\x0a\x10\x0a\x05phase\x12\x07standby")));
}

static void is_bytes(struct buf *out, struct view wanted)
{
    cr_assert(view_is_equal(buf_view(out), wanted));
    out->len = 0;
}

Test(wire, requests_have_nomads_fields)
{
    CLEANUP(buf_fini) struct buf out = { 0 };
    wire_put_id(&out, "a/t/1");
    is_bytes(&out, B("\x0a\x05"
                     "a/t/1"));
    wire_put_destroy(&out, "i");
    is_bytes(&out, B("\x0a\x01i\x10\x01"));
    wire_put_stop(&out, "i", 1500, "SIGINT");
    is_bytes(&out, B("\x0a\x01i\x12\x08\x08\x01\x10\x80\xca\xb5\xee\x01\x1a\x06SIGINT"));
    wire_put_start(&out, view_str("T"));
    is_bytes(&out, B("\x0a\x01T"));
    wire_put_config(&out, view_str("\x80"));
    is_bytes(&out, B("\x0a\x01\x80\x12\x08\x0a\x06\x08\xb0\x71\x10\xb0\x6d\x1a\x06v0.1.0"));
}
