/* claim.h - what a configuration claims: the stores, the key file, and a lease over them.
 *
 * Opened once, when the shim has said hello; what a person got wrong is found here. Then the packs
 * are looked at, then the lease is made. A key file is made by the look, and only for an agent that
 * has nothing in the stores yet: another one's key would mislead whoever looks for the right one.
 * Loop thread; opening reads a small file. */
#pragma once
#include "sidecar/config/config.h"
#include "sidecar/crypto/keyring.h"
#include "sidecar/lease/lease.h"
#include "sidecar/store/store.h"

typedef void claim_looked_fn(void *arg, const struct err *err); /* NULL: looked */

struct claim_look { /* the worker's while is_busy */
    bool is_busy, is_ok;
    const char *name;
    int64_t min_sequence; /* the highest sequence of any pack of this agent; 0: there are none */
    int64_t min_epoch;    /* of the newest manifest that verifies; 0: none does */
    struct err err;
    claim_looked_fn *on_looked;
    void *arg;
};

struct claim {                     /* zeroed is closed */
    struct store *records, *packs; /* packs NULL: the agent has no state */
    struct store *watched;         /* the packs' store again, for who looks after it meanwhile */
    struct keyring *keyring;       /* NULL until the look when the file is absent */
    const char *key_file;          /* of the configuration; NULL: none is made */
    char config_digest[2 * CRYPTO_HASH_BYTES + 1];
    struct claim_look look;
    struct lease *lease; /* NULL until it is made; not started then */
};

/** Opens the stores and, if it is there, the key file; `config` outlives the claim. After a failure
 * claim_close is still due. Errors: INVALID, naming the key, a store that cannot hold what it
 * should, a name; those of keyring_open but NOT_FOUND. */
MUST_USE bool claim_open(struct claim *claim, const struct sidecar_config *config, struct err *err);

/** Learns on a worker what the packs prove (min_sequence, min_epoch), before anything is asked of
 * the register: one that is behind them was emptied or put back to an old state (G4). Makes an
 * absent key file. `on_looked` runs once, not inside; its kinds: UNAVAILABLE; DENIED the key file
 * is absent where a record or packs exist, or as keyring_open. May be repeated. */
void claim_look(struct claim *claim, struct loop *loop, const char *name,
                claim_looked_fn *on_looked, void *arg);

struct claim_lease {
    struct loop *loop;
    const struct clock *clock;
    const struct sidecar_config *config;
    const char *node;
    struct lease_shim shim;
    struct lease_events events;
};

/** Makes the lease, after claim_look (asserted: the key is there). Errors: INVALID a ttl or margin.
 */
MUST_USE bool claim_make_lease(struct claim *claim, const struct claim_lease *spec,
                               struct err *err);
/** The lease must have stopped, and nobody looks (asserted). */
void claim_close(struct claim *claim);
