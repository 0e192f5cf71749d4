#include "driver/isolation/plan.h"

#include "common/base/own.h"

#define VERSION    2
#define VERSION_1  1
#define OOM_LIMIT  1000
#define NICE_MIN   (-20)
#define NICE_MAX   19
#define UMASK_MAX  0777
#define ABI_MAX    64
#define CODE_BYTES 8 /* of one instruction of a filter */

void isolation_default(struct isolation_plan *out)
{
    memset(out, 0, offsetof(struct isolation_plan, limits)); /* lists: only what is counted */
    out->limit_count = out->mount_count = out->rule_count = 0;
    out->filter = (struct view){ 0 };
    out->flags = ISOLATION_NO_NEW_PRIVS;
    out->nice = ISOLATION_NICE_KEEP;
    out->umask = ISOLATION_UMASK_KEEP;
    out->netns = "";
}

/* ---- writing ---- */

static void put_text(struct buf *out, const char *text)
{
    buf_put_bytes(out, view_str(text != NULL ? text : ""));
    buf_put_u8(out, 0);
}

static void put_lists(const struct isolation_plan *plan, struct buf *out)
{
    buf_put_u16(out, (uint16_t)plan->limit_count);
    for (size_t i = 0; i < plan->limit_count; i++) {
        buf_put_u8(out, plan->limits[i].number);
        buf_put_u64(out, plan->limits[i].soft);
        buf_put_u64(out, plan->limits[i].hard);
    }
    buf_put_u16(out, (uint16_t)plan->mount_count);
    for (size_t i = 0; i < plan->mount_count; i++) {
        const struct isolation_mount *m = &plan->mount[i];
        buf_put_u8(out, (uint8_t)m->kind);
        buf_put_u32(out, m->flags);
        put_text(out, m->source);
        put_text(out, m->root);
        put_text(out, m->target);
    }
    buf_put_u16(out, (uint16_t)plan->rule_count);
    for (size_t i = 0; i < plan->rule_count; i++) {
        buf_put_u8(out, plan->rules[i].access);
        put_text(out, plan->rules[i].path);
    }
    buf_put_bytes(out, plan->filter);
}

void isolation_encode(const struct isolation_plan *plan, struct buf *out)
{
    buf_put_u8(out, VERSION);
    buf_put_u8(out, (uint8_t)plan->mounts);
    buf_put_u8(out, (uint8_t)plan->nice);
    buf_put_u8(out, (uint8_t)plan->landlock_abi);
    buf_put_u32(out, plan->flags);
    buf_put_u32(out, (uint32_t)plan->oom_score_adj);
    buf_put_u32(out, plan->umask);
    buf_put_u64(out, plan->caps_bound);
    buf_put_u64(out, plan->caps_given);
    put_text(out, plan->netns);
    put_lists(plan, out);
}

/* ---- reading ---- */

static bool check_plan(const struct isolation_plan *plan, struct err *err)
{
    if (plan->mounts > ISOLATION_MOUNTS_OWN)
        return err_set(err, ERR_CORRUPT, "isolation plan: mounts %d is unknown", plan->mounts);
    if (plan->flags > ISOLATION_FLAGS_ALL)
        return err_set(err, ERR_CORRUPT, "isolation plan: asks for what this version lacks");
    if (plan->oom_score_adj < -OOM_LIMIT || plan->oom_score_adj > OOM_LIMIT)
        return err_set(err, ERR_CORRUPT, "isolation plan: oom_score_adj %d", plan->oom_score_adj);
    if (plan->nice != ISOLATION_NICE_KEEP && (plan->nice < NICE_MIN || plan->nice > NICE_MAX))
        return err_set(err, ERR_CORRUPT, "isolation plan: nice %d", plan->nice);
    if (plan->umask > UMASK_MAX && plan->umask != ISOLATION_UMASK_KEEP)
        return err_set(err, ERR_CORRUPT, "isolation plan: umask %o", plan->umask);
    if ((plan->caps_bound | plan->caps_given) > ISOLATION_CAPS_ALL ||
        (plan->caps_given & ~plan->caps_bound) != 0)
        return err_set(err, ERR_CORRUPT, "isolation plan: capabilities are out of bounds");
    if (plan->landlock_abi > ABI_MAX || plan->filter.len % CODE_BYTES != 0)
        return err_set(err, ERR_CORRUPT, "isolation plan: Landlock or filter is malformed");
    return true;
}

static bool read_text(struct cursor *c, const char *name, size_t max, const char **out,
                      struct err *err)
{
    struct view text;
    uint8_t end = 0;
    if (!cursor_bytes(c, name, max, &text, err) || !cursor_u8(c, name, &end, err))
        return false;
    if (end != 0 || (text.len > 0 && memchr(text.data, 0, text.len) != NULL))
        return err_set(err, ERR_CORRUPT, "isolation plan: %s has a NUL inside or none after it",
                       name);
    *out = (const char *)text.data;
    return true;
}

static bool read_count(struct cursor *c, const char *name, size_t max, size_t *out, struct err *err)
{
    uint16_t count = 0;
    if (!cursor_u16(c, name, &count, err))
        return false;
    *out = count;
    return count <= max || err_set(err, ERR_CORRUPT, "isolation plan: %u %s", count, name);
}

static bool read_limits(struct cursor *c, struct isolation_plan *out, struct err *err)
{
    if (!read_count(c, "limits", ISOLATION_LIMITS_MAX, &out->limit_count, err))
        return false;
    for (size_t i = 0; i < out->limit_count; i++) {
        struct isolation_limit *limit = &out->limits[i];
        if (!cursor_u8(c, "limit", &limit->number, err) ||
            !cursor_u64(c, "soft limit", &limit->soft, err) ||
            !cursor_u64(c, "hard limit", &limit->hard, err))
            return false;
        if (limit->number > ISOLATION_LIMIT_NUMBER || limit->soft > limit->hard)
            return err_set(err, ERR_CORRUPT, "isolation plan: limit %u", limit->number);
    }
    return true;
}

