#include "sidecar/cmd/selftest.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "common/json/out.h"
#include "sidecar/cmd/say.h"
#include "sidecar/simulate/history.h"

#include <inttypes.h>

#define SEEDS_DEFAULT 1000
#define NUMBER_MAX    INT64_C(1000000000000)
#define TRACES_MAX    3 /* failures that are shown in full; the others by number */

struct selftest {
    int64_t first, seeds, failed, first_failed;
    enum defect defect;
    bool is_traced, is_json;
    char violation[240]; /* of the first that failed */
    struct world_counts sum;
    struct buf text;
    struct json_out json;
};

static bool read_number(const char *option, const char *text, int64_t min, int64_t *out,
                        struct err *err)
{
    return text == NULL || int_parse(view_str(text), min, NUMBER_MAX, out, err) ||
           err_wrap(err, "option \"-%s\"", option);
}

static bool read_options(struct selftest *s, const struct args *args, struct err *err)
{
    s->first = 1;
    s->is_json = args->json != NULL;
    s->is_traced = args->trace != NULL;
    s->seeds = args->seed == NULL && !s->is_traced ? SEEDS_DEFAULT : 1;
    if (!read_number("seed", args->seed, 0, &s->first, err) ||
        !read_number("seeds", args->seeds, 1, &s->seeds, err))
        return false;
    return args->defect == NULL || defect_parse(args->defect, &s->defect, err);
}

#define COUNTS(X) \
    X(events)     \
    X(starts) X(losses) X(commits) X(releases) X(crashes) X(pauses) X(lost) X(late) X(refused)

static void add_counts(struct world_counts *sum, const struct world_counts *more)
{
#define ADD(member) sum->member += more->member;
    COUNTS(ADD)
#undef ADD
}

static void put_json_trace(struct json_out *json, struct view trace)
{
    json_out_list(json, "trace");
    while (trace.len > 0) {
        const uint8_t *end = memchr(trace.data, '\n', trace.len);
        size_t len = end == NULL ? trace.len : (size_t)(end - trace.data);
        json_out_view(json, NULL, view_of(trace.data, len));
        len += end != NULL;
        trace = view_of(trace.data + len, trace.len - len);
    }
    json_out_close(json);
}

/* The same history once more, now with its trace. */
static void put_history(struct selftest *s, int64_t seed)
{
    struct history h;
    history_run(&(struct history_spec){ (uint64_t)seed, s->defect, true }, &h);
    if (s->is_json) {
        json_out_object(&s->json, NULL);
        json_out_int(&s->json, "seed", seed);
        json_out_bool(&s->json, "holds", h.holds);
        json_out_text(&s->json, "violation", h.holds ? NULL : h.violation);
        put_json_trace(&s->json, buf_view(&h.trace));
        json_out_close(&s->json);
    } else {
        buf_put_fmt(&s->text, "seed %" PRId64 ": %s\n", seed, h.holds ? "holds" : h.violation);
        buf_put(&s->text, buf_view(&h.trace));
        buf_put_str(&s->text, "\n");
    }
    history_fini(&h);
}

static void play(struct selftest *s, int64_t seed)
{
    struct history h;
    history_run(&(struct history_spec){ .seed = (uint64_t)seed, .defect = s->defect }, &h);
    add_counts(&s->sum, &h.counts);
    if (!h.holds && s->failed++ == 0) {
        s->first_failed = seed;
        memcpy(s->violation, h.violation, sizeof(s->violation));
    }
    if (s->is_traced || (!h.holds && s->failed <= TRACES_MAX))
        put_history(s, seed);
    history_fini(&h);
}

static void put_json_sum(struct selftest *s, int64_t spent_ms)
{
    json_out_close(&s->json);
    json_out_int(&s->json, "first_seed", s->first);
    json_out_int(&s->json, "seeds", s->seeds);
    json_out_int(&s->json, "failed", s->failed);
    json_out_text(&s->json, "defect", defect_name(s->defect));
    json_out_int(&s->json, "spent_ms", spent_ms);
    json_out_object(&s->json, "counts");
#define PUT(member) json_out_int(&s->json, #member, (int64_t)s->sum.member);
    COUNTS(PUT)
#undef PUT
    json_out_close(&s->json);
    json_out_close(&s->json);
    json_out_finish(&s->json);
    buf_put_u8(&s->text, '\n');
}

static void put_sum(struct selftest *s, int64_t spent_ms)
{
    const struct world_counts *c = &s->sum;
    buf_put_fmt(&s->text,
                "%" PRId64 " histories from seed %" PRId64 " in %" PRId64 " ms, %" PRId64
                " broken%s%s\n",
                s->seeds, s->first, spent_ms, s->failed,
                s->defect == DEFECT_NONE ? "" : "; left out on purpose: ",
                s->defect == DEFECT_NONE ? "" : defect_name(s->defect));
    buf_put_fmt(&s->text,
                "%" PRIu64 " agents started, %" PRIu64 " checkpoints acknowledged, %" PRIu64
                " leases lost, %" PRIu64 " released\n",
                c->starts, c->commits, c->losses, c->releases);
    buf_put_fmt(&s->text,
                "%" PRIu64 " messages lost, %" PRIu64 " late, %" PRIu64 " calls refused, %" PRIu64
                " crashes, %" PRIu64 " pauses\n",
                c->lost, c->late, c->refused, c->crashes, c->pauses);
}

bool cmd_selftest(const struct args *args, struct err *err)
{
    struct selftest s = { .first = 0 };
    if (!read_options(&s, args, err))
        return false;
    struct mono start = mono_now();
    s.json = json_out_to(&s.text);
    if (s.is_json) {
        json_out_object(&s.json, NULL);
        json_out_list(&s.json, "histories");
    }
    for (int64_t i = 0; i < s.seeds; i++)
        play(&s, s.first + i);
    int64_t spent_ms = mono_diff_us(mono_now(), start) / 1000;
    if (s.is_json)
        put_json_sum(&s, spent_ms);
    else
        put_sum(&s, spent_ms);
    bool ok = say(&s.text, err);
    buf_fini(&s.text);
    if (!ok || s.failed == 0)
        return ok;
    return err_set(err, ERR_CORRUPT,
                   "%" PRId64 " of %" PRId64 " histories broke a guarantee; seed %" PRId64
                   ": %.150s",
                   s.failed, s.seeds, s.first_failed, s.violation);
}
