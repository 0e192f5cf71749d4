#include "sidecar/checkpoint/take.h"

#include "common/base/dir.h"
#include "common/base/fd.h"
#include "common/base/own.h"
#include "common/base/text.h"
#include "common/base/time.h"
#include "sidecar/checkpoint/capture.h"
#include "sidecar/checkpoint/describe.h"
#include "sidecar/checkpoint/reader.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>

#define CUT_ATTEMPTS   3                    /* freezes that did not fit before the cut is fuzzy */
#define LIVE_ROUNDS    5                    /* scans of a tree that changes under the reader */
#define LIVE_PACKS_MAX 256                  /* then the emptiest are left, down to half of it */
#define LEAVE_BYTES    ((uint64_t)16 << 20) /* stored again at most for that, in one checkpoint */

void basis_fini(struct basis *basis)
{
    catalog_fini(&basis->catalog);
    free(basis->tree_refs);
    free(basis->tree_quick);
    free(basis->packs);
    pack_set_fini(&basis->live);
    *basis = (struct basis){ 0 };
}

void basis_count(struct basis *basis)
{
    for (size_t i = 0; i < basis->catalog.count; i++) {
        const struct item *item = &basis->catalog.items[i];
        for (size_t j = 0; j < item->ref_count; j++) {
            const struct chunk_ref *ref = &basis->catalog.refs[item->first_ref + j];
            pack_set_add(&basis->live, ref->pack, ref->sealed_len);
        }
    }
    for (size_t i = 0; i < basis->tree_ref_count; i++)
        pack_set_add(&basis->live, basis->tree_refs[i].pack, basis->tree_refs[i].sealed_len);
}

struct take {
    const struct take_spec *spec;
    struct fd root;
    struct pack_id id;
    struct pack_set leave; /* packs that shall not be needed any more */
    struct pack_out *pack;
    struct sealer *sealer;
    uint8_t *buffer;
    struct scan now; /* the newest scan */
    uint32_t moved, gone;
    bool is_fuzzy;
    int64_t scan_us; /* what looking at all names took */
    struct checkpoint_result *result;
};

static void take_fini(struct take *t)
{
    sealer_free(t->sealer);
    pack_out_free(t->pack);
    scan_fini(&t->now);
    pack_set_fini(&t->leave);
    free(t->buffer);
    fd_closep(&t->root);
}

/* The packs with the fewest needed bytes, when there are too many: their chunks are stored again,
 * so that manifests stay short and restores few reads. */
static void choose_leaving(struct take *t)
{
    const struct pack_set *live = &t->spec->before->live;
    uint64_t bytes = 0;
    if (live->count <= LIVE_PACKS_MAX)
        return;
    while (live->count - t->leave.count > LIVE_PACKS_MAX / 2) {
        size_t best = SIZE_MAX;
        for (size_t i = 0; i < live->count; i++)
            if ((best == SIZE_MAX || live->bytes[i] < live->bytes[best]) &&
                !pack_set_has(&t->leave, live->sequences[i]))
                best = i;
        bytes += live->bytes[best];
        if (bytes > LEAVE_BYTES)
            return;
        pack_set_add(&t->leave, live->sequences[best], 0);
    }
}

/* The agent may exchange what is beside its directory at any time, also while we come. */
static bool open_root(const char *path, struct fd *out, struct err *err)
{
    return dir_open(path, out, err) || err_wrap(err, "state directory");
}

static bool scan_again(struct take *t, const struct catalog *before, const struct pack_set *leave,
                       struct scan *out, struct err *err)
{
    const struct checkpoint_spec *spec = t->spec->spec;
    struct scan_spec how = { .root_fd = t->root.raw,
                             .before = before,
                             .exclude = spec->exclude,
                             .exclude_count = spec->exclude_count,
                             .may_trust_growth = t->spec->request->may_trust_growth,
                             .leave = leave };
    return scan_tree(&how, out, err);
}

