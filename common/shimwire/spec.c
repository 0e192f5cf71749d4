#include "common/shimwire/spec.h"

#include "common/base/own.h"

#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <sys/un.h>

#define VERSION       2
#define OOM_MIN       (-1000)
#define OOM_MAX       1000
#define LOG_FILES_MAX 10000
#define LOG_MB_MAX    1000000
#define LOG_NAME_MAX  128
#define SOCKET_MAX    (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

static const char magic[] = "AGNTSPEC";

/* Every field that is not a program, in the order of the wire. Adding a row is adding the field. */
struct number_row {
    const char *name;
    size_t offset;
    int64_t min, max;
    bool is_signed;
};
#define NUMBER(member, low, high, sign)                              \
    {                                                                \
#member, offsetof(struct shim_spec, member), low, high, sign \
    }
static const struct number_row number_rows[] = {
    NUMBER(flags, 0, SHIM_STANDALONE, false),       NUMBER(uid, 0, UINT32_MAX - 1, false),
    NUMBER(gid, 0, UINT32_MAX - 1, false),          NUMBER(lock_fd, -1, INT_MAX, true),
    NUMBER(control_fd, -1, INT_MAX, true),          NUMBER(stdin_fd, -1, INT_MAX, true),
    NUMBER(stdout_fd, -1, INT_MAX, true),           NUMBER(stderr_fd, -1, INT_MAX, true),
    NUMBER(config_fd, -1, INT_MAX, true),           NUMBER(stop_signal, 1, 64, true),
    NUMBER(stop_timeout_ms, 0, UINT32_MAX, false),  NUMBER(reserve_ms, 0, UINT32_MAX, false),
    NUMBER(oom_score_adj, OOM_MIN, OOM_MAX, true),  NUMBER(log_dir_fd, -1, INT_MAX, true),
    NUMBER(log_max_files, 0, LOG_FILES_MAX, false), NUMBER(log_max_mb, 0, LOG_MB_MAX, false),
};

struct text_row {
    const char *name;
    size_t offset, max;
    bool is_path, may_be_empty;
};
#define TEXT(member, longest, path, empty)                                \
    {                                                                     \
#member, offsetof(struct shim_spec, member), longest, path, empty \
    }
static const struct text_row text_rows[] = {
    TEXT(task_id, 1024, false, true),
    TEXT(task_name, 1024, false, true),
    TEXT(cwd, PATH_MAX - 1, true, false),
    TEXT(record_path, PATH_MAX - 1, true, true),
    TEXT(socket_path, SOCKET_MAX, true, true),
    TEXT(api_path, SOCKET_MAX, true, true),
    TEXT(cgroup_dir, 1023, true, true),
    TEXT(memory_dir, PATH_MAX - 1, true, true),
    TEXT(cores, 4095, false, true),
};
#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

void shim_spec_init(struct shim_spec *spec)
{
    *spec = (struct shim_spec){ .task_id = "",
                                .task_name = "",
                                .cwd = "/",
                                .lock_fd = -1,
                                .control_fd = -1,
                                .stdin_fd = -1,
                                .stdout_fd = -1,
                                .stderr_fd = -1,
                                .config_fd = -1,
                                .log_dir_fd = -1,
                                .record_path = "",
                                .socket_path = "",
                                .api_path = "",
                                .cgroup_dir = "",
                                .memory_dir = "",
                                .cores = "",
                                .stop_signal = SIGTERM,
                                .stop_timeout_ms = 5000 };
}

static int64_t number_of(const struct shim_spec *spec, const struct number_row *row)
{
    uint32_t raw;
    memcpy(&raw, (const char *)spec + row->offset, sizeof(raw));
    return row->is_signed ? (int64_t)(int32_t)raw : (int64_t)raw;
}

static const char *text_of(const struct shim_spec *spec, const struct text_row *row)
{
    const char *text;
    memcpy(&text, (const char *)spec + row->offset, sizeof(text));
    return text;
}

static bool check_number(const struct shim_spec *spec, const struct number_row *row,
                         enum err_kind kind, struct err *err)
{
    int64_t value = number_of(spec, row);
    if (value >= row->min && value <= row->max)
        return true;
    return err_set(err, kind, "shim spec: %s %lld is not in %lld ... %lld", row->name,
                   (long long)value, (long long)row->min, (long long)row->max);
}

