#include "common/shimwire/msg.h"

#include <assert.h>
#include <stddef.h>

#include "common/shimwire/pen.h"

enum field_kind { U8, BOOL, KIND, PHASE, U32, U64, NONCE, TEXT, ID, RECORD };

struct field {
    enum shim_msg_type type;
    enum field_kind kind;
    size_t offset;
    const char *name;
};

/* What each message carries after version, type and seq, in the order of the wire. */
#define FIELD(type, kind, member)                                     \
    {                                                                 \
        SHIM_##type, kind, offsetof(struct shim_msg, member), #member \
    }
static const struct field fields[] = {
    FIELD(HELLO, NONCE, hello.nonce),
    FIELD(HELLO, TEXT, hello.api),
    FIELD(EVENT, TEXT, event.text),
    FIELD(ARM, U64, arm.epoch),
    FIELD(ARM, U64, arm.deadline_ns),
    FIELD(GATE_OPEN, U64, arm.epoch),
    FIELD(GATE_OPEN, U64, arm.deadline_ns),
    FIELD(GATE_OPEN, ID, arm.restored),
    FIELD(FENCE, TEXT, fence.text),
    FIELD(FREEZE, U32, freeze.max_ms),
    FIELD(DONE, KIND, done.kind),
    FIELD(DONE, TEXT, done.text),
    FIELD(ARM_ACK, BOOL, reply.ok),
    FIELD(FROZEN, BOOL, reply.ok),
    FIELD(THAWED, BOOL, reply.ok),
    FIELD(AGENT_STARTED, U32, started.pid),
    FIELD(AGENT_EXITED, U32, exited.exit_code),
    FIELD(AGENT_EXITED, U32, exited.signal),
    FIELD(STOPPING, U32, stopping.left_ms),
    FIELD(SIGNAL, U32, signal.signo),
    FIELD(STOP, U32, stop.signo),
    FIELD(STOP, U32, stop.timeout_ms),
    FIELD(STATE, NONCE, state.nonce),
    FIELD(STATE, PHASE, state.phase),
    FIELD(STATE, U8, state.containment),
    FIELD(STATE, U32, state.shim_pid),
    FIELD(STATE, U32, state.agent_pid),
    FIELD(STATE, U64, state.shim_start_ticks),
    FIELD(STATE, U64, state.agent_start_ticks),
    FIELD(STATE, U64, state.epoch),
    FIELD(STATE, U64, state.deadline_ns),
    FIELD(STATE, U64, state.started.ns),
    FIELD(STATE, TEXT, state.text),
    FIELD(EXITED, BOOL, end.recorded),
    FIELD(EXITED, RECORD, end.record),
    FIELD(EXEC_ENDED, KIND, exec.kind),
    FIELD(EXEC_ENDED, U32, exec.exit_code),
    FIELD(EXEC_ENDED, U32, exec.signal),
    FIELD(EXEC_ENDED, BOOL, exec.oom_killed),
    FIELD(EXEC_ENDED, TEXT, exec.text),
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

struct type_row {
    uint8_t type;
    unsigned directions;
    const char *name;
};
#define TYPE_ROW(type, number, directions) { number, directions, #type },
static const struct type_row type_rows[] = { SHIM_MSGS(TYPE_ROW) };

#define PHASE_NAME(phase, number, text) [number] = text,
static const char *const phase_names[] = { SHIM_PHASES(PHASE_NAME) };
#define PHASE_END (sizeof(phase_names) / sizeof(phase_names[0]))

_Static_assert(SHIM_MSG_MAX >= 6 + 1 + EXIT_RECORD_BYTES, "EXITED fits");
_Static_assert(SHIM_MSG_MAX >= 6 + 16 + 1 + 1 + 8 + 5 * 8 + 1 + SHIM_TEXT_MAX, "STATE fits");

static const struct type_row *row_of(unsigned type)
{
    for (size_t i = 0; i < sizeof(type_rows) / sizeof(type_rows[0]); i++)
        if (type_rows[i].type == type)
            return &type_rows[i];
    return NULL;
}

static void put_text(struct pen *pen, const char *text, size_t max)
{
    char clean[SHIM_TEXT_MAX + 1];
    size_t len = text_clean(clean, max, view_str(text));
    pen_u8(pen, (uint8_t)len);
    pen_raw(pen, clean, len);
}

static uint32_t load_u32(const void *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static uint64_t load_u64(const void *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    return value;
}

static void put_field(struct pen *pen, enum field_kind kind, const void *at)
{
    uint8_t record[EXIT_RECORD_BYTES];
    switch (kind) {
    case U8:
    case KIND:
        pen_u8(pen, *(const uint8_t *)at);
        return;
    case BOOL:
        pen_u8(pen, *(const bool *)at);
        return;
    case PHASE:
        pen_u8(pen, (uint8_t) * (const enum shim_phase *)at);
        return;
    case U32:
        pen_u32(pen, load_u32(at));
        return;
    case U64:
        pen_u64(pen, load_u64(at));
        return;
    case NONCE:
        pen_raw(pen, at, SHIM_NONCE_BYTES);
        return;
    case TEXT:
        put_text(pen, at, SHIM_TEXT_MAX);
        return;
    case ID:
        put_text(pen, at, SHIM_ID_MAX);
        return;
    case RECORD:
        exit_record_encode(at, record);
        pen_raw(pen, record, sizeof(record));
        return;
    }
}

size_t shim_msg_encode(const struct shim_msg *msg, uint8_t out[SHIM_MSG_MAX])
{
    assert(row_of(msg->type) != NULL);
    struct pen pen = { out, SHIM_MSG_MAX };
    pen_u8(&pen, SHIM_VERSION);
    pen_u8(&pen, (uint8_t)msg->type);
    pen_u32(&pen, msg->seq);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].type == msg->type)
            put_field(&pen, fields[i].kind, (const char *)msg + fields[i].offset);
#ifdef AGENT_TEST_LATER /* as a later build might: a field more */
    pen_u32(&pen, 0xfeedbeef);
#endif
    return SHIM_MSG_MAX - pen.left;
}

