#include "sidecar/cmd/verify.h"

#include "common/base/own.h"
#include "common/json/out.h"
#include "sidecar/checkpoint/verify.h"
#include "sidecar/cmd/say.h"
#include "sidecar/cmd/source.h"

static void put(struct buf *out, const char *id, const struct verify_report *r, bool is_json)
{
    if (!is_json) {
        char size[SAY_SIZE_BYTES], read[SAY_SIZE_BYTES];
        say_size(r->totals.bytes, size);
        say_size(r->read_bytes, read);
        buf_put_fmt(out, "%s: %s, %llu files, %s (%s read)\n", id,
                    r->damaged == 0 ? "intact" : "DAMAGED", (unsigned long long)r->totals.files,
                    size, read);
        if (r->damaged > 0)
            buf_put_fmt(out, "%llu files cannot be restored whole, the first is \"%s\": %s\n",
                        (unsigned long long)r->damaged, r->first, r->first_err.msg);
        return;
    }
    struct json_out json = json_out_to(out);
    json_out_object(&json, NULL);
    json_out_text(&json, "id", id);
    json_out_bool(&json, "intact", r->damaged == 0);
    json_out_int(&json, "files", (int64_t)r->totals.files);
    json_out_int(&json, "bytes", (int64_t)r->totals.bytes);
    json_out_int(&json, "read_bytes", (int64_t)r->read_bytes);
    json_out_int(&json, "damaged", (int64_t)r->damaged);
    json_out_text(&json, "first_damaged", r->damaged > 0 ? r->first : NULL);
    json_out_close(&json);
    json_out_finish(&json);
    buf_put_u8(out, '\n');
}

static bool verify(const struct source *source, const struct args *args, struct err *err)
{
    CLEANUP(buf_fini) struct buf out = { 0 };
    struct verify_report report = { 0 };
    struct err said;
    const char *id;
    if (!source_pick(source, args, &id, err))
        return false;
    bool is_intact = checkpoint_verify(&source->checkpoints, id, source->until, &report, err);
    if (!is_intact && report.damaged == 0)
        return false;
    put(&out, id, &report, args->json != NULL);
    return say(&out, is_intact ? err : &said) && is_intact;
}

bool cmd_verify(const struct args *args, struct err *err)
{
    CLEANUP(source_close) struct source source = { 0 };
    return source_open(&source, args, err) && verify(&source, args, err);
}