static bool check_mount(const struct isolation_mount *m, struct err *err)
{
    if (m->kind >= ISOLATION_MOUNT_KINDS || m->flags > ISOLATION_MOUNT_FLAGS_ALL)
        return err_set(err, ERR_CORRUPT, "isolation plan: mount of kind %d, flags %x", m->kind,
                       m->flags);
    if (m->root[0] != '/' || m->target[0] == '/' ||
        (m->kind == ISOLATION_BIND && m->source[0] != '/'))
        return err_set(err, ERR_CORRUPT, "isolation plan: mount \"%.64s\" is not of a known form",
                       m->target);
    return true;
}

static bool read_mounts(struct cursor *c, struct isolation_plan *out, struct err *err)
{
    if (!read_count(c, "mounts", ISOLATION_MOUNTS_MAX, &out->mount_count, err))
        return false;
    for (size_t i = 0; i < out->mount_count; i++) {
        struct isolation_mount *m = &out->mount[i];
        uint8_t kind = 0;
        if (!cursor_u8(c, "mount kind", &kind, err) ||
            !cursor_u32(c, "mount flags", &m->flags, err) ||
            !read_text(c, "mount source", ISOLATION_BYTES_MAX, &m->source, err) ||
            !read_text(c, "mount root", ISOLATION_TEXT_MAX, &m->root, err) ||
            !read_text(c, "mount target", ISOLATION_TEXT_MAX, &m->target, err))
            return false;
        m->kind = (enum isolation_mount_kind)kind;
        if (!check_mount(m, err))
            return false;
    }
    return true;
}

static bool read_rules(struct cursor *c, struct isolation_plan *out, struct err *err)
{
    if (!read_count(c, "rules", ISOLATION_RULES_MAX, &out->rule_count, err))
        return false;
    for (size_t i = 0; i < out->rule_count; i++) {
        struct isolation_rule *rule = &out->rules[i];
        if (!cursor_u8(c, "rule access", &rule->access, err) ||
            !read_text(c, "rule path", ISOLATION_TEXT_MAX, &rule->path, err))
            return false;
        if (rule->access > ISOLATION_ACCESS_ALL || rule->path[0] != '/')
            return err_set(err, ERR_CORRUPT, "isolation plan: rule %x for \"%.64s\"", rule->access,
                           rule->path);
    }
    return cursor_bytes(c, "filter", (size_t)ISOLATION_FILTER_MAX * CODE_BYTES, &out->filter, err);
}

static bool read_head(struct cursor *c, struct isolation_plan *out, struct err *err)
{
    uint8_t mounts = 0, nice = 0, abi = 0;
    uint32_t oom = 0;
    if (!cursor_u8(c, "mounts", &mounts, err) || !cursor_u8(c, "nice", &nice, err) ||
        !cursor_u8(c, "Landlock", &abi, err) || !cursor_u32(c, "flags", &out->flags, err) ||
        !cursor_u32(c, "oom_score_adj", &oom, err) || !cursor_u32(c, "umask", &out->umask, err) ||
        !cursor_u64(c, "bounding capabilities", &out->caps_bound, err) ||
        !cursor_u64(c, "given capabilities", &out->caps_given, err) ||
        !read_text(c, "network namespace", ISOLATION_TEXT_MAX, &out->netns, err))
        return false;
    out->mounts = (enum isolation_mounts)mounts;
    out->nice = (int8_t)nice;
    out->landlock_abi = abi;
    out->oom_score_adj = (int32_t)oom;
    return true;
}

/* What the first release wrote: an older driver may start a newer shim during an upgrade. */
static bool read_version_1(struct cursor *c, struct isolation_plan *out, struct err *err)
{
    uint8_t mounts = 0, flags = 0, nice = 0;
    uint32_t oom = 0;
    uint64_t rest = 0;
    if (!cursor_u8(c, "mounts", &mounts, err) || !cursor_u8(c, "flags", &flags, err) ||
        !cursor_u8(c, "nice", &nice, err) || !cursor_u32(c, "oom_score_adj", &oom, err) ||
        !cursor_u64(c, "reserved", &rest, err))
        return false;
    if (flags > (ISOLATION_NO_NEW_PRIVS | ISOLATION_CORE_DUMPS) || rest != 0)
        return err_set(err, ERR_CORRUPT, "isolation plan: asks for what this version lacks");
    out->mounts = (enum isolation_mounts)mounts;
    out->flags = flags;
    out->nice = (int8_t)nice;
    out->oom_score_adj = (int32_t)oom;
    return true;
}

bool isolation_decode(struct view bytes, struct isolation_plan *out, struct err *err)
{
    isolation_default(out);
    if (bytes.len == 0)
        return true;
    struct cursor c = cursor_of(bytes, "isolation plan");
    uint8_t version = 0;
    if (!cursor_u8(&c, "version", &version, err))
        return false;
    if (version != VERSION && version != VERSION_1)
        return err_set(err, ERR_CORRUPT, "isolation plan: version %u is not ours", version);
    bool is_read = version == VERSION_1 ? read_version_1(&c, out, err)
                                        : read_head(&c, out, err) && read_limits(&c, out, err) &&
                                              read_mounts(&c, out, err) && read_rules(&c, out, err);
    return is_read && cursor_finish(&c, err) && check_plan(out, err);
}
