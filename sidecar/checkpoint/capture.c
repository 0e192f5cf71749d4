#include "sidecar/checkpoint/capture.h"

#include "common/base/own.h"

void capture_init(struct capture *c, size_t bytes_max, struct deadline end)
{
    *c = (struct capture){ .bytes_max = bytes_max, .end = end };
    (void)buf_reserve(&c->bytes, bytes_max);
}

void capture_fini(struct capture *c)
{
    buf_fini(&c->bytes);
    free(c->chunks);
    *c = (struct capture){ 0 };
}

bool capture_put(void *capture, struct view plain, size_t at, struct err *err)
{
    struct capture *c = capture;
    if (plain.len > c->bytes_max - c->bytes.len || deadline_is_past(c->end, boot_now())) {
        c->is_over = true;
        return err_set(err, ERR_UNAVAILABLE, "cut: more than %zu bytes or the pause changed",
                       c->bytes_max);
    }
    if (c->count == c->cap) {
        c->cap = c->cap == 0 ? 64 : 2 * c->cap;
        c->chunks = mem_resize(c->chunks, c->cap, sizeof(c->chunks[0]));
    }
    c->chunks[c->count++] = (struct captured_chunk){ at, c->bytes.len, plain.len };
    buf_put(&c->bytes, plain);
    return true;
}

bool capture_replay(const struct capture *c, struct sealer *sealer, struct err *err)
{
    for (size_t i = 0; i < c->count; i++)
        if (!sealer_put(sealer, view_of(c->bytes.data + c->chunks[i].from, c->chunks[i].len),
                        c->chunks[i].at, err))
            return false;
    return true;
}
