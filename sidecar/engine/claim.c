#include "sidecar/engine/claim.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "sidecar/checkpoint/checkpoint.h"

#include <assert.h>
#include <stdio.h>

#define LOOK_TRY_MS 30000 /* listing the packs of one agent */

static bool open_records(struct claim *claim, const struct sidecar_config *c,
                         const struct store_memory *memory, struct err *err)
{
    if (!store_open(c->lease.store, memory, &claim->records, err))
        return false;
    return store_has(claim->records, STORE_REGISTER) ||
           err_set(err, ERR_INVALID, "store \"%.100s\" holds no leases", c->lease.store);
}

static bool open_packs(struct claim *claim, const struct sidecar_config *c,
                       const struct store_memory *memory, struct err *err)
{
    if (!store_open(c->state.store, memory, &claim->packs, err) ||
        !store_open(c->state.store, memory, &claim->watched, err))
        return false;
    return store_has(claim->packs, STORE_PACKS) ||
           err_set(err, ERR_INVALID, "store \"%.100s\" holds no checkpoints", c->state.store);
}

/* The key that a person has to look at: a lease without a store of its own has the state's. */
static const char *lease_key(const struct sidecar_config *c)
{
    bool is_same = c->state.is_present && strcmp(c->lease.store, c->state.store) == 0;
    return is_same ? "state.store" : "lease.store";
}

static bool open_stores(struct claim *claim, const struct sidecar_config *c, struct err *err)
{
    CLEANUP(str_freep) char *notes = store_memory_beside(c->state.key_file);
    const struct store_memory memory = { .dir = notes };
    if (!store_name_check(c->name, err))
        return err_wrap(err, "name");
    if (!open_records(claim, c, &memory, err))
        return err_wrap(err, "%s", lease_key(c));
    return !c->state.is_present || open_packs(claim, c, &memory, err) ||
           err_wrap(err, "state.store");
}

static bool digest(struct claim *claim, const struct sidecar_config *c, struct err *err)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    uint8_t bytes[CRYPTO_HASH_BYTES];
    if (!config_put_hcl(&text, c, err))
        return false;
    crypto_digest(buf_view(&text), bytes);
    hex_encode(view_of(bytes, sizeof bytes), claim->config_digest);
    return true;
}

bool claim_open(struct claim *claim, const struct sidecar_config *config, struct err *err)
{
    struct err why = { 0 };
    claim->key_file = config->state.key_file;
    if (!open_stores(claim, config, err) || !digest(claim, config, err))
        return false;
    if (keyring_open(claim->key_file, false, &claim->keyring, &why) || why.kind == ERR_NOT_FOUND)
        return true;
    *err = why;
    return false;
}

/* The wrapped key of a record is read before its tag, for which there is no key. */
static bool note_wrapped(void *arg, const struct record *record, struct view bytes,
                         uint8_t out[RECORD_MAC_BYTES], struct err *err)
{
    char *id = arg;
    (void)bytes, (void)out;
    keyring_wrapped_id(record->wrapped_key, id);
    return err_set(err, ERR_DENIED, "no key");
}

static bool refuse_new_key(const struct claim *claim, const char *key_id, struct err *err)
{
    return err_set(
        err, ERR_DENIED,
        "key file \"%.90s\": is absent, but agent \"%.40s\" has state%s%s: copy that key "
        "file here",
        claim->key_file, claim->look.name, key_id[0] != '\0' ? " under key " : "", key_id);
}

/* Only for an agent that has nothing: no record, no packs. */
static bool make_key(struct claim *claim, struct deadline until, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct store_version version;
    struct record record;
    struct err why = { 0 };
    char key_id[KEYRING_ID_TEXT] = "";
    const struct record_auth peek = { note_wrapped, key_id };
    if (store_read(claim->records, claim->look.name, until, &bytes, &version, &why)) {
        (void)!record_decode(buf_view(&bytes), claim->look.name, &peek, &record, &why);
        return refuse_new_key(claim, key_id, err);
    }
    if (why.kind != ERR_NOT_FOUND) {
        *err = why;
        return why.kind == ERR_CORRUPT && refuse_new_key(claim, "", err);
    }
    if (claim->look.min_sequence > 0)
        return refuse_new_key(claim, "", err);
    return keyring_open(claim->key_file, true, &claim->keyring, err);
}

