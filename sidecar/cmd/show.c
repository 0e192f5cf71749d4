#include "sidecar/cmd/show.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/json/out.h"
#include "sidecar/cmd/say.h"
#include "sidecar/cmd/source.h"

struct showing {
    struct buf text;
    struct json_out json;
    bool is_json;
};

static const char *type_name(enum tree_type type)
{
    switch (type) {
    case TREE_DIR:
        return "dir";
    case TREE_FILE:
        return "file";
    case TREE_SYMLINK:
        return "symlink";
    case TREE_HARDLINK:
        return "hardlink";
    }
    return "?";
}

static bool put_entry(void *arg, const struct tree_entry *e, struct err *err)
{
    struct showing *s = arg;
    (void)err;
    if (s->is_json) {
        json_out_object(&s->json, NULL);
        json_out_view(&s->json, "path", e->path);
        json_out_text(&s->json, "type", type_name(e->type));
        json_out_int(&s->json, "mode", e->mode);
        json_out_int(&s->json, "uid", e->uid);
        json_out_int(&s->json, "gid", e->gid);
        json_out_int(&s->json, "size", (int64_t)e->size);
        json_out_close(&s->json);
        return true;
    }
    buf_put_fmt(&s->text, "%-8s  %04o  %5u:%-5u  %12llu  ", type_name(e->type), e->mode, e->uid,
                e->gid, (unsigned long long)e->size);
    utf8_put_clean(&s->text, e->path.len > 0 ? e->path : view_str("."));
    buf_put_str(&s->text, "\n");
    return true;
}

static void put_no_record(struct showing *s, const char *name)
{
    if (!s->is_json) {
        buf_put_fmt(&s->text, "name        %s\nrecord      not read\n", name);
        return;
    }
    json_out_text(&s->json, "name", name);
    json_out_null(&s->json, "lease");
}

static void put_record(struct showing *s, const struct record *r)
{
    if (!s->is_json) {
        buf_put_fmt(&s->text,
                    "name        %s\nepoch       %lld%s\nholder      %s\nttl         %lld ms\n",
                    r->name, (long long)r->epoch, r->released ? " (released)" : "", r->holder.node,
                    (long long)r->ttl_ms);
        return;
    }
    json_out_text(&s->json, "name", r->name);
    json_out_object(&s->json, "lease");
    json_out_int(&s->json, "epoch", r->epoch);
    json_out_bool(&s->json, "released", r->released);
    json_out_int(&s->json, "renewals", r->renewals);
    json_out_int(&s->json, "ttl_ms", r->ttl_ms);
    json_out_text(&s->json, "node", r->holder.node);
    json_out_text(&s->json, "alloc_id", r->holder.alloc_id);
    json_out_text(&s->json, "region", r->holder.region);
    json_out_close(&s->json);
}

static void put_checkpoint(struct showing *s, const struct manifest *m)
{
    if (s->is_json) {
        json_out_object(&s->json, "checkpoint");
        say_manifest(&s->json, m);
        json_out_close(&s->json);
        return;
    }
    char id[PACK_ID_TEXT], time[SAY_TIME_BYTES], size[SAY_SIZE_BYTES], stored[SAY_SIZE_BYTES];
    pack_id_format(m->id, id);
    say_time(m->wall_ms, time);
    say_size(m->totals.bytes, size);
    say_size(m->stored_bytes, stored);
    buf_put_fmt(&s->text, "checkpoint  %s\ntime        %s UTC\nmade by     epoch %llu\n", id, time,
                (unsigned long long)m->epoch);
    buf_put_fmt(&s->text, "cut         %s, agent stood still for %u us\nreason      %s\n",
                cut_kind_name(m->cut), m->pause_us, m->reason);
    buf_put_fmt(&s->text, "tree        %llu files, %llu directories, %s; %s new in the store\n",
                (unsigned long long)m->totals.files, (unsigned long long)m->totals.dirs, size,
                stored);
    buf_put_fmt(&s->text, "skipped     %u sockets, devices and pipes\n", m->skipped);
}

static bool put_entries(struct showing *s, const struct source *source, const struct manifest *m,
                        struct err *err)
{
    if (s->is_json)
        json_out_list(&s->json, "entries");
    else
        buf_put_str(&s->text, "\n");
    if (!history_entries(&source->checkpoints, m, source->until, put_entry, s, err))
        return false;
    if (s->is_json)
        json_out_close(&s->json);
    return true;
}

static bool show(struct showing *s, const struct source *source, const struct args *args,
                 struct manifest *m, struct err *err)
{
    if (s->is_json)
        json_out_object(&s->json, NULL);
    if (args->without_record != NULL)
        put_no_record(s, source->name);
    else
        put_record(s, &source->record);
    if (args->at != NULL || source->record.has_head) {
        const char *id;
        if (!source_pick(source, args, &id, err) ||
            !history_read(&source->checkpoints, id, source->until, m, err))
            return false;
        put_checkpoint(s, m);
        if (args->files != NULL && !put_entries(s, source, m, err))
            return false;
    } else if (s->is_json) {
        json_out_null(&s->json, "checkpoint");
    } else {
        buf_put_str(&s->text, "checkpoint  none yet\n");
    }
    if (s->is_json) {
        json_out_close(&s->json);
        json_out_finish(&s->json);
        buf_put_u8(&s->text, '\n');
    }
    return say(&s->text, err);
}

bool cmd_show(const struct args *args, struct err *err)
{
    CLEANUP(source_close) struct source source = { 0 };
    CLEANUP(manifest_fini) struct manifest manifest = { 0 };
    struct showing s = { .is_json = args->json != NULL };
    s.json = json_out_to(&s.text);
    bool ok = source_open(&source, args, err) && show(&s, &source, args, &manifest, err);
    buf_fini(&s.text);
    return ok;
}
