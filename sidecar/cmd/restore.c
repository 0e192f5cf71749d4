#include "sidecar/cmd/restore.h"

#include "common/base/own.h"
#include "common/json/out.h"
#include "sidecar/checkpoint/restore.h"
#include "sidecar/cmd/say.h"
#include "sidecar/cmd/source.h"

#include <errno.h>
#include <unistd.h>

/* An empty directory is made way for; rmdir refuses every other one by itself. */
static bool make_way(const char *to, struct err *err)
{
    if (rmdir(to) == 0 || errno == ENOENT)
        return true;
    if (errno == ENOTEMPTY || errno == EEXIST)
        return err_set(err, ERR_CONFLICT, "restore to \"%s\": it is not empty", to);
    if (errno == ENOTDIR)
        return err_set(err, ERR_CONFLICT, "restore to \"%s\": it is not a directory", to);
    return err_sys(err, errno, "restore to \"%s\"", to);
}

static void put(struct buf *out, const char *to, const struct restore_report *r, bool is_json)
{
    if (!is_json) {
        char size[SAY_SIZE_BYTES];
        say_size(r->totals.bytes, size);
        buf_put_fmt(out, "restored %s to %s: %llu files, %s\n", r->id, to,
                    (unsigned long long)r->totals.files, size);
        if (r->not_owned > 0)
            buf_put_fmt(out, "%llu entries belong to you now: only root may set their owners\n",
                        (unsigned long long)r->not_owned);
        return;
    }
    struct json_out json = json_out_to(out);
    json_out_object(&json, NULL);
    json_out_text(&json, "id", r->id);
    json_out_int(&json, "sequence", r->sequence);
    json_out_int(&json, "epoch", r->epoch);
    json_out_text(&json, "to", to);
    json_out_int(&json, "files", (int64_t)r->totals.files);
    json_out_int(&json, "bytes", (int64_t)r->totals.bytes);
    json_out_int(&json, "read_bytes", (int64_t)r->read_bytes);
    json_out_int(&json, "not_owned", (int64_t)r->not_owned);
    json_out_int(&json, "spent_us", r->spent_us);
    json_out_close(&json);
    json_out_finish(&json);
    buf_put_u8(out, '\n');
}

static bool restore(const struct source *source, const struct args *args, struct err *err)
{
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct restore_report report = { 0 };
    struct restore_spec spec = { .target = args->to, .is_new_only = true, .until = source->until };
    if (!source_pick(source, args, &spec.id, err) || !make_way(args->to, err) ||
        !checkpoint_restore(&source->checkpoints, &spec, &report, err))
        return false;
    put(&out, args->to, &report, args->json != NULL);
    return say(&out, err);
}

bool cmd_restore(const struct args *args, struct err *err)
{
    CLEANUP(source_close) struct source source = { 0 };
    if (args->to == NULL)
        return err_set(err, ERR_INVALID, "restore where? give -to=DIR");
    return source_open(&source, args, err) && restore(&source, args, err);
}