static bool put_to_sealer(void *sealer, struct view plain, size_t at, struct err *err)
{
    return sealer_put(sealer, plain, at, err);
}

static void place_in_catalog(void *catalog, size_t at, const struct chunk_ref *ref, uint64_t quick)
{
    struct catalog *c = catalog;
    c->refs[at] = *ref;
    c->quick[at] = quick;
}

static struct reader reader_for(struct take *t, struct catalog *catalog,
                                const struct catalog *before, const struct pack_set *leave)
{
    return (struct reader){ .root_fd = t->root.raw,
                            .catalog = catalog,
                            .before = before,
                            .leave = leave,
                            .seed = t->spec->seed,
                            .until = t->spec->request->until,
                            .may_trust_growth = t->spec->request->may_trust_growth,
                            .doubt_ns = t->spec->request->cut != NULL ? READER_FLIGHT_NS
                                                                      : SCAN_TICK_NS,
                            .put = put_to_sealer,
                            .put_arg = t->sealer,
                            .buffer = t->buffer };
}

/* Reads what `scan` found changed, while the agent may go on. */
static bool read_live(struct take *t, struct scan *scan, const struct catalog *before,
                      const struct pack_set *leave, struct err *err)
{
    struct reader reader = reader_for(t, &scan->catalog, before, leave);
    t->moved = t->gone = 0;
    sealer_aim(t->sealer, PACK_DATA, place_in_catalog, &scan->catalog);
    for (size_t i = 0; i < scan->dirty_count; i++) {
        enum reader_outcome outcome = READER_STEADY;
        if (!reader_read(&reader, scan->dirty[i], &outcome, err))
            return false;
        t->moved += outcome == READER_MOVED;
        if (outcome == READER_GONE)
            scan->dirty[t->gone++] = scan->dirty[i]; /* kept at the front of the list */
    }
    t->result->read_bytes += reader.read_bytes;
    if (!sealer_flush(t->sealer, err))
        return false;
    for (size_t i = t->gone; i-- > 0;)
        catalog_remove(&scan->catalog, scan->dirty[i]); /* it has no content */
    return true;
}

/* `next` becomes the newest scan. */
static void advance(struct take *t, struct scan *next)
{
    scan_fini(&t->now);
    t->now = *next;
    *next = (struct scan){ 0 };
}

/* Scans and reads until nothing moved meanwhile or the rounds are over: then the cut is fuzzy. */
static bool settle(struct take *t, struct err *err)
{
    for (int round = 0; round < LIVE_ROUNDS && t->moved + t->gone > 0; round++) {
        CLEANUP(scan_fini) struct scan next = { 0 };
        if (!scan_again(t, &t->now.catalog, NULL, &next, err) ||
            !read_live(t, &next, &t->now.catalog, NULL, err))
            return false;
        advance(t, &next);
    }
    if (t->gone > 0 && !catalog_has_targets(&t->now.catalog))
        return err_set(err, ERR_UNAVAILABLE,
                       "save \"%s\": names of files vanish faster than they can be read",
                       t->spec->spec->root);
    t->is_fuzzy = t->is_fuzzy || t->moved + t->gone > 0;
    return true;
}

/* A file that was found equal while everything stood still needs no second proof, even if this cut
 * does not succeed: so each attempt has less to do. */
static void believe(struct take *t, const struct scan *next, size_t at)
{
    size_t old = catalog_find(&t->now.catalog, catalog_borrow_path(&next->catalog, at));
    if (old == SIZE_MAX)
        return;
    struct item *item = &t->now.catalog.items[old];
    const struct item *seen = &next->catalog.items[at];
    if (item->ino == seen->ino && item->ctime_ns == seen->ctime_ns &&
        item->mtime_ns == seen->mtime_ns && item->size == seen->size)
        item->is_racy = seen->is_racy;
}

