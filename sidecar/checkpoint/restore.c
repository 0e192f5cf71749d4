#include "sidecar/checkpoint/restore.h"

#include "common/base/fd.h"
#include "common/base/own.h"
#include "common/base/time.h"
#include "sidecar/checkpoint/loader.h"
#include "sidecar/checkpoint/place.h"
#include "sidecar/checkpoint/scan.h"
#include "sidecar/checkpoint/stage.h"

#include <stdlib.h>

/* A file on its way: freed when its last chunk is written. */
struct filling {
    struct stage_file file;
    size_t missing; /* chunks */
    struct filling *next;
};

struct restoring {
    const struct checkpoint_source *source;
    const struct restore_spec *spec;
    struct restore_report *out;
    struct restored *restored; /* or NULL */
    struct buf tree;
    struct tree_refs refs;
    struct manifest manifest;
    struct place place;
    struct stage stage;
    struct filling *open; /* files that miss chunks */
};

static void restoring_fini(struct restoring *r)
{
    while (r->open != NULL) {
        struct filling *file = r->open;
        r->open = file->next;
        fd_closep(&file->file.fd);
        free(file);
    }
    place_fini(&r->place);
    buf_fini(&r->tree);
    tree_refs_fini(&r->refs);
    manifest_fini(&r->manifest);
}

/* On a crew's thread: pwrite only, several at once into one file are fine. */
static bool write_chunk(const struct load *load, struct view plain, struct err *err)
{
    const struct filling *file = load->arg;
    return stage_write(&file->file, load->at, plain, err);
}

static void forget(struct restoring *r, struct filling *file)
{
    struct filling **at = &r->open;
    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
    free(file);
}

static bool chunk_done(void *arg, const struct load *load, const struct err *failure,
                       struct err *err)
{
    struct restoring *r = arg;
    struct filling *file = load->arg;
    if (failure != NULL) {
        *err = *failure;
        return false;
    }
    if (--file->missing > 0)
        return true;
    bool good = stage_finish(&r->stage, &file->file, err);
    forget(r, file);
    return good;
}

static bool fill_file(struct restoring *r, struct loader *loader, const struct tree_entry *entry,
                      struct err *err)
{
    struct stage_file opened = { .fd = FD_NONE };
    if (!stage_open(&r->stage, entry, &opened, err)) {
        fd_closep(&opened.fd);
        return false;
    }
    if (entry->chunks.len == 0)
        return stage_finish(&r->stage, &opened, err);
    struct filling *file = mem_new(struct filling);
    *file = (struct filling){ opened, entry->chunks.len / CHUNK_REF_BYTES, r->open };
    r->open = file;
    struct cursor chunks = cursor_of(entry->chunks, "tree");
    struct load load = { .kind = PACK_DATA, .arg = file };
    while (chunks.rest.len > 0) {
        if (!chunk_ref_decode(&chunks, &load.ref, err) || !loader_put(loader, &load, err))
            return false;
        load.at += load.ref.plain_len;
    }
    return true;
}

static bool make_entries(struct restoring *r, struct loader *loader, struct err *err)
{
    struct cursor c = cursor_of(buf_view(&r->tree), "tree");
    while (c.rest.len > 0) {
        struct tree_entry entry;
        if (!tree_decode_entry(&c, &entry, err))
            return false;
        bool good = entry.type == TREE_FILE ? fill_file(r, loader, &entry, err)
                                            : stage_make(&r->stage, &entry, err);
        if (!good)
            return false;
    }
    return loader_flush(loader, err);
}

static void free_entries(struct tree_entry **entries) { free(*entries); }

/* Directories get their facts last, the deepest first: the order of the tree, backwards. */
static bool finish_dirs(struct restoring *r, struct err *err)
{
    size_t count = r->manifest.totals.dirs;
    CLEANUP(free_entries) struct tree_entry *dirs = mem_array(count, sizeof(dirs[0]));
    struct cursor c = cursor_of(buf_view(&r->tree), "tree");
    for (size_t at = 0; c.rest.len > 0;) {
        struct tree_entry entry;
        if (!tree_decode_entry(&c, &entry, err))
            return false;
        if (entry.type == TREE_DIR)
            dirs[at++] = entry;
    }
    while (count > 0)
        if (!stage_finish_dir(&r->stage, &dirs[--count], err))
            return false;
    return true;
}

static bool fetch_plan(struct restoring *r, struct err *err)
{
    struct pack_id id;
    CLEANUP(fetch_fini) struct fetch f = { 0 };
    if (!pack_id_parse(view_str(r->spec->id), &id, err))
        return false;
    fetch_init(&f, r->source, r->spec->until);
    if (!fetch_manifest(&f, id, &r->manifest, err))
        return false;
    if (r->spec->epoch_max > 0 && r->manifest.epoch > r->spec->epoch_max)
        return err_set(err, ERR_FENCED, "checkpoint %s is of epoch %llu, ours is %llu", r->spec->id,
                       (unsigned long long)r->manifest.epoch,
                       (unsigned long long)r->spec->epoch_max);
    bool good = fetch_tree(&f, &r->manifest, &r->tree, &r->refs, err);
    r->out->read_bytes = f.read_bytes;
    return good;
}

