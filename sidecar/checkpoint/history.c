#include "sidecar/checkpoint/history.h"

#include "common/base/own.h"
#include "sidecar/checkpoint/fetch.h"

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