/* Inside the freeze: reads what changed since the newest scan into memory. */
static bool capture_changes(struct take *t, struct scan *next, struct capture *capture,
                            struct err *err)
{
    if (!scan_again(t, &t->now.catalog, NULL, next, err))
        return false;
    struct reader reader = reader_for(t, &next->catalog, &t->now.catalog, NULL);
    reader.is_still = true;
    reader.doubt_ns = SCAN_TICK_NS; /* nobody is in the middle of a write */
    reader.put = capture_put;
    reader.put_arg = capture;
    for (size_t i = 0; i < next->dirty_count; i++) {
        enum reader_outcome outcome = READER_STEADY;
        size_t captured = capture->count;
        if (!reader_read(&reader, next->dirty[i], &outcome, err))
            return false;
        if (deadline_is_past(capture->end, boot_now())) {
            capture->is_over = true;
            return err_set(err, ERR_UNAVAILABLE, "cut: the pause allowed is over");
        }
        t->moved += outcome == READER_MOVED;
        t->gone += outcome == READER_GONE;
        if (outcome == READER_STEADY && capture->count == captured)
            believe(t, next, next->dirty[i]);
    }
    t->result->read_bytes += reader.read_bytes;
    return true;
}

/* One freeze. `*out_done` false: it was too much for the bounds, nothing is lost. */
static bool try_cut(struct take *t, int64_t freeze_ms, bool *out_done, struct err *err)
{
    const struct cut_ops *cut = t->spec->request->cut;
    size_t bytes_max = t->spec->spec->cut_bytes;
    CLEANUP(capture_fini) struct capture capture = { 0 };
    CLEANUP(scan_fini) struct scan next = { 0 };
    struct err why = { 0 };
    *out_done = false;
    /* From before the call: the other side ends the freeze by its own clock, also after a suspend.
     */
    capture_init(&capture, bytes_max, deadline_after(boot_now(), freeze_ms, 0));
    if (!cut->freeze(cut->arg, freeze_ms, &why)) {
        (void)snprintf(t->result->why_fuzzy, sizeof(t->result->why_fuzzy), "%.150s", why.msg);
        return true;
    }
    struct mono frozen = mono_now();
    t->moved = t->gone = 0;
    bool good = capture_changes(t, &next, &capture, &why);
    bool was_in_time = !deadline_is_past(capture.end, boot_now());
    cut->thaw(cut->arg);
    struct mono thawed = mono_now();
    int64_t pause_us = mono_diff_us(thawed, frozen);
    if (pause_us > t->result->pause_us)
        t->result->pause_us = pause_us;
    bool is_late = !was_in_time || t->moved + t->gone > 0;
    if (!good && !capture.is_over) {
        *err = why;
        return false;
    }
    if (!good || is_late) {
        (void)snprintf(t->result->why_fuzzy, sizeof(t->result->why_fuzzy), "%.150s",
                       good ? "cut: not over in the pause allowed, or somebody wrote during it"
                            : why.msg);
        return true;
    }
    sealer_aim(t->sealer, PACK_DATA, place_in_catalog, &next.catalog);
    if (!capture_replay(&capture, t->sealer, err) || !sealer_flush(t->sealer, err))
        return false;
    advance(t, &next);
    *out_done = true;
    return true;
}

/* A tree of many files is looked at once inside the freeze; a bound below that would never do. */
static int64_t default_freeze_ms(const struct take *t)
{
    int64_t needed_ms = CHECKPOINT_FREEZE_MS / 2 + 2 * t->scan_us / 1000;
    if (needed_ms > CHECKPOINT_FREEZE_MAX_MS)
        return CHECKPOINT_FREEZE_MAX_MS;
    return needed_ms > CHECKPOINT_FREEZE_MS ? needed_ms : CHECKPOINT_FREEZE_MS;
}

