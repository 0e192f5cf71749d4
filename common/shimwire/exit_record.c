#include "common/shimwire/exit_record.h"

#include <assert.h>

#include "common/shimwire/pen.h"

#define VERSION        1
#define CHECKSUM_BYTES 8

static const uint8_t magic[8] = { 'A', 'G', 'N', 'T', 'E', 'X', 'I', 'T' };

struct cause_row {
    const char *name, *text;
};
#define CAUSE_ROW(cause, number, what) [EXIT_##cause] = { #cause, what },
static const struct cause_row cause_rows[EXIT_CAUSE_END] = {
    [EXIT_NONE] = { "NONE", "nothing has ended" }, EXIT_CAUSES(CAUSE_ROW)
};

void exit_record_encode(const struct exit_record *rec, uint8_t out[EXIT_RECORD_BYTES])
{
    struct pen pen = { out, EXIT_RECORD_BYTES };
    pen_raw(&pen, magic, sizeof(magic));
    pen_u16(&pen, VERSION);
    pen_raw(&pen, rec->nonce, sizeof(rec->nonce));
    pen_u8(&pen, (uint8_t)rec->cause);
    pen_u8(&pen, rec->oom_killed);
    pen_u8(&pen, rec->done_kind);
    pen_u8(&pen, rec->containment);
    pen_u8(&pen, rec->stage);
    pen_u32(&pen, (uint32_t)rec->exit_code);
    pen_u32(&pen, (uint32_t)rec->signal);
    pen_u32(&pen, (uint32_t)rec->os_errno);
    pen_u32(&pen, rec->agent_pid);
    pen_u64(&pen, rec->agent_start_ticks);
    pen_u64(&pen, (uint64_t)rec->started.ns);
    pen_u64(&pen, (uint64_t)rec->ended.ns);
    pen_u64(&pen, rec->epoch);
    char text[SHIM_TEXT_MAX + 1];
    pen_u8(&pen, (uint8_t)text_clean(text, SHIM_TEXT_MAX, view_str(rec->message)));
    pen_raw(&pen, text, SHIM_TEXT_MAX);
    pen_u64(&pen, fnv_add(FNV_START, view_of(out, EXIT_RECORD_BYTES - CHECKSUM_BYTES)));
    assert(pen.left == 0);
}

/* The bytes are whole and of our version. */
static bool check_frame(struct view bytes, struct err *err)
{
    if (bytes.len != EXIT_RECORD_BYTES)
        return err_set(err, ERR_CORRUPT, "exit record: %zu bytes instead of %d", bytes.len,
                       EXIT_RECORD_BYTES);
    if (memcmp(bytes.data, magic, sizeof(magic)) != 0)
        return err_set(err, ERR_CORRUPT, "exit record: not one");
    uint64_t want = fnv_add(FNV_START, view_of(bytes.data, bytes.len - CHECKSUM_BYTES)), got = 0;
    struct cursor tail = cursor_of(view_of(bytes.data + bytes.len - CHECKSUM_BYTES, CHECKSUM_BYTES),
                                   "exit record");
    if (!cursor_u64(&tail, "checksum", &got, err))
        return false;
    return got == want || err_set(err, ERR_CORRUPT, "exit record: damaged, the checksum differs");
}

static bool read_ending(struct cursor *c, struct exit_record *out, struct err *err)
{
    uint32_t code = 0, signal = 0, os_errno = 0;
    uint64_t started = 0, ended = 0;
    if (!cursor_u32(c, "exit_code", &code, err) || !cursor_u32(c, "signal", &signal, err) ||
        !cursor_u32(c, "os_errno", &os_errno, err) ||
        !cursor_u32(c, "agent_pid", &out->agent_pid, err) ||
        !cursor_u64(c, "agent_start_ticks", &out->agent_start_ticks, err) ||
        !cursor_u64(c, "started", &started, err) || !cursor_u64(c, "ended", &ended, err) ||
        !cursor_u64(c, "epoch", &out->epoch, err))
        return false;
    out->exit_code = (int32_t)code;
    out->signal = (int32_t)signal;
    out->os_errno = (int32_t)os_errno;
    out->started.ns = (int64_t)started;
    out->ended.ns = (int64_t)ended;
    return true;
}

