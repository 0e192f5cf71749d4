#include "sidecar/engine/claim.h"

#include "common/base/own.h"
#include "common/base/text.h"

#include <stdio.h>

static bool open_stores(struct claim *claim, const struct sidecar_config *c, struct err *err)
{
    if (!store_name_check(c->name, err) || !store_open(c->lease.store, &claim->records, err))
        return false;
    if (!store_has(claim->records, STORE_REGISTER))
        return err_set(err, ERR_INVALID, "store \"%s\": holds no leases", c->lease.store);
    if (!c->state.is_present)
        return true;
    if (!store_open(c->state.store, &claim->packs, err))
        return false;
    return store_has(claim->packs, STORE_PACKS) ||
           err_set(err, ERR_INVALID, "store \"%s\": holds no checkpoints", c->state.store);
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

bool claim_open(struct claim *claim, const struct claim_spec *spec, struct err *err)
{
    const struct sidecar_config *c = spec->config;
    if (!open_stores(claim, c, err) || !digest(claim, c, err) ||
        !keyring_open(c->state.key_file, true, &claim->keyring, err))
        return false;
    struct record_holder who = { 0 };
    (void)snprintf(who.alloc_id, sizeof who.alloc_id, "%s", c->alloc_id);
    (void)snprintf(who.node, sizeof who.node, "%s", spec->node);
    (void)snprintf(who.region, sizeof who.region, "%s", c->region);
    const struct lease_spec lease = {
        .name = c->name,
        .ttl_ms = c->lease.ttl_ms,
        .margin_ms = c->lease.margin_ms,
        .who = &who,
        .config_digest = claim->config_digest,
        .store = claim->records,
        .clock = spec->clock,
    };
    if (!lease_spec_check(&lease, err))
        return false;
    claim->lease = lease_new(spec->loop, &lease, claim->keyring, &spec->shim, &spec->events);
    return true;
}

void claim_close(struct claim *claim)
{
    lease_free(claim->lease);
    keyring_close(claim->keyring);
    store_close(claim->packs);
    store_close(claim->records);
    *claim = (struct claim){ 0 };
}