static bool check_text(const struct text_row *row, const char *text, enum err_kind kind,
                       struct err *err)
{
    size_t len = strlen(text);
    if (len > row->max)
        return err_set(err, kind, "shim spec: %s \"%.40s...\" has %zu bytes, at most %zu fit",
                       row->name, text, len, row->max);
    if (len == 0 && !row->may_be_empty)
        return err_set(err, kind, "shim spec: %s is missing", row->name);
    if (len > 0 && row->is_path && text[0] != '/')
        return err_set(err, kind, "shim spec: %s \"%s\" is not absolute", row->name, text);
    return true;
}

/* The task's name becomes part of a file's. */
static bool check_logs(const struct shim_spec *spec, enum err_kind kind, struct err *err)
{
    if (spec->log_dir_fd < 0)
        return true;
    if (spec->stdout_fd >= 0 || spec->stderr_fd >= 0)
        return err_set(err, kind, "shim spec: log_dir_fd beside stdout_fd or stderr_fd");
    if (spec->log_max_files == 0 || spec->log_max_mb == 0)
        return err_set(err, kind, "shim spec: log_max_files or log_max_mb is 0");
    const size_t len = strlen(spec->task_name);
    if (len == 0 || len > LOG_NAME_MAX || strchr(spec->task_name, '/') != NULL)
        return err_set(err, kind, "shim spec: task_name \"%.40s\" cannot name a log",
                       spec->task_name);
    return true;
}

static bool check_enters(const char *const *list, const char *name, enum err_kind kind,
                         struct err *err)
{
    const size_t count = parts_count(list);
    if (count > SHIM_SPEC_ENTERS_MAX)
        return err_set(err, kind, "shim spec: %s has %zu entries, at most %d fit", name, count,
                       SHIM_SPEC_ENTERS_MAX);
    for (size_t i = 0; i < count; i++)
        if (list[i][0] != '/')
            return err_set(err, kind, "shim spec: %s \"%s\" is not absolute", name, list[i]);
    return true;
}

/* What holds for the whole spec, on both ends of the wire. */
static bool check_spec(const struct shim_spec *spec, enum err_kind kind, struct err *err)
{
    for (size_t i = 0; i < ROWS(number_rows); i++)
        if (!check_number(spec, &number_rows[i], kind, err))
            return false;
    for (size_t i = 0; i < ROWS(text_rows); i++)
        if (!check_text(&text_rows[i], text_of(spec, &text_rows[i]), kind, err))
            return false;
    if (!check_logs(spec, kind, err))
        return false;
    const struct shim_program *programs[] = { &spec->agent, &spec->sidecar };
    const char *names[] = { "agent", "sidecar" };
    for (size_t i = 0; i < 2; i++) {
        size_t argc = parts_count(programs[i]->argv);
        if (argc == 0 && i == 0)
            return err_set(err, kind, "shim spec: agent has no command");
        if (argc > 0 && programs[i]->argv[0][0] != '/')
            return err_set(err, kind, "shim spec: command of %s \"%s\" is not absolute", names[i],
                           programs[i]->argv[0]);
    }
    return check_enters(spec->agent_enters, "agent_enters", kind, err) &&
           check_enters(spec->sidecar_enters, "sidecar_enters", kind, err);
}

static bool check_limits(const struct shim_spec *spec, struct err *err)
{
    size_t slots = parts_count(spec->agent.argv) + parts_count(spec->agent.envp) +
                   parts_count(spec->sidecar.argv) + parts_count(spec->sidecar.envp) +
                   parts_count(spec->agent_enters) + parts_count(spec->sidecar_enters) + 6;
    if (slots > SHIM_SPEC_SLOTS)
        return err_set(err, ERR_INVALID, "shim spec: %zu arguments and variables, at most %d fit",
                       slots, SHIM_SPEC_SLOTS);
    if (spec->group_count > SHIM_SPEC_GROUPS_MAX)
        return err_set(err, ERR_INVALID, "shim spec: %zu groups, at most %d fit", spec->group_count,
                       SHIM_SPEC_GROUPS_MAX);
    if (spec->isolation.len > SHIM_SPEC_PLAN_MAX)
        return err_set(err, ERR_INVALID, "shim spec: isolation plan of %zu bytes",
                       spec->isolation.len);
    return true;
}

