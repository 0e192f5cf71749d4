// rooms: driver/dev driver/hclspec
/* What a plugin process says to agent-dev: the first byte chooses the message. */
#include "driver/dev/wire.h"

#include "common/base/own.h"
#include "driver/hclspec/spec.h"

#include <assert.h>

static void ends_in_time(const char *text, size_t bytes) { assert(memchr(text, '\0', bytes)); }

static bool handshake(struct view bytes, struct err *err)
{
    char path[HANDSHAKE_PATH_MAX + 1];
    bool good = handshake_decode(bytes, path, err);
    if (good)
        ends_in_time(path, sizeof path);
    return good;
}

static bool info(struct view bytes, struct err *err)
{
    char version[WIRE_TEXT_BYTES];
    bool good = wire_info(bytes, version, err);
    if (good)
        ends_in_time(version, sizeof version);
    return good;
}

static bool schema(struct view bytes, struct err *err)
{
    struct spec *spec = NULL;
    bool good = wire_schema(bytes, &spec, err);
    if (good)
        spec_free(spec);
    return good;
}

static bool capabilities(struct view bytes, struct err *err)
{
    bool is_image;
    return wire_capabilities(bytes, &is_image, err);
}

static bool health(struct view bytes, struct err *err)
{
    struct wire_health got;
    bool good = wire_health(bytes, &got, err);
    if (good)
        ends_in_time(got.description, sizeof got.description);
    return good;
}

static bool event(struct view bytes, struct err *err)
{
    char text[WIRE_TEXT_BYTES];
    bool good = wire_event(bytes, text, err);
    if (good)
        ends_in_time(text, sizeof text);
    return good;
}

static bool result(struct view bytes, struct err *err)
{
    struct wire_result got;
    bool good = wire_result(bytes, &got, err);
    if (good)
        ends_in_time(got.err, sizeof got.err);
    return good;
}

static bool running(struct view bytes, struct err *err)
{
    (void)err;
    (void)wire_is_running(bytes);
    return true;
}

static bool (*const decoders[])(struct view bytes, struct err *err) = {
    handshake, info, schema, capabilities, wire_started, health, event, result, running,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = { 0 };
    if (size > 0 && !decoders[data[0] % COUNT(decoders)](view_of(data + 1, size - 1), &err))
        assert(err.kind == ERR_INVALID && err.msg[0] != '\0');
    return 0;
}
