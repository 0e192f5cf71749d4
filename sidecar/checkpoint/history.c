#include "sidecar/checkpoint/history.h"

#include "common/base/own.h"
#include "sidecar/checkpoint/fetch.h"

#include <stdlib.h>
#include <unistd.h>

#define THREADS_DEFAULT 2

unsigned source_threads(const struct checkpoint_source *source)
{
    if (source->threads > 0)
        return source->threads;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus >= THREADS_DEFAULT ? THREADS_DEFAULT : 1;
}

bool history_read(const struct checkpoint_source *source, const char *id, struct deadline until,
                  struct manifest *out, struct err *err)
{
    struct pack_id pack;
    CLEANUP(fetch_fini) struct fetch f = { 0 };
    *out = (struct manifest){ 0 };
    if (!pack_id_parse(view_str(id), &pack, err))
        return false;
    fetch_init(&f, source, until);
    return fetch_manifest(&f, pack, out, err);
}

bool history_walk(const struct checkpoint_source *source, const char *head, size_t max,
                  struct deadline until, history_fn *each, void *arg, struct err *err)
{
    struct pack_id pack;
    CLEANUP(fetch_fini) struct fetch f = { 0 };
    if (!pack_id_parse(view_str(head), &pack, err))
        return false;
    fetch_init(&f, source, until);
    for (size_t count = 0; !pack_id_is_none(pack) && (max == 0 || count < max); count++) {
        CLEANUP(manifest_fini) struct manifest m = { 0 };
        struct err why = { 0 };
        if (!fetch_manifest(&f, pack, &m, &why)) {
            if (count > 0 && why.kind == ERR_NOT_FOUND)
                return true; /* older ones were pruned */
            *err = why;
            return false;
        }
        if (!each(arg, &m, err))
            return false;
        pack = m.parent; /* the decoder has checked that it is older */
    }
    return true;
}

bool history_entries(const struct checkpoint_source *source, const struct manifest *manifest,
                     struct deadline until, history_entry_fn *each, void *arg, struct err *err)
{
    CLEANUP(fetch_fini) struct fetch f = { 0 };
    CLEANUP(buf_fini) struct buf tree = { 0 };
    fetch_init(&f, source, until);
    if (!fetch_tree(&f, manifest, &tree, NULL, err))
        return false;
    struct cursor c = cursor_of(buf_view(&tree), "tree");
    while (c.rest.len > 0) {
        struct tree_entry entry;
        if (!tree_decode_entry(&c, &entry, err) || !each(arg, &entry, err))
            return false;
    }
    return true;
}

/* Without a record */

struct search {
    struct checkpoint_source source;
    const struct keyring *keyring;
    struct deadline until;
    struct buf ids;   /* struct pack_id, newest first when sorted */
    struct err first; /* what was wrong with the newest pack that was passed over */
};

static void search_fini(struct search *s) { buf_fini(&s->ids); }

static const struct pack_id *id_at(const struct search *s, size_t i)
{
    return (const struct pack_id *)(const void *)s->ids.data + i;
}

static size_t id_count(const struct search *s) { return s->ids.len / sizeof(struct pack_id); }

static bool note_id(void *arg, const struct pack_info *info, struct err *err)
{
    struct search *s = arg;
    struct pack_id id;
    struct err foreign; /* what is no pack of ours says nothing */
    (void)err;
    if (pack_id_parse(view_str(info->pack), &id, &foreign))
        buf_put(&s->ids, view_of(&id, sizeof(id)));
    return true;
}

static int newest_first(const void *a, const void *b)
{
    uint64_t left = ((const struct pack_id *)a)->sequence,
             right = ((const struct pack_id *)b)->sequence;
    return left < right ? 1 : left > right ? -1 : 0;
}

/* Damage is passed over, and told if nothing else is found; a store that does not answer ends it.
 */
