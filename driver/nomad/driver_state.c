#include "driver/nomad/driver_state.h"

#include "common/base/text.h"

/* Ours and nobody else's: two drivers on one node must not recover each other's tasks. */
#define MAGIC 0x3154534147544741ULL /* "AGTGAST1" */

/* Not against forgery (Nomad's database is root's), but against a damaged byte. FNV-1a. */
static uint64_t checksum(struct view bytes)
{
    uint64_t sum = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < bytes.len; i++)
        sum = (sum ^ bytes.data[i]) * 0x100000001b3ULL;
    return sum;
}

void driver_state_encode(const struct driver_state *state, struct buf *out)
{
    const size_t start = out->len;
    buf_put_u64(out, MAGIC);
    buf_put_u32(out, DRIVER_STATE_VERSION);
    buf_put_bytes(out, view_str(state->boot_id));
    buf_put(out, view_of(state->nonce, LAUNCH_NONCE_BYTES));
    buf_put_u64(out, (uint64_t)state->started_wall_ns);
    buf_put_bytes(out, view_str(state->alloc_id));
    buf_put_bytes(out, view_str(state->task_name));
    buf_put_u64(out, checksum(view_of(out->data + start, out->len - start)));
}

static bool take_text(struct cursor *c, const char *field, char *out, size_t size, struct err *err)
{
    struct view text;
    if (!cursor_bytes(c, field, size - 1, &text, err))
        return false;
    if (!utf8_is_valid(text) || text.len == 0)
        return err_set(err, ERR_CORRUPT, "driver state: %s is not text", field);
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

static bool take_fixed(struct cursor *c, const char *field, uint8_t *out, size_t len,
                       struct err *err)
{
    struct view bytes;
    if (!cursor_take(c, field, len, &bytes, err))
        return false;
    memcpy(out, bytes.data, len);
    return true;
}

static bool check_frame(struct view bytes, struct cursor *c, struct err *err)
{
    uint64_t magic = 0, sum = 0;
    uint32_t version = 0;
    if (bytes.len > DRIVER_STATE_BYTES_MAX)
        return err_set(err, ERR_INVALID, "driver state: %zu bytes, is not of this driver",
                       bytes.len);
    if (!cursor_u64(c, "magic", &magic, err))
        return false;
    if (magic != MAGIC)
        return err_set(err, ERR_INVALID, "driver state: is not of this driver");
    if (!cursor_u32(c, "version", &version, err))
        return false;
    if (version != DRIVER_STATE_VERSION)
        return err_set(err, ERR_INVALID, "driver state: version %u, this driver knows %d", version,
                       DRIVER_STATE_VERSION);
    if (c->rest.len < sizeof(sum))
        return err_set(err, ERR_CORRUPT, "driver state: truncated");
    c->rest.len -= sizeof(sum);
    struct cursor tail = cursor_of(view_of(bytes.data + bytes.len - sizeof(sum), sizeof(sum)),
                                   c->what);
    if (!cursor_u64(&tail, "checksum", &sum, err))
        return false;
    if (sum != checksum(view_of(bytes.data, bytes.len - sizeof(sum))))
        return err_set(err, ERR_CORRUPT, "driver state: checksum does not match");
    return true;
}

bool driver_state_decode(struct view bytes, struct driver_state *out, struct err *err)
{
    struct cursor c = cursor_of(bytes, "driver state");
    struct driver_state got = { 0 };
    uint64_t started = 0;
    if (!check_frame(bytes, &c, err) ||
        !take_text(&c, "boot id", got.boot_id, sizeof(got.boot_id), err) ||
        !take_fixed(&c, "nonce", got.nonce, sizeof(got.nonce), err) ||
        !cursor_u64(&c, "start", &started, err) ||
        !take_text(&c, "alloc id", got.alloc_id, sizeof(got.alloc_id), err) ||
        !take_text(&c, "task name", got.task_name, sizeof(got.task_name), err) ||
        !cursor_finish(&c, err))
        return false;
    got.started_wall_ns = (int64_t)started;
    *out = got;
    return true;
}
