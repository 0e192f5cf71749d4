#include "common/shimwire/exec_spec.h"

#include "common/base/own.h"

#include <limits.h>

#define VERSION         1
#define BOOT_ID_MAX     36
#define CGROUP_NAME_MAX 64
#define WHAT            "exec spec"
#define NO_ID           UINT32_MAX /* no user has this number: it means "none" to the kernel */
#define CGROUP_MAX      1023

static const char magic[] = "AGNTEXEC";

enum text_rule { TEXT_WORD, TEXT_PATH, TEXT_PATH_OR_NONE };

struct text_row {
    const char *name;
    size_t offset, max;
    enum text_rule rule;
};
#define TEXT(member, longest, rule)                                \
    {                                                              \
#member, offsetof(struct exec_spec, member), longest, rule \
    }
static const struct text_row text_rows[] = {
    TEXT(boot_id, BOOT_ID_MAX, TEXT_WORD),
    TEXT(cwd, PATH_MAX - 1, TEXT_PATH),
    TEXT(cgroup_dir, CGROUP_MAX, TEXT_PATH_OR_NONE),
    TEXT(cgroup_name, CGROUP_NAME_MAX, TEXT_WORD),
};

bool exec_spec_is_in(int fd)
{
    char front[sizeof(magic) - 1];
    return pread(fd, front, sizeof(front), 0) == (ssize_t)sizeof(front) &&
           memcmp(front, magic, sizeof(front)) == 0;
}

static const char **text_at(struct exec_spec *spec, const struct text_row *row)
{
    return (const char **)(void *)((char *)spec + row->offset);
}

static bool check_text(const struct text_row *row, const char *text, enum err_kind kind,
                       struct err *err)
{
    size_t len = strlen(text);
    bool is_path = text[0] == '/';
    if (len > row->max)
        return err_set(err, kind, WHAT ": %s has %zu bytes, at most %zu fit", row->name, len,
                       row->max);
    switch (row->rule) {
    case TEXT_WORD: /* a directory name or a text, never a way to another directory */
        if (len > 0 && strchr(text, '/') == NULL && text[0] != '.')
            return true;
        return err_set(err, kind, WHAT ": %s \"%s\" is not a plain name", row->name, text);
    case TEXT_PATH:
        return is_path ||
               err_set(err, kind, WHAT ": %s \"%.64s\" is not absolute", row->name, text);
    case TEXT_PATH_OR_NONE:
        return is_path || len == 0 ||
               err_set(err, kind, WHAT ": %s \"%.64s\" is not absolute", row->name, text);
    }
    return false;
}

/* What holds on both ends of the wire. */
static bool check_spec(struct exec_spec *spec, enum err_kind kind, struct err *err)
{
    for (size_t i = 0; i < COUNT(text_rows); i++)
        if (!check_text(&text_rows[i], *text_at(spec, &text_rows[i]), kind, err))
            return false;
    if (spec->flags > EXEC_TERMINAL || spec->agent_pid == 0 || spec->agent_pid > INT_MAX)
        return err_set(err, kind, WHAT ": flags %u or pid %u", spec->flags, spec->agent_pid);
    if (spec->uid == NO_ID || spec->gid == NO_ID)
        return err_set(err, kind, WHAT ": no such user or group can be");
    if (parts_count(spec->programs) == 0)
        return err_set(err, kind, WHAT ": has no program");
    for (size_t i = 0; spec->programs[i] != NULL; i++)
        if (spec->programs[i][0] != '/')
            return err_set(err, kind, WHAT ": program \"%.64s\" is not absolute",
                           spec->programs[i]);
    return true;
}