bool shim_spec_encode(const struct shim_spec *spec, struct buf *out, struct err *err)
{
    if (!check_spec(spec, ERR_INVALID, err) || !check_limits(spec, err))
        return false;
    size_t start = out->len;
    buf_put_str(out, magic);
    buf_put_u16(out, VERSION);
    buf_put(out, view_of(spec->nonce, SHIM_NONCE_BYTES));
    for (size_t i = 0; i < ROWS(number_rows); i++)
        buf_put_u32(out, (uint32_t)number_of(spec, &number_rows[i]));
    for (size_t i = 0; i < ROWS(text_rows); i++)
        parts_put_text(out, text_of(spec, &text_rows[i]));
    buf_put_bytes(out, spec->isolation);
    parts_put_groups(out, spec->groups, spec->group_count);
    parts_put_list(out, spec->agent.argv);
    parts_put_list(out, spec->agent.envp);
    parts_put_list(out, spec->sidecar.argv);
    parts_put_list(out, spec->sidecar.envp);
    parts_put_list(out, spec->agent_enters);
    parts_put_list(out, spec->sidecar_enters);
    if (out->len - start > SHIM_SPEC_BYTES_MAX)
        return err_set(err, ERR_INVALID, "shim spec: %zu bytes, at most %zu fit", out->len - start,
                       SHIM_SPEC_BYTES_MAX);
    return true;
}

static bool read_programs(struct cursor *c, struct shim_spec_store *store, struct shim_spec *out,
                          struct err *err)
{
    store->used = 0;
    if (!parts_take_list(c, "agent argv", store, &out->agent.argv, err) ||
        !parts_take_list(c, "agent envp", store, &out->agent.envp, err) ||
        !parts_take_list(c, "sidecar argv", store, &out->sidecar.argv, err) ||
        !parts_take_list(c, "sidecar envp", store, &out->sidecar.envp, err) ||
        !parts_take_list(c, "agent_enters", store, &out->agent_enters, err) ||
        !parts_take_list(c, "sidecar_enters", store, &out->sidecar_enters, err))
        return false;
    if (out->sidecar.argv[0] == NULL)
        out->sidecar = (struct shim_program){ NULL, NULL };
    return true;
}

static bool read_scalars(struct cursor *c, struct shim_spec *out, struct err *err)
{
    for (size_t i = 0; i < ROWS(number_rows); i++) {
        uint32_t raw = 0;
        if (!cursor_u32(c, number_rows[i].name, &raw, err))
            return false;
        memcpy((char *)out + number_rows[i].offset, &raw, sizeof(raw));
    }
    for (size_t i = 0; i < ROWS(text_rows); i++) {
        const char *text = NULL;
        if (!parts_take_text(c, text_rows[i].name, &text, err))
            return false;
        memcpy((char *)out + text_rows[i].offset, &text, sizeof(text));
    }
    return cursor_bytes(c, "isolation", SHIM_SPEC_PLAN_MAX, &out->isolation, err);
}

bool shim_spec_decode(struct view bytes, struct shim_spec_store *store, struct shim_spec *out,
                      struct err *err)
{
    shim_spec_init(out);
    struct cursor c = cursor_of(bytes, "shim spec");
    struct view mark, nonce;
    uint16_t version = 0;
    if (!cursor_take(&c, "magic", sizeof(magic) - 1, &mark, err) ||
        !cursor_u16(&c, "version", &version, err))
        return false;
    if (!view_is_equal(mark, view_str(magic)) || version != VERSION)
        return err_set(err, ERR_CORRUPT, "shim spec: not one, or version %u", version);
    if (!cursor_take(&c, "nonce", SHIM_NONCE_BYTES, &nonce, err) || !read_scalars(&c, out, err) ||
        !parts_take_groups(&c, store, &out->groups, &out->group_count, err) ||
        !read_programs(&c, store, out, err) || !cursor_finish(&c, err))
        return false;
    memcpy(out->nonce, nonce.data, SHIM_NONCE_BYTES);
    return check_spec(out, ERR_CORRUPT, err);
}

bool shim_spec_seal(const struct shim_spec *spec, struct fd *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    bool good = shim_spec_encode(spec, &bytes, err) &&
                fd_sealed("shim-spec", bytes.data, bytes.len, out, err);
    if (bytes.len > 0)
        explicit_bzero(bytes.data, bytes.len); /* the agent's environment may hold secrets */
    return good;
}
