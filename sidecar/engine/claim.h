/* claim.h - what a configuration claims: the stores, the key file, and a lease over them.
 *
 * Opened once, when the shim has said hello; what a person got wrong is found here. Loop thread;
 * reads a small file. */
#pragma once
#include "sidecar/config/config.h"
#include "sidecar/crypto/keyring.h"
#include "sidecar/lease/lease.h"
#include "sidecar/store/store.h"

struct claim {                     /* zeroed is closed */
    struct store *records, *packs; /* packs NULL: the agent has no state */
    struct keyring *keyring;
    struct lease *lease; /* not started */
    char config_digest[2 * CRYPTO_HASH_BYTES + 1];
};

struct claim_spec {
    struct loop *loop;
    const struct clock *clock;
    const struct sidecar_config *config;
    const char *node;
    struct lease_shim shim;
    struct lease_events events;
};

/** Opens all of it; after a failure claim_close is still due. Errors: INVALID a store that cannot
 *  hold what it should, a name, a ttl; those of keyring_open. */
MUST_USE bool claim_open(struct claim *claim, const struct claim_spec *spec, struct err *err);
/** The lease must have stopped. */
void claim_close(struct claim *claim);