static bool read_text(struct cursor *c, const char *name, size_t max, char *out, struct err *err)
{
    uint8_t len = 0;
    struct view text;
    if (!cursor_u8(c, name, &len, err) || !cursor_take(c, name, len, &text, err))
        return false;
    if (len > max)
        return err_set(err, ERR_CORRUPT, "shim message: %s of %u bytes", name, len);
    (void)text_clean(out, max, text);
    return true;
}

/* A byte below `end`. */
static bool read_small(struct cursor *c, const char *name, unsigned end, uint8_t *out,
                       struct err *err)
{
    if (!cursor_u8(c, name, out, err))
        return false;
    return *out < end || err_set(err, ERR_CORRUPT, "shim message: %s is %u", name, *out);
}

static bool read_record(struct cursor *c, const char *name, struct exit_record *out,
                        struct err *err)
{
    struct view bytes;
    return cursor_take(c, name, EXIT_RECORD_BYTES, &bytes, err) &&
           exit_record_decode(bytes, out, err);
}

static bool read_field(struct cursor *c, const struct field *f, struct shim_msg *msg,
                       struct err *err)
{
    void *at = (char *)msg + f->offset;
    struct view bytes;
    uint8_t small = 0;
    switch (f->kind) {
    case U8:
        return cursor_u8(c, f->name, at, err);
    case KIND:
        return read_small(c, f->name, ERR_KIND_COUNT, at, err);
    case BOOL:
        if (!read_small(c, f->name, 2, &small, err))
            return false;
        *(bool *)at = small != 0;
        return true;
    case PHASE:
        if (!read_small(c, f->name, PHASE_END, &small, err))
            return false;
        *(enum shim_phase *)at = (enum shim_phase)small;
        return small != 0 || err_set(err, ERR_CORRUPT, "shim message: %s is 0", f->name);
    case U32:
        return cursor_u32(c, f->name, at, err);
    case U64:
        return cursor_u64(c, f->name, at, err);
    case NONCE:
        if (!cursor_take(c, f->name, SHIM_NONCE_BYTES, &bytes, err))
            return false;
        memcpy(at, bytes.data, SHIM_NONCE_BYTES);
        return true;
    case TEXT:
        return read_text(c, f->name, SHIM_TEXT_MAX, at, err);
    case ID:
        return read_text(c, f->name, SHIM_ID_MAX, at, err);
    case RECORD:
        return read_record(c, f->name, at, err);
    }
    return false;
}

bool shim_msg_decode(struct view bytes, unsigned direction, struct shim_msg *out, struct err *err)
{
    memset(out, 0, sizeof(*out));
    struct cursor c = cursor_of(bytes, "shim message");
    uint8_t version = 0, type = 0;
    if (!cursor_u8(&c, "version", &version, err) || !cursor_u8(&c, "type", &type, err) ||
        !cursor_u32(&c, "seq", &out->seq, err))
        return false;
    if (version != SHIM_VERSION)
        return err_set(err, ERR_CORRUPT, "shim message: version %u is not ours", version);
    const struct type_row *row = row_of(type);
    if (row == NULL)
        return err_set(err, ERR_NOT_FOUND, "shim message: type %u is unknown", type);
    if ((row->directions & direction) == 0)
        return err_set(err, ERR_DENIED, "shim message: this peer may not send %s", row->name);
    out->type = (enum shim_msg_type)type;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (fields[i].type == out->type && !read_field(&c, &fields[i], out, err))
            return false;
    return true; /* what follows are fields of a later build */
}

const char *shim_msg_name(enum shim_msg_type type)
{
    const struct type_row *row = row_of(type);
    return row == NULL ? "?" : row->name;
}

const char *shim_phase_name(enum shim_phase phase)
{
    return phase > 0 && phase < PHASE_END ? phase_names[phase] : "?";
}

void shim_text_copy(char out[SHIM_TEXT_MAX + 1], const char *text)
{
    static const char ellipsis[] = "...";
    const size_t kept = SHIM_TEXT_MAX - (sizeof(ellipsis) - 1);
    if (text_clean(out, SHIM_TEXT_MAX, view_str(text)) == strlen(text))
        return;
    size_t used = text_clean(out, kept, view_str(text));
    memcpy(out + used, ellipsis, sizeof(ellipsis));
}