static bool read_causes(struct cursor *c, struct exit_record *out, struct err *err)
{
    uint8_t cause = 0, oom = 0;
    if (!cursor_u8(c, "cause", &cause, err) || !cursor_u8(c, "oom_killed", &oom, err) ||
        !cursor_u8(c, "done_kind", &out->done_kind, err) ||
        !cursor_u8(c, "containment", &out->containment, err) ||
        !cursor_u8(c, "stage", &out->stage, err))
        return false;
    if (cause == EXIT_NONE || cause >= EXIT_CAUSE_END)
        return err_set(err, ERR_CORRUPT, "exit record: cause %u is unknown", cause);
    if (oom > 1 || out->done_kind >= ERR_KIND_COUNT)
        return err_set(err, ERR_CORRUPT, "exit record: oom_killed %u or done_kind %u is unknown",
                       oom, out->done_kind);
    out->cause = (enum exit_cause)cause;
    out->oom_killed = oom != 0;
    return true;
}

bool exit_record_decode(struct view bytes, struct exit_record *out, struct err *err)
{
    *out = (struct exit_record){ 0 };
    if (!check_frame(bytes, err))
        return false;
    struct cursor c = cursor_of(
        view_of(bytes.data + sizeof(magic), bytes.len - sizeof(magic) - CHECKSUM_BYTES),
        "exit record");
    struct view nonce, text;
    uint16_t version = 0;
    uint8_t text_len = 0;
    if (!cursor_u16(&c, "version", &version, err))
        return false;
    if (version != VERSION)
        return err_set(err, ERR_CORRUPT, "exit record: version %u is not ours", version);
    if (!cursor_take(&c, "nonce", SHIM_NONCE_BYTES, &nonce, err) || !read_causes(&c, out, err) ||
        !read_ending(&c, out, err) || !cursor_u8(&c, "message length", &text_len, err) ||
        !cursor_take(&c, "message", SHIM_TEXT_MAX, &text, err) || !cursor_finish(&c, err))
        return false;
    if (text_len > SHIM_TEXT_MAX)
        return err_set(err, ERR_CORRUPT, "exit record: message of %u bytes", text_len);
    memcpy(out->nonce, nonce.data, SHIM_NONCE_BYTES);
    (void)text_clean(out->message, SHIM_TEXT_MAX, view_of(text.data, text_len));
    return true;
}

const char *exit_cause_name(enum exit_cause cause)
{
    return cause < EXIT_CAUSE_END ? cause_rows[cause].name : "?";
}

const char *exit_cause_text(enum exit_cause cause)
{
    return cause < EXIT_CAUSE_END ? cause_rows[cause].text : "?";
}

int exit_record_status(const struct exit_record *rec)
{
    int done = rec->done_kind < ERR_KIND_COUNT ? err_exit_code((enum err_kind)rec->done_kind) : 71;
    switch (rec->cause) {
    case EXIT_EXITED:
    case EXIT_STOPPED:
        return rec->exit_code != 0 ? rec->exit_code : done;
    case EXIT_SIGNALED:
    case EXIT_KILLED:
        return rec->signal != 0 ? 128 + rec->signal : 128 + 9;
    case EXIT_FENCED:
        return err_exit_code(ERR_FENCED);
    case EXIT_SIDECAR_LOST:
        return err_exit_code(ERR_UNAVAILABLE);
    case EXIT_START_REFUSED:
        return rec->exit_code != 0 ? rec->exit_code : err_exit_code(ERR_UNAVAILABLE);
    case EXIT_EXEC_FAILED:
        return rec->os_errno == 2 ? 127 : 126; /* as a shell says it: not found, not executable */
    case EXIT_NONE:
    case EXIT_SHIM_ERROR:
    case EXIT_CAUSE_END:
        break;
    }
    return err_exit_code(ERR_SYSTEM);
}
