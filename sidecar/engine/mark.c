#include "sidecar/engine/mark.h"

#include "common/base/own.h"
#include "sidecar/crypto/keys.h"

#include <stdio.h>
#include <unistd.h>

#define MAGIC      "AGUS"
#define FORMAT     1
#define MAGIC_LEN  4
#define SUM_BYTES  16
#define BODY_BYTES (MARK_BYTES - SUM_BYTES)
_Static_assert(MAGIC_LEN + 1 + 1 + 3 * 8 + 4 + PACK_ID_TEXT + 4 + sizeof(((struct mark *)0)->why) <=
                   BODY_BYTES,
               "the longest texts fit");

static void put_sum(struct view body, uint8_t out[SUM_BYTES])
{
    uint8_t digest[CRYPTO_HASH_BYTES];
    crypto_digest(body, digest);
    memcpy(out, digest, SUM_BYTES);
}

void mark_encode(const struct mark *mark, struct buf *out)
{
    const size_t from = out->len;
    uint8_t sum[SUM_BYTES];
    buf_put_str(out, MAGIC);
    buf_put_u8(out, FORMAT);
    buf_put_u8(out, mark->is_unsaved);
    buf_put_u64(out, (uint64_t)mark->sequence);
    buf_put_u64(out, (uint64_t)mark->epoch);
    buf_put_u64(out, (uint64_t)mark->wall_ms);
    buf_put_bytes(out, view_str(mark->head));
    buf_put_bytes(out, view_str(mark->why));
    while (out->len < from + BODY_BYTES)
        buf_put_u8(out, 0);
    put_sum(view_of(out->data + from, BODY_BYTES), sum);
    buf_put(out, view_of(sum, sizeof sum));
}

static bool take_text(struct cursor *c, const char *field, size_t room, char *out, struct err *err)
{
    struct view text;
    if (!cursor_bytes(c, field, room - 1, &text, err))
        return false;
    if (memchr(text.data, '\0', text.len) != NULL)
        return err_set(err, ERR_CORRUPT, "mark: %s: holds a NUL", field);
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

static bool take_number(struct cursor *c, const char *field, int64_t *out, struct err *err)
{
    uint64_t number;
    if (!cursor_u64(c, field, &number, err))
        return false;
    *out = (int64_t)number;
    return *out >= 0 || err_set(err, ERR_CORRUPT, "mark: %s: out of range", field);
}

static bool take_state(struct cursor *c, bool *out, struct err *err)
{
    struct view magic;
    uint8_t format, state;
    if (!cursor_take(c, "magic", MAGIC_LEN, &magic, err) || !cursor_u8(c, "format", &format, err) ||
        !cursor_u8(c, "state", &state, err))
        return false;
    if (!view_is_equal(magic, view_str(MAGIC)) || format != FORMAT)
        return err_set(err, ERR_CORRUPT, "mark: not of format %d", FORMAT);
    *out = state == 1;
    return state <= 1 || err_set(err, ERR_CORRUPT, "mark: state: neither 0 nor 1");
}

bool mark_decode(struct view bytes, struct mark *out, struct err *err)
{
    uint8_t sum[SUM_BYTES];
    *out = (struct mark){ 0 };
    if (bytes.len != MARK_BYTES)
        return err_set(err, ERR_CORRUPT, "mark: %zu bytes, not %d", bytes.len, MARK_BYTES);
    put_sum(view_of(bytes.data, BODY_BYTES), sum);
    if (memcmp(sum, bytes.data + BODY_BYTES, SUM_BYTES) != 0)
        return err_set(err, ERR_CORRUPT, "mark: check sum differs");
    struct cursor c = cursor_of(view_of(bytes.data, BODY_BYTES), "mark");
    if (!take_state(&c, &out->is_unsaved, err) ||
        !take_number(&c, "sequence", &out->sequence, err) ||
        !take_number(&c, "epoch", &out->epoch, err) ||
        !take_number(&c, "time", &out->wall_ms, err) ||
        !take_text(&c, "head", sizeof out->head, out->head, err) ||
        !take_text(&c, "why", sizeof out->why, out->why, err))
        return false;
    for (size_t i = 0; i < c.rest.len; i++)
        if (c.rest.data[i] != 0)
            return err_set(err, ERR_CORRUPT, "mark: bytes after the end");
    return true;
}

bool mark_read(int fd, struct mark *out, bool *out_is_whole, struct err *err)
{
    uint8_t bytes[MARK_BYTES + 1];
    struct err damage;
    ssize_t got;
    *out = (struct mark){ 0 };
    *out_is_whole = false;
    do
        got = pread(fd, bytes, sizeof bytes, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return err_sys(err, errno, "read the mark");
    if (got == 0)
        return true;
    *out_is_whole = mark_decode(view_of(bytes, (size_t)got), out, &damage);
    if (*out_is_whole)
        return true;
    *out = (struct mark){ .is_unsaved = true };
    (void)snprintf(out->why, sizeof out->why, "damaged: %.140s", damage.msg);
    return true;
}

bool mark_write(int fd, const struct mark *mark, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    ssize_t put;
    mark_encode(mark, &bytes);
    do
        put = pwrite(fd, bytes.data, bytes.len, 0);
    while (put < 0 && errno == EINTR);
    if (put >= 0 && (size_t)put < bytes.len)
        errno = ENOSPC;
    if (put < 0 || (size_t)put < bytes.len)
        return err_sys(err, errno, "write the mark");
    if (ftruncate(fd, MARK_BYTES) < 0) /* what a damaged one had behind it */
        return err_sys(err, errno, "cut the mark");
    return fdatasync(fd) == 0 || err_sys(err, errno, "sync the mark");
}
