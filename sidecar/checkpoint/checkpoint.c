#include "sidecar/checkpoint/checkpoint.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "sidecar/checkpoint/restore.h"
#include "sidecar/image/glob.h"
#include "sidecar/checkpoint/take.h"

#include <assert.h>

#define CHECKPOINT_MAGIC 0x63686b70u

struct checkpoint {
    unsigned magic;
    struct checkpoint_spec spec; /* root and exclude are ours */
    char **patterns;
    char *root;
    struct quick_seed seed;
    struct basis basis;     /* what the record names */
    struct basis candidate; /* what the record may name soon */
    bool has_candidate;
};

bool checkpoint_new(const struct checkpoint_spec *spec, struct checkpoint **out, struct err *err)
{
    for (size_t i = 0; i < spec->exclude_count; i++)
        if (!glob_check(spec->exclude[i], err))
            return false;
    if (!store_name_check(spec->source.name, err))
        return false;
    struct checkpoint *cp = mem_new(struct checkpoint);
    cp->magic = CHECKPOINT_MAGIC;
    cp->spec = *spec;
    cp->root = str_copy(spec->root);
    cp->patterns = mem_array(spec->exclude_count + 1, sizeof(char *));
    for (size_t i = 0; i < spec->exclude_count; i++)
        cp->patterns[i] = str_copy(spec->exclude[i]);
    cp->spec.root = cp->root;
    cp->spec.exclude = (const char *const *)cp->patterns;
    if (cp->spec.cut_bytes == 0)
        cp->spec.cut_bytes = CHECKPOINT_CUT_BYTES;
    cp->seed = quick_seed_new();
    *out = cp;
    return true;
}

void checkpoint_free(struct checkpoint *cp)
{
    if (cp == NULL)
        return;
    assert(cp->magic == CHECKPOINT_MAGIC);
    basis_fini(&cp->basis);
    basis_fini(&cp->candidate);
    for (size_t i = 0; i < cp->spec.exclude_count; i++)
        free(cp->patterns[i]);
    free(cp->patterns);
    free(cp->root);
    cp->magic = 0;
    free(cp);
}

static void take_facts(struct basis *basis, struct manifest *m)
{
    basis->id = m->id;
    basis->epoch = m->epoch;
    basis->wall_ms = m->wall_ms;
    basis->cut = m->cut;
    basis->packs = STEAL(m->packs);
    basis->pack_count = m->pack_count;
    basis_count(basis);
}

struct taking {
    struct take_spec spec;
    struct basis *out;
    struct checkpoint_result *result;
};

static bool take_held(void *arg, struct err *err)
{
    struct taking *t = arg;
    return take_run(&t->spec, t->out, t->result, err);
}

static bool check_text(const char *what, const char *text, size_t max, struct err *err)
{
    if (text == NULL || (strlen(text) <= max && utf8_is_valid(view_str(text))))
        return true;
    return err_set(err, ERR_INVALID, "%s: longer than %zu bytes or not UTF-8", what, max);
}

static bool check_request(const struct checkpoint_request *r, struct err *err)
{
    return check_text("reason", r->reason, MANIFEST_TEXT_MAX, err) &&
           check_text("label", r->label, MANIFEST_TEXT_MAX, err) &&
           check_text("config digest", r->config_digest, MANIFEST_DIGEST_MAX, err) &&
           check_text("artifact digest", r->artifact_digest, MANIFEST_DIGEST_MAX, err);
}

bool checkpoint_take(struct checkpoint *cp, const struct checkpoint_request *request,
                     struct checkpoint_result *out, struct err *err)
{
    assert(cp->magic == CHECKPOINT_MAGIC && !cp->has_candidate);
    if (!check_request(request, err))
        return false;
    struct taking t = { { &cp->spec, request, &cp->basis, &cp->seed }, &cp->candidate, out };
    if (!agent_keys_hold(cp->spec.source.keys, take_held, &t, err)) {
        basis_fini(&cp->candidate);
        return false;
    }
    if (out->is_changed) {
        cp->has_candidate = true;
        return true;
    }
    catalog_fini(&cp->basis.catalog);
    cp->basis.catalog = cp->candidate.catalog;
    cp->candidate = (struct basis){ 0 };
    return true;
}

void checkpoint_committed(struct checkpoint *cp)
{
    assert(cp->magic == CHECKPOINT_MAGIC && cp->has_candidate);
    basis_fini(&cp->basis);
    cp->basis = cp->candidate;
    cp->candidate = (struct basis){ 0 };
    cp->has_candidate = false;
}

void checkpoint_dropped(struct checkpoint *cp)
{
    assert(cp->magic == CHECKPOINT_MAGIC && cp->has_candidate);
    basis_fini(&cp->candidate);
    cp->has_candidate = false;
}

bool checkpoint_restore_into(struct checkpoint *cp, const char *head, const char *keep_as,
                             struct deadline until, struct restore_report *out, struct err *err)
{
    assert(cp->magic == CHECKPOINT_MAGIC && pack_id_is_none(cp->basis.id) && cp->spec.epoch > 0);
    CLEANUP(restored_fini) struct restored restored = { 0 };
    struct restore_spec spec = { .id = head,
                                 .target = cp->root,
                                 .epoch_max = (uint64_t)cp->spec.epoch,
                                 .keep_as = keep_as,
                                 .until = until };
    if (!restore_with(&cp->spec.source, &spec, &restored, out, err))
        return false;
    cp->basis.catalog = restored.catalog;
    restored.catalog = (struct catalog){ 0 };
    cp->basis.tree_refs = STEAL(restored.refs.refs);
    cp->basis.tree_ref_count = restored.refs.count;
    take_facts(&cp->basis, &restored.manifest);
    return true;
}