/* The instant that the checkpoint shows. Everything up to now was read while the agent ran. */
static bool make_cut(struct take *t, struct err *err)
{
    const struct checkpoint_request *request = t->spec->request;
    int64_t freeze_ms = request->freeze_ms > 0 ? request->freeze_ms : default_freeze_ms(t);
    if (request->cut == NULL)
        return settle(t, err);
    for (int attempt = 1;; attempt++) {
        bool is_done = false;
        if (!try_cut(t, freeze_ms, &is_done, err))
            return false;
        if (is_done)
            return true;
        t->moved = 1; /* read again what has changed by now, without the agent waiting */
        t->is_fuzzy = attempt == CUT_ATTEMPTS;
        if (t->is_fuzzy)
            return settle(t, err);
        CLEANUP(scan_fini) struct scan next = { 0 };
        if (!scan_again(t, &t->now.catalog, NULL, &next, err) ||
            !read_live(t, &next, &t->now.catalog, NULL, err))
            return false;
        advance(t, &next);
    }
}

static void copy_text(char *to, size_t room, const char *from)
{
    (void)snprintf(to, room, "%s", from == NULL ? "" : from);
}

/* The full ids of the packs that are needed, from those before and the one being made. */
static bool list_packs(const struct take *t, struct basis *out, struct err *err)
{
    const struct basis *before = t->spec->before;
    if (out->live.count > MANIFEST_PACKS_MAX)
        return err_set(err, ERR_INVALID, "checkpoint needs %zu packs: beyond the format's limit",
                       out->live.count);
    out->packs = mem_array(out->live.count, sizeof(struct pack_id));
    for (size_t i = 0, at = 0; i < out->live.count; i++) {
        uint64_t sequence = out->live.sequences[i];
        while (at < before->pack_count && before->packs[at].sequence < sequence)
            at++;
        bool is_own = sequence == t->id.sequence;
        assert(is_own || (at < before->pack_count && before->packs[at].sequence == sequence));
        out->packs[out->pack_count++] = is_own ? t->id : before->packs[at];
    }
    return true;
}

static bool make_basis(struct take *t, struct description *d, struct basis *out, struct err *err)
{
    out->id = t->id;
    out->epoch = (uint64_t)t->spec->spec->epoch;
    out->wall_ms = wall_now().ns / NS_PER_MS;
    out->cut = t->is_fuzzy ? CUT_FUZZY : CUT_CONSISTENT;
    out->catalog = t->now.catalog;
    t->now.catalog = (struct catalog){ 0 };
    out->tree_refs = STEAL(d->refs);
    out->tree_quick = STEAL(d->quick);
    out->tree_ref_count = d->count;
    basis_count(out);
    return list_packs(t, out, err);
}

/* Index and manifest: from here on the pack is a checkpoint, though nobody names it yet. */
static bool finish(struct take *t, struct basis *out, struct err *err)
{
    const struct checkpoint_request *request = t->spec->request;
    CLEANUP(description_fini) struct description d = { 0 };
    struct manifest m = { .id = t->id, .parent = t->spec->before->id };
    if (!describe(&t->now.catalog, t->spec->spec->source.keys, t->sealer, &d, err))
        return false;
    m.totals = catalog_totals(&t->now.catalog);
    m.skipped = t->now.skipped;
    size_t top = d.top;
    m.ref_count = d.count - top;
    m.levels = d.levels;
    m.tree_bytes = d.tree_bytes;
    memcpy(m.root_hash, d.root_hash, sizeof(m.root_hash));
    if (!make_basis(t, &d, out, err))
        return false;
    m.epoch = out->epoch;
    m.wall_ms = out->wall_ms;
    m.cut = out->cut;
    m.pause_us = (uint32_t)t->result->pause_us;
    m.stored_bytes = pack_out_bytes(t->pack);
    m.refs = out->tree_refs + top;
    m.packs = out->packs;
    m.pack_count = out->pack_count;
    copy_text(m.name, sizeof(m.name), t->spec->spec->source.name);
    copy_text(m.label, sizeof(m.label), request->label);
    copy_text(m.reason, sizeof(m.reason), request->reason);
    copy_text(m.config_digest, sizeof(m.config_digest), request->config_digest);
    copy_text(m.artifact_digest, sizeof(m.artifact_digest), request->artifact_digest);
    t->result->totals = m.totals;
    t->result->skipped = m.skipped;
    t->result->stored_bytes = m.stored_bytes;
    return pack_out_finish(t->pack, &m, err);
}