/* The directory that is replaced says who its owner is now. */
static bool find_heir(struct restoring *r, struct err *err)
{
    struct cursor c = cursor_of(buf_view(&r->tree), "tree");
    struct tree_entry root; /* comes first */
    if (!tree_decode_entry(&c, &root, err))
        return false;
    r->stage.heir = (struct stage_heir){ .is_set = r->place.has_old,
                                         .was_uid = root.uid,
                                         .uid = r->place.old_uid,
                                         .was_gid = root.gid,
                                         .gid = r->place.old_gid };
    return true;
}

static bool build(struct restoring *r, struct err *err)
{
    r->stage = (struct stage){ .root_fd = place_borrow_fd(&r->place) };
    if (!find_heir(r, err))
        return false;
    CLEANUP(loader_freep)
    struct loader *loader = loader_new(&(struct loader_spec){ .source = r->source,
                                                              .manifest = &r->manifest,
                                                              .until = r->spec->until,
                                                              .threads = source_threads(r->source),
                                                              .use = write_chunk,
                                                              .done = chunk_done,
                                                              .done_arg = r });
    bool good = make_entries(r, loader, err) && finish_dirs(r, err);
    r->out->read_bytes += loader_read_bytes(loader);
    r->out->not_owned = r->stage.not_owned;
    r->out->not_marked = r->stage.not_marked;
    return good;
}

/* Then the tree says of its entries what is no longer so: the next checkpoint takes them anew. */
static bool has_new_owner(const struct stage_heir *heir)
{
    return heir->is_set && (heir->uid != heir->was_uid || heir->gid != heir->was_gid);
}

/* What lies on the disk has the same entries, types and sizes as the tree. Content was checked
 * chunk by chunk, owners and times may be coarser on this file system. */
static bool compare(struct restoring *r, struct catalog *planned, struct err *err)
{
    char shown[128];
    struct catalog none = { 0 };
    CLEANUP(scan_fini) struct scan found = { 0 };
    struct scan_spec how = { .root_fd = place_borrow_fd(&r->place), .before = &none };
    if (!scan_tree(&how, &found, err))
        return false;
    if (planned->count != found.catalog.count)
        return err_set(err, ERR_CORRUPT, "restore: %zu entries written, %zu are on the disk",
                       planned->count, found.catalog.count);
    for (size_t i = 0; i < planned->count; i++) {
        struct item *plan = &planned->items[i];
        const struct item *item = &found.catalog.items[i];
        struct view path = catalog_borrow_path(planned, i);
        if (!view_is_equal(path, catalog_borrow_path(&found.catalog, i)) ||
            plan->type != item->type || (plan->type == TREE_FILE && plan->size != item->size))
            return err_set(err, ERR_CORRUPT, "restore: \"%s\" is not on the disk as it was written",
                           scan_show(path, shown));
        if (has_new_owner(&r->stage.heir)) /* as nothing is known of it, the next scan reads it */
            continue;
        plan->ino = item->ino;
        plan->dev = item->dev;
        plan->mtime_ns = item->mtime_ns;
        plan->ctime_ns = item->ctime_ns;
        plan->is_racy = item->is_racy;
        if (plan->type == TREE_DIR)
            plan->size = item->size;
    }
    return true;
}

static void hand_out(struct restoring *r, struct catalog *planned)
{
    r->restored->manifest = r->manifest;
    r->manifest = (struct manifest){ 0 };
    r->restored->refs = r->refs;
    r->refs = (struct tree_refs){ 0 };
    r->restored->catalog = *planned;
    *planned = (struct catalog){ 0 };
}

static bool run_planned(struct restoring *r, struct catalog *planned, struct err *err)
{
    struct err late = { 0 };
    if (!fetch_plan(r, err) || !catalog_from_tree(buf_view(&r->tree), planned, err) ||
        !place_open(r->spec->target, r->spec->is_new_only, &r->place, err) ||
        !place_has_room(&r->place, r->manifest.totals.bytes, err) || !build(r, err) ||
        !compare(r, planned, err))
        return false;
    r->out->is_put_aside = r->spec->keep_as != NULL && r->place.has_old;
    if (!place_swap(&r->place, r->spec->keep_as, err))
        return false;
    r->out->is_old_kept = !place_remove_old(&r->place, r->out->left_behind,
                                            sizeof(r->out->left_behind), &late);
    pack_id_format(r->manifest.id, r->out->id);
    r->out->sequence = (int64_t)r->manifest.id.sequence;
    r->out->epoch = (int64_t)r->manifest.epoch;
    r->out->totals = r->manifest.totals;
    if (r->restored != NULL)
        hand_out(r, planned);
    return true;
}

static bool run(void *arg, struct err *err)
{
    CLEANUP(catalog_fini) struct catalog planned = { 0 };
    return run_planned(arg, &planned, err);
}

void restored_fini(struct restored *restored)
{
    manifest_fini(&restored->manifest);
    catalog_fini(&restored->catalog);
    tree_refs_fini(&restored->refs);
}

bool restore_with(const struct checkpoint_source *source, const struct restore_spec *spec,
                  struct restored *restored, struct restore_report *out, struct err *err)
{
    CLEANUP(restoring_fini)
    struct restoring r = { .source = source, .spec = spec, .out = out, .restored = restored };
    struct mono began = mono_now();
    *out = (struct restore_report){ 0 };
    bool good = agent_keys_hold(source->keys, run, &r, err);
    out->spent_us = mono_diff_us(mono_now(), began);
    return good;
}

bool checkpoint_restore(const struct checkpoint_source *source, const struct restore_spec *spec,
                        struct restore_report *out, struct err *err)
{
    return restore_with(source, spec, NULL, out, err);
}