static bool pass_over(struct search *s, const struct err *why, struct err *err)
{
    if (why->kind != ERR_CORRUPT && why->kind != ERR_NOT_FOUND) {
        *err = *why;
        return false;
    }
    if (s->first.kind == ERR_NONE)
        s->first = *why;
    return true;
}

static bool nothing_found(const struct search *s, const char *what, struct err *err)
{
    if (s->first.kind == ERR_NONE)
        return err_set(err, ERR_NOT_FOUND, "no pack %s", what);
    *err = s->first;
    err->kind = ERR_CORRUPT;
    return err_wrap(err, "no pack %s", what);
}

static bool find_key(struct search *s, struct agent_keys **out, struct err *err)
{
    CLEANUP(fetch_fini) struct fetch f = { 0 };
    fetch_init(&f, &s->source, s->until);
    for (size_t i = 0; i < id_count(s); i++) {
        struct pack_header header;
        struct err why = { 0 };
        struct view wrapped = view_of(header.wrapped_key, sizeof(header.wrapped_key));
        if (!fetch_header(&f, *id_at(s, i), &header, &why)) {
            if (!pass_over(s, &why, err))
                return false;
        } else if (header.format != PACK_FORMAT_1) {
            if (keyring_unwrap(s->keyring, s->source.name, wrapped, out, &why))
                return true;
            if (!pass_over(s, &why, err))
                return false;
        }
    }
    return nothing_found(s, "carries the data key", err);
}

static bool is_newer(const struct manifest *m, const struct salvage *than)
{
    if (than->head[0] == '\0' || (int64_t)m->epoch != than->epoch)
        return than->head[0] == '\0' || (int64_t)m->epoch > than->epoch;
    return m->wall_ms > than->wall_ms;
}

/* One checkpoint may have several packs of its sequence: attempts of several holders. */
static bool find_head(struct search *s, struct salvage *out, struct err *err)
{
    CLEANUP(fetch_fini) struct fetch f = { 0 };
    fetch_init(&f, &s->source, s->until);
    s->first = (struct err){ 0 };
    for (size_t i = 0; i < id_count(s); i++) {
        struct pack_id id = *id_at(s, i);
        CLEANUP(manifest_fini) struct manifest m = { 0 };
        struct err why = { 0 };
        if (out->head[0] != '\0' && (int64_t)id.sequence < out->sequence)
            return true;
        if (!fetch_manifest(&f, id, &m, &why)) {
            if (!pass_over(s, &why, err))
                return false;
            out->damaged++;
        } else if (is_newer(&m, out)) {
            pack_id_format(id, out->head);
            out->sequence = (int64_t)id.sequence;
            out->epoch = (int64_t)m.epoch;
            out->wall_ms = m.wall_ms;
        }
    }
    return out->head[0] != '\0' || nothing_found(s, "has a whole manifest", err);
}

bool salvage_find(const struct checkpoint_source *source, const struct keyring *keyring, size_t max,
                  struct deadline until, struct salvage *out, struct err *err)
{
    CLEANUP(search_fini)
    struct search s = { .source = { .store = source->store, .name = source->name },
                        .keyring = keyring,
                        .until = until };
    *out = (struct salvage){ 0 };
    if (!store_pack_list(source->store, source->name, until, note_id, &s, err))
        return false;
    if (id_count(&s) == 0)
        return err_set(err, ERR_NOT_FOUND, "find packs of agent \"%.120s\": there are none",
                       source->name);
    qsort(s.ids.data, id_count(&s), sizeof(struct pack_id), newest_first);
    if (max > 0 && id_count(&s) > max)
        s.ids.len = max * sizeof(struct pack_id);
    if (!find_key(&s, &out->keys, err))
        return false;
    s.source.keys = out->keys;
    return find_head(&s, out, err);
}

void salvage_fini(struct salvage *salvage)
{
    agent_keys_free(salvage->keys);
    *salvage = (struct salvage){ 0 };
}
