#include "sidecar/cmd/say.h"

#include "common/base/fd.h"
#include "common/base/time.h"
#include "common/json/out.h"

#include <stdio.h>
#include <time.h>

bool say(const struct buf *out, struct err *err)
{
    return fd_write_all(STDOUT_FILENO, out->data, out->len, err) || err_wrap(err, "print");
}

void say_time(int64_t wall_ms, char out[SAY_TIME_BYTES])
{
    time_t at = (time_t)(wall_ms / MS_PER_S);
    struct tm tm;
    if (gmtime_r(&at, &tm) == NULL || strftime(out, SAY_TIME_BYTES, "%F %T", &tm) == 0)
        (void)snprintf(out, SAY_TIME_BYTES, "-");
}

void say_size(uint64_t bytes, char out[SAY_SIZE_BYTES])
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    unsigned unit = 0;
    uint64_t tenths = bytes > UINT64_MAX / 10 ? UINT64_MAX : bytes * 10;
    for (; tenths >= 10240; unit++)
        tenths /= 1024;
    if (unit == 0)
        (void)snprintf(out, SAY_SIZE_BYTES, "%llu B", (unsigned long long)bytes);
    else
        (void)snprintf(out, SAY_SIZE_BYTES, "%llu.%llu %s", (unsigned long long)tenths / 10,
                       (unsigned long long)tenths % 10, units[unit]);
}

void say_manifest(struct json_out *json, const struct manifest *m)
{
    char id[PACK_ID_TEXT], parent[PACK_ID_TEXT];
    pack_id_format(m->id, id);
    pack_id_format(m->parent, parent);
    json_out_text(json, "id", id);
    json_out_text(json, "parent", pack_id_is_none(m->parent) ? NULL : parent);
    json_out_int(json, "sequence", (int64_t)m->id.sequence);
    json_out_int(json, "epoch", (int64_t)m->epoch);
    json_out_int(json, "time_ms", m->wall_ms);
    json_out_text(json, "cut", cut_kind_name(m->cut));
    json_out_int(json, "pause_us", m->pause_us);
    json_out_text(json, "reason", m->reason);
    json_out_text(json, "label", m->label[0] != '\0' ? m->label : NULL);
    json_out_int(json, "files", (int64_t)m->totals.files);
    json_out_int(json, "bytes", (int64_t)m->totals.bytes);
    json_out_int(json, "stored_bytes", (int64_t)m->stored_bytes);
    json_out_int(json, "skipped", m->skipped);
}
