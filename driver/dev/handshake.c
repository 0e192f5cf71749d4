#include "driver/dev/handshake.h"

#define PARTS 5

static struct view part_take(struct view *rest)
{
    const uint8_t *bar = rest->len ? memchr(rest->data, '|', rest->len) : NULL;
    const size_t len = bar ? (size_t)(bar - rest->data) : rest->len;
    const struct view part = view_of(rest->data, len);
    *rest = view_of(rest->data + len + (bar ? 1 : 0), rest->len - len - (bar ? 1 : 0));
    return part;
}

bool handshake_decode(struct view line, char *path, struct err *err)
{
    static const struct {
        const char *what, *wanted; /* wanted NULL: the address */
    } parts[PARTS] = { { "core protocol", "1" },
                       { "protocol version", "2" },
                       { "network", "unix" },
                       { "address", NULL },
                       { "transport", "grpc" } };
    while (line.len && (line.data[line.len - 1] == '\r' || line.data[line.len - 1] == ' '))
        line.len--;
    for (size_t i = 0; i < PARTS; i++) {
        const struct view part = part_take(&line);
        if (parts[i].wanted && !view_is_equal(part, view_str(parts[i].wanted)))
            return err_set(err, ERR_INVALID, "read the plugin's handshake: its %s is not \"%s\"",
                           parts[i].what, parts[i].wanted);
        if (parts[i].wanted)
            continue;
        if (part.len == 0 || part.len > HANDSHAKE_PATH_MAX || part.data[0] != '/' ||
            memchr(part.data, 0, part.len))
            return err_set(err, ERR_INVALID,
                           "read the plugin's handshake: its socket path must be absolute and have "
                           "at most %d bytes, not %zu",
                           HANDSHAKE_PATH_MAX, part.len);
        memcpy(path, part.data, part.len);
        path[part.len] = '\0';
    }
    return true;
}
