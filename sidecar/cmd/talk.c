#include "sidecar/cmd/talk.h"

#include "common/base/own.h"
#include "common/json/doc.h"
#include "sidecar/api/client.h"
#include "sidecar/cmd/launch.h"
#include "sidecar/cmd/say.h"
#include "sidecar/cmd/source.h"

#define CALL_MS    30000
#define ANSWER_MAX ((size_t)65536)

static bool call(const struct args *args, const char *method, const char *path, struct buf *out,
                 struct err *err)
{
    int64_t timeout_ms;
    char api[LAUNCH_API_BYTES];
    struct boot now = boot_now();
    if (!args_timeout_ms(args, CALL_MS, &timeout_ms, err))
        return false;
    struct deadline until = deadline_after(now, timeout_ms, 0);
    if (args->api != NULL)
        return api_call(args->api, method, path, until, out, err);
    CLEANUP(config_freep) struct sidecar_config *config = NULL;
    if (args->config == NULL)
        return err_set(err, ERR_INVALID, "which sidecar? give -api or -config");
    return source_config(args->config, &config, err) && launch_api_path(config, api, err) &&
           api_call(api, method, path, until, out, err);
}

static const struct {
    const char *label, *path, *unit;
    bool is_text;
} lines[] = {
    { "name", "name", "", true },
    { "node", "node", "", true },
    { "role", "role", "", true },
    { "phase", "phase", "", true },
    { "epoch", "epoch", "", false },
    { "lease left", "lease_left_ms", " ms", false },
    { "waits for", "holder", "", true },
    { "checkpoint", "checkpoint.id", "", true },
    { "sequence", "checkpoint.sequence", "", false },
    { "age", "checkpoint.age_ms", " ms", false },
    { "rpo", "rpo_ms", " ms", false },
    { "agent pid", "agent_pid", "", false },
    { "degraded", "degraded_why", "", true },
    { "unsaved", "unsaved", "", true },
};

static bool put_lines(struct buf *out, const struct buf *answer, struct err *err)
{
    CLEANUP(json_freep) struct json *doc = NULL;
    struct err absent; /* null or not there: no line */
    if (!json_parse(buf_view(answer), "status", ANSWER_MAX, &doc, err))
        return false;
    for (size_t i = 0; i < COUNT(lines); i++) {
        const char *text;
        int64_t number;
        if (lines[i].is_text && json_borrow_text(doc, lines[i].path, &text, &absent))
            buf_put_fmt(out, "%-11s %s\n", lines[i].label, text);
        else if (!lines[i].is_text && json_int_at(doc, lines[i].path, &number, &absent))
            buf_put_fmt(out, "%-11s %lld%s\n", lines[i].label, (long long)number, lines[i].unit);
    }
    return true;
}

bool cmd_status(const struct args *args, struct err *err)
{
    CLEANUP(buf_fini) struct buf answer = { 0 };
    CLEANUP(buf_fini) struct buf out = { 0 };
    if (!call(args, "GET", "/v1/status", &answer, err))
        return false;
    if (args->json == NULL)
        return put_lines(&out, &answer, err) && say(&out, err);
    buf_put_u8(&answer, '\n');
    return say(&answer, err);
}

bool cmd_checkpoint(const struct args *args, struct err *err)
{
    CLEANUP(buf_fini) struct buf answer = { 0 };
    CLEANUP(json_freep) struct json *doc = NULL;
    CLEANUP(buf_fini) struct buf out = { 0 };
    const char *id;
    int64_t sequence;
    if (!call(args, "POST", "/v1/checkpoint", &answer, err))
        return false;
    if (args->json != NULL) {
        buf_put_u8(&answer, '\n');
        return say(&answer, err);
    }
    if (!json_parse(buf_view(&answer), "answer", ANSWER_MAX, &doc, err) ||
        !json_borrow_text(doc, "id", &id, err) || !json_int_at(doc, "sequence", &sequence, err))
        return false;
    buf_put_fmt(&out, "committed %s (sequence %lld)\n", id, (long long)sequence);
    return say(&out, err);
}
