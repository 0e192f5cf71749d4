/* record_keys.h - the tag of a record by the key file: unwraps the record's data key and keeps it.
 *
 * One owner, one thread. The unwrapped keys are those of the newest record that was read or
 * written; an agent keeps its data key for life, so they are unwrapped once. */
#pragma once
#include "sidecar/crypto/keyring.h"
#include "sidecar/crypto/keys.h"
#include "sidecar/lease/record.h"

struct record_keys {
    const struct keyring *keyring; /* borrowed */
    struct agent_keys *keys;       /* NULL until the first record */
    uint8_t wrapped[RECORD_WRAPPED_BYTES];
};

/** Nothing unwrapped yet. */
static inline struct record_keys record_keys_of(const struct keyring *keyring)
{
    return (struct record_keys){ .keyring = keyring };
}
/** Wipes; zeroed memory is fine. */
void record_keys_fini(struct record_keys *rk);

/** The auth for record_encode and record_decode; lent, `rk` outlives it. */
struct record_auth record_keys_auth(struct record_keys *rk);
