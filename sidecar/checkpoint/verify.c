#include "sidecar/checkpoint/verify.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "sidecar/checkpoint/loader.h"

#include <stdio.h>

struct verifying {
    const struct checkpoint_source *source;
    const char *id;
    struct deadline until;
    struct verify_report *out;
    struct buf tree;
    const uint8_t *last_damaged; /* path of the file counted last */
};

static bool use_nothing(const struct load *load, struct view plain, struct err *err)
{
    (void)load, (void)plain, (void)err;
    return true; /* fetch_open_chunk has checked it */
}

/* `arg` of a load is where the file's entry begins in the tree. */
static bool count_damage(void *arg, const struct load *load, const struct err *failure,
                         struct err *err)
{
    struct verifying *v = arg;
    if (failure == NULL || load->arg == v->last_damaged)
        return true;
    v->last_damaged = load->arg;
    if (v->out->damaged++ > 0)
        return true;
    struct tree_entry entry;
    const uint8_t *start = load->arg;
    struct cursor c = cursor_of(view_of(start, (size_t)(v->tree.data + v->tree.len - start)),
                                "tree");
    CLEANUP(buf_fini) struct buf clean = { 0 };
    if (!tree_decode_entry(&c, &entry, err))
        return false;
    utf8_put_clean(&clean, entry.path);
    (void)snprintf(v->out->first, sizeof(v->out->first), "%.*s", (int)clean.len,
                   clean.len > 0 ? (const char *)clean.data : "");
    v->out->first_err = *failure;
    return true;
}

static bool load_all(struct verifying *v, struct loader *loader, struct err *err)
{
    struct cursor c = cursor_of(buf_view(&v->tree), "tree");
    while (c.rest.len > 0) {
        uint8_t *start = v->tree.data + (v->tree.len - c.rest.len);
        struct tree_entry entry;
        if (!tree_decode_entry(&c, &entry, err))
            return false;
        struct cursor chunks = cursor_of(entry.chunks, "tree");
        while (chunks.rest.len > 0) {
            struct load load = { .kind = PACK_DATA, .arg = start };
            if (!chunk_ref_decode(&chunks, &load.ref, err) || !loader_put(loader, &load, err))
                return false;
        }
    }
    return loader_flush(loader, err);
}

static bool ignore_entry(void *arg, const struct pack_index_entry *entry, struct err *err)
{
    (void)arg, (void)entry, (void)err;
    return true; /* the decoder has checked it */
}

static bool run(void *arg, struct err *err)
{
    struct verifying *v = arg;
    struct pack_id id;
    CLEANUP(fetch_fini) struct fetch f = { 0 };
    CLEANUP(manifest_fini) struct manifest m = { 0 };
    if (!pack_id_parse(view_str(v->id), &id, err))
        return false;
    fetch_init(&f, v->source, v->until);
    if (!fetch_manifest(&f, id, &m, err))
        return false;
    v->out->totals = m.totals;
    if (!fetch_tree(&f, &m, &v->tree, NULL, err))
        return false;
    for (size_t i = 0; i < m.pack_count; i++)
        if (!fetch_index(&f, m.packs[i], ignore_entry, NULL, err))
            return false;
    CLEANUP(loader_freep)
    struct loader *loader = loader_new(&(struct loader_spec){ .source = v->source,
                                                              .manifest = &m,
                                                              .until = v->until,
                                                              .threads = source_threads(v->source),
                                                              .use = use_nothing,
                                                              .done = count_damage,
                                                              .done_arg = v });
    bool good = load_all(v, loader, err);
    v->out->read_bytes = f.read_bytes + loader_read_bytes(loader);
    return good;
}

bool checkpoint_verify(const struct checkpoint_source *source, const char *id,
                       struct deadline until, struct verify_report *out, struct err *err)
{
    struct verifying v = { .source = source, .id = id, .until = until, .out = out };
    *out = (struct verify_report){ 0 };
    bool good = agent_keys_hold(source->keys, run, &v, err);
    buf_fini(&v.tree);
    if (!good)
        return false;
    if (out->damaged > 0)
        return err_set(err, ERR_CORRUPT, "verify %s: %llu files are damaged, first \"%.60s\": %s",
                       id, (unsigned long long)out->damaged, out->first, out->first_err.msg);
    return true;
}
