#include "sidecar/cmd/list.h"

#include "common/base/own.h"
#include "common/json/out.h"
#include "sidecar/cmd/say.h"
#include "sidecar/cmd/source.h"

struct listing {
    struct buf text;
    struct json_out json;
    bool is_json;
};

static bool put_line(void *arg, const struct manifest *m, struct err *err)
{
    struct listing *l = arg;
    (void)err;
    if (l->is_json) {
        json_out_object(&l->json, NULL);
        say_manifest(&l->json, m);
        json_out_close(&l->json);
        return true;
    }
    char id[PACK_ID_TEXT], time[SAY_TIME_BYTES], size[SAY_SIZE_BYTES], stored[SAY_SIZE_BYTES];
    pack_id_format(m->id, id);
    say_time(m->wall_ms, time);
    say_size(m->totals.bytes, size);
    say_size(m->stored_bytes, stored);
    buf_put_fmt(&l->text, "%-25s  %-19s  %5llu  %8llu  %10s  %10s  %-10s  %s\n", id, time,
                (unsigned long long)m->epoch, (unsigned long long)m->totals.files, size, stored,
                cut_kind_name(m->cut), m->reason);
    return true;
}

static bool list(const struct source *s, struct listing *l, struct err *err)
{
    if (l->is_json)
        json_out_list(&l->json, NULL);
    else
        buf_put_fmt(&l->text, "%-25s  %-19s  %5s  %8s  %10s  %10s  %-10s  %s\n", "ID", "TIME (UTC)",
                    "EPOCH", "FILES", "SIZE", "STORED", "CUT", "REASON");
    if (s->record.has_head &&
        !history_walk(&s->checkpoints, s->record.head.id, 0, s->until, put_line, l, err))
        return false;
    if (l->is_json) {
        json_out_close(&l->json);
        json_out_finish(&l->json);
        buf_put_u8(&l->text, '\n');
    }
    return say(&l->text, err);
}

bool cmd_list(const struct args *args, struct err *err)
{
    CLEANUP(source_close) struct source source = { 0 };
    struct listing l = { .is_json = args->json != NULL };
    l.json = json_out_to(&l.text);
    bool ok = source_open(&source, args, err) && list(&source, &l, err);
    buf_fini(&l.text);
    return ok;
}
