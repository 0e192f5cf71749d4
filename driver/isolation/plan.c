#include "driver/isolation/plan.h"

#define VERSION       1
#define FLAG_NO_PRIVS 1U
#define FLAG_CORES    2U
#define OOM_LIMIT     1000
#define NICE_MIN      (-20)
#define NICE_MAX      19

struct isolation_plan isolation_default(void)
{
    return (struct isolation_plan){ .mounts = ISOLATION_MOUNTS_AUTO,
                                    .no_new_privs = true,
                                    .nice = ISOLATION_NICE_KEEP };
}

void isolation_encode(const struct isolation_plan *plan, uint8_t out[ISOLATION_BYTES])
{
    uint32_t oom = (uint32_t)plan->oom_score_adj;
    memset(out, 0, ISOLATION_BYTES);
    out[0] = VERSION;
    out[1] = (uint8_t)plan->mounts;
    out[2] = (uint8_t)((plan->no_new_privs ? FLAG_NO_PRIVS : 0) |
                       (plan->core_dumps ? FLAG_CORES : 0));
    out[3] = (uint8_t)plan->nice;
    for (int i = 0; i < 4; i++)
        out[4 + i] = (uint8_t)(oom >> (8 * i));
}

static bool check_plan(const struct isolation_plan *plan, unsigned flags, uint64_t rest,
                       struct err *err)
{
    if (plan->mounts > ISOLATION_MOUNTS_OWN)
        return err_set(err, ERR_CORRUPT, "isolation plan: mounts %d is unknown", plan->mounts);
    if (flags > (FLAG_NO_PRIVS | FLAG_CORES) || rest != 0)
        return err_set(err, ERR_CORRUPT, "isolation plan: asks for what this version lacks");
    if (plan->oom_score_adj < -OOM_LIMIT || plan->oom_score_adj > OOM_LIMIT)
        return err_set(err, ERR_CORRUPT, "isolation plan: oom_score_adj %d", plan->oom_score_adj);
    if (plan->nice != ISOLATION_NICE_KEEP && (plan->nice < NICE_MIN || plan->nice > NICE_MAX))
        return err_set(err, ERR_CORRUPT, "isolation plan: nice %d", plan->nice);
    return true;
}

bool isolation_decode(struct view bytes, struct isolation_plan *out, struct err *err)
{
    *out = isolation_default();
    if (bytes.len == 0)
        return true;
    struct cursor c = cursor_of(bytes, "isolation plan");
    uint8_t version = 0, mounts = 0, flags = 0, nice = 0;
    uint32_t oom = 0;
    uint64_t rest = 0;
    if (!cursor_u8(&c, "version", &version, err))
        return false;
    if (version != VERSION)
        return err_set(err, ERR_CORRUPT, "isolation plan: version %u is not ours", version);
    if (!cursor_u8(&c, "mounts", &mounts, err) || !cursor_u8(&c, "flags", &flags, err) ||
        !cursor_u8(&c, "nice", &nice, err) || !cursor_u32(&c, "oom_score_adj", &oom, err) ||
        !cursor_u64(&c, "reserved", &rest, err) || !cursor_finish(&c, err))
        return false;
    *out = (struct isolation_plan){ .mounts = (enum isolation_mounts)mounts,
                                    .no_new_privs = (flags & FLAG_NO_PRIVS) != 0,
                                    .core_dumps = (flags & FLAG_CORES) != 0,
                                    .oom_score_adj = (int32_t)oom,
                                    .nice = (int8_t)nice };
    return check_plan(out, flags, rest, err);
}