static void prepare(struct take *t)
{
    const struct checkpoint_spec *spec = t->spec->spec;
    const struct basis *before = t->spec->before;
    t->id.sequence = before->id.sequence + 1;
    crypto_random(t->id.nonce, sizeof(t->id.nonce));
    t->buffer = mem_array(READER_BUFFER, 1);
    t->pack = pack_out_new(&spec->source, t->id, t->spec->request->until);
    t->sealer = sealer_new(
        &(struct sealer_spec){ .source = &spec->source,
                               .pack = t->pack,
                               .id = t->id,
                               .known = { .data = before->catalog.refs,
                                          .data_count = before->catalog.ref_count,
                                          .tree = before->tree_refs,
                                          .tree_quick = before->tree_quick,
                                          .tree_count = before->tree_ref_count,
                                          .live = &before->live,
                                          .leave = &t->leave },
                               .seed = t->spec->seed,
                               .threads = source_threads(&spec->source) });
}

/* Nothing to store: the old checkpoint, with what was learned about this machine. */
static void keep_basis(struct take *t, struct basis *out)
{
    const struct basis *before = t->spec->before;
    *out = (struct basis){ .id = before->id,
                           .epoch = before->epoch,
                           .wall_ms = before->wall_ms,
                           .cut = before->cut,
                           .catalog = t->now.catalog };
    t->now.catalog = (struct catalog){ 0 };
    t->result->totals = catalog_totals(&out->catalog);
    t->result->skipped = t->now.skipped;
}

static bool is_unchanged(const struct take *t)
{
    const struct basis *before = t->spec->before;
    return !pack_id_is_none(before->id) && t->moved + t->gone == 0 &&
           (t->pack == NULL || pack_out_bytes(t->pack) == 0) &&
           catalog_is_equal(&t->now.catalog, &before->catalog);
}

static bool run(struct take *t, struct basis *out, struct err *err)
{
    const struct basis *before = t->spec->before;
    struct mono began = mono_now();
    choose_leaving(t);
    if (!open_root(t->spec->spec->root, &t->root, err) ||
        !scan_again(t, &before->catalog, &t->leave, &t->now, err))
        return false;
    t->scan_us = mono_diff_us(mono_now(), began);
    if (t->now.dirty_count > 0 || !is_unchanged(t)) {
        prepare(t);
        if (!read_live(t, &t->now, &before->catalog, &t->leave, err))
            return false;
    }
    if (is_unchanged(t)) {
        keep_basis(t, out);
        return true;
    }
    t->result->is_changed = true;
    return make_cut(t, err) && finish(t, out, err);
}

bool take_run(const struct take_spec *spec, struct basis *out, struct checkpoint_result *result,
              struct err *err)
{
    CLEANUP(take_fini) struct take t = { .spec = spec, .root = FD_NONE, .result = result };
    struct mono began = mono_now();
    *result = (struct checkpoint_result){ 0 };
    if (!run(&t, out, err))
        return false;
    if (!pack_id_is_none(out->id))
        pack_id_format(out->id, result->id);
    if (out->cut == CUT_CONSISTENT)
        result->why_fuzzy[0] = '\0';
    result->sequence = (int64_t)out->id.sequence;
    result->epoch = (int64_t)out->epoch;
    result->wall_ms = out->wall_ms;
    result->cut = out->cut;
    result->unstable = t.is_fuzzy ? t.moved : 0;
    result->spent_us = mono_diff_us(mono_now(), began);
    return true;
}