static bool check_limits(const struct exec_spec *spec, struct err *err)
{
    size_t slots = parts_count(spec->programs) + parts_count(spec->arguments) +
                   parts_count(spec->envp) + 3;
    if (slots > SHIM_SPEC_SLOTS)
        return err_set(err, ERR_INVALID, WHAT ": %zu arguments and variables, at most %d fit",
                       slots, SHIM_SPEC_SLOTS);
    if (spec->group_count > SHIM_SPEC_GROUPS_MAX || spec->isolation.len > SHIM_SPEC_PLAN_MAX)
        return err_set(err, ERR_INVALID, WHAT ": %zu groups, isolation plan of %zu bytes",
                       spec->group_count, spec->isolation.len);
    return true;
}

bool exec_spec_encode(const struct exec_spec *spec, struct buf *out, struct err *err)
{
    struct exec_spec copy = *spec; /* the rows give places, not values */
    if (!check_spec(&copy, ERR_INVALID, err) || !check_limits(spec, err))
        return false;
    size_t start = out->len;
    buf_put_str(out, magic);
    buf_put_u16(out, VERSION);
    buf_put_u32(out, spec->flags);
    buf_put_u32(out, spec->agent_pid);
    buf_put_u64(out, spec->agent_start_ticks);
    buf_put_u32(out, spec->uid);
    buf_put_u32(out, spec->gid);
    for (size_t i = 0; i < COUNT(text_rows); i++)
        parts_put_text(out, *text_at(&copy, &text_rows[i]));
    buf_put_bytes(out, spec->isolation);
    parts_put_groups(out, spec->groups, spec->group_count);
    parts_put_list(out, spec->programs);
    parts_put_list(out, spec->arguments);
    parts_put_list(out, spec->envp);
    if (out->len - start > SHIM_SPEC_BYTES_MAX)
        return err_set(err, ERR_INVALID, WHAT ": %zu bytes, at most %zu fit", out->len - start,
                       SHIM_SPEC_BYTES_MAX);
    return true;
}

static bool read_front(struct cursor *c, struct exec_spec *out, struct err *err)
{
    struct view mark;
    uint16_t version = 0;
    if (!cursor_take(c, "magic", sizeof(magic) - 1, &mark, err) ||
        !cursor_u16(c, "version", &version, err))
        return false;
    if (!view_is_equal(mark, view_str(magic)) || version != VERSION)
        return err_set(err, ERR_CORRUPT, WHAT ": not one, or version %u", version);
    return cursor_u32(c, "flags", &out->flags, err) &&
           cursor_u32(c, "agent_pid", &out->agent_pid, err) &&
           cursor_u64(c, "agent_start_ticks", &out->agent_start_ticks, err) &&
           cursor_u32(c, "uid", &out->uid, err) && cursor_u32(c, "gid", &out->gid, err);
}

bool exec_spec_decode(struct view bytes, struct shim_spec_store *store, struct exec_spec *out,
                      struct err *err)
{
    *out = (struct exec_spec){ 0 };
    store->used = 0;
    struct cursor c = cursor_of(bytes, WHAT);
    if (!read_front(&c, out, err))
        return false;
    for (size_t i = 0; i < COUNT(text_rows); i++)
        if (!parts_take_text(&c, text_rows[i].name, text_at(out, &text_rows[i]), err))
            return false;
    if (!cursor_bytes(&c, "isolation", SHIM_SPEC_PLAN_MAX, &out->isolation, err) ||
        !parts_take_groups(&c, store, &out->groups, &out->group_count, err) ||
        !parts_take_list(&c, "programs", store, &out->programs, err) ||
        !parts_take_list(&c, "arguments", store, &out->arguments, err) ||
        !parts_take_list(&c, "environment", store, &out->envp, err) || !cursor_finish(&c, err))
        return false;
    return check_spec(out, ERR_CORRUPT, err);
}

bool exec_spec_seal(const struct exec_spec *spec, struct fd *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    bool good = exec_spec_encode(spec, &bytes, err) &&
                fd_sealed("exec-spec", bytes.data, bytes.len, out, err);
    if (bytes.len > 0)
        explicit_bzero(bytes.data, bytes.len); /* the environment may hold secrets */
    return good;
}
