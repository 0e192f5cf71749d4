#include "sidecar/api/error.h"

#include "common/base/own.h"
#include "common/json/json.h"
#include "common/json/out.h"

#define ERROR_BYTES_MAX 4096

void error_put(struct buf *out, const struct err *err)
{
    struct json_out json = json_out_to(out);
    json_out_object(&json, NULL);
    json_out_object(&json, "error");
    json_out_text(&json, "kind", err_kind_name(err->kind));
    json_out_text(&json, "message", err->msg);
    json_out_close(&json);
    json_out_close(&json);
    json_out_finish(&json);
}

/* What the kernel refuses, a full disk say, may be mended: the engine tries on, and so may the
 * caller. */
static const int statuses[ERR_KIND_COUNT] = {
    [ERR_NONE] = 200,        [ERR_INVALID] = 409,  [ERR_NOT_FOUND] = 404,
    [ERR_DENIED] = 403,      [ERR_CONFLICT] = 409, [ERR_FENCED] = 409,
    [ERR_UNAVAILABLE] = 503, [ERR_CORRUPT] = 500,  [ERR_SYSTEM] = 503,
};

int error_status(enum err_kind kind) { return statuses[kind]; }

struct said {
    char kind[32], message[sizeof(((struct err *)0)->msg)];
};
struct answer {
    struct said error;
    bool has_error;
};
static const struct json_field said_fields[] = {
    JSON_TEXT_ROW(struct said, "kind", kind, JSON_REQUIRED, 1),
    JSON_TEXT_ROW(struct said, "message", message, JSON_REQUIRED, 0),
};
static const struct json_table said_table = JSON_TABLE(said_fields);
static const struct json_field answer_fields[] = {
    JSON_OBJECT_ROW(struct answer, "error", error, JSON_REQUIRED, &said_table, has_error),
};
static const struct json_table answer_table = JSON_TABLE(answer_fields);

bool error_take(struct view json, int status, struct err *err)
{
    struct answer answer = { 0 };
    struct err why;
    if (!json_read(json, "answer", ERROR_BYTES_MAX, &answer_table, &answer, &why))
        return err_set(err, ERR_CORRUPT, "read answer of the API: status %d, no error in it",
                       status);
    for (enum err_kind kind = ERR_NONE + 1; kind < ERR_KIND_COUNT; kind++)
        if (strcmp(err_kind_name(kind), answer.error.kind) == 0)
            return err_set(err, kind, "%s", answer.error.message);
    return err_set(err, ERR_CORRUPT, "read answer of the API: status %d, unknown kind", status);
}