static bool note_sequence(void *arg, const struct pack_info *info, struct err *err)
{
    int64_t *highest = arg;
    struct pack_id id;
    struct err foreign; /* what is no pack of ours says nothing */
    (void)err;
    if (pack_id_parse(view_str(info->pack), &id, &foreign) && (int64_t)id.sequence > *highest)
        *highest = (int64_t)id.sequence;
    return true;
}

/* Packs that do not verify prove nothing here; whoever needs them finds out. */
static bool note_epoch(const struct claim *claim, struct claim_look *look, struct deadline until)
{
    struct salvage found = { 0 };
    const struct checkpoint_source source = { .store = claim->packs, .name = look->name };
    bool is_found = salvage_find(&source, claim->keyring, SALVAGE_FLOOR_PACKS, until, &found,
                                 &look->err);
    if (is_found)
        look->min_epoch = found.epoch;
    salvage_fini(&found);
    return is_found || look->err.kind == ERR_CORRUPT || look->err.kind == ERR_NOT_FOUND ||
           err_wrap(&look->err, "read packs");
}

static void look_job(void *arg)
{
    struct claim *claim = arg;
    struct claim_look *look = &claim->look;
    struct deadline until = deadline_after(boot_now(), LOOK_TRY_MS, 0);
    const bool needs_key = claim->keyring == NULL && claim->key_file != NULL;
    look->is_ok = (claim->packs == NULL ||
                   store_pack_list(claim->packs, look->name, until, note_sequence,
                                   &look->min_sequence, &look->err)) &&
                  (!needs_key || make_key(claim, until, &look->err)) &&
                  (claim->packs == NULL || note_epoch(claim, look, until));
}

static void on_look_done(void *arg)
{
    struct claim_look *look = &((struct claim *)arg)->look;
    look->is_busy = false;
    look->on_looked(look->arg, look->is_ok ? NULL : &look->err);
}

void claim_look(struct claim *claim, struct loop *loop, const char *name,
                claim_looked_fn *on_looked, void *arg)
{
    assert(!claim->look.is_busy);
    claim->look = (struct claim_look){
        .is_busy = true, .name = name, .on_looked = on_looked, .arg = arg
    };
    loop_work(loop, look_job, on_look_done, claim);
}

bool claim_make_lease(struct claim *claim, const struct claim_lease *spec, struct err *err)
{
    const struct sidecar_config *c = spec->config;
    struct record_holder who = { 0 };
    (void)snprintf(who.alloc_id, sizeof who.alloc_id, "%s", c->alloc_id);
    (void)snprintf(who.node, sizeof who.node, "%s", spec->node);
    (void)snprintf(who.region, sizeof who.region, "%s", c->region);
    const struct lease_spec lease = {
        .name = c->name,
        .ttl_ms = c->lease.ttl_ms,
        .margin_ms = c->lease.margin_ms,
        .min_epoch = claim->look.min_epoch,
        .min_sequence = claim->look.min_sequence,
        .who = &who,
        .config_digest = claim->config_digest,
        .store = claim->records,
        .clock = spec->clock,
    };
    assert(claim->keyring != NULL);
    if (!lease_spec_check(&lease, err))
        return false;
    claim->lease = lease_new(spec->loop, &lease, claim->keyring, &spec->shim, &spec->events);
    return true;
}

void claim_close(struct claim *claim)
{
    assert(!claim->look.is_busy);
    lease_free(claim->lease);
    keyring_close(claim->keyring);
    store_close(claim->watched);
    store_close(claim->packs);
    store_close(claim->records);
    *claim = (struct claim){ 0 };
}
