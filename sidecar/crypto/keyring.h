/* keyring.h - the key file of a machine: it wraps the data keys of agents.
 *
 * The file is made on first use (0600, published exclusively, so that two first users agree on one
 * key) and is one line of text that an operator copies to every machine that may run the agents.
 * An agent's data key travels wrapped in its record and packs; this room never stores it. Blocking
 * (reads a file) in open only. Any thread may use an open keyring. */
#pragma once
#include "common/base/buf.h"
#include "sidecar/crypto/keys.h"

#define KEYRING_WRAPPED_BYTES 84 /* a wrapped data key: magic 4, key id 8, sealed key 72 */
#define KEYRING_ID_TEXT       17 /* 16 hex digits and NUL */

struct keyring;

/** Loads the key file, making it when it is absent and `may_create`. Errors: NOT_FOUND absent;
 *  DENIED no permission, owned by another user (neither ours nor root), or accessible to group or
 *  others; CORRUPT not a key file; INVALID not a regular file; SYSTEM. Each names the path. */
MUST_USE bool keyring_open(const char *path, bool may_create, struct keyring **out,
                           struct err *err);
/** Wipes. NULL is fine. */
void keyring_close(struct keyring *keyring);
static inline void keyring_closep(struct keyring **keyring)
{
    keyring_close(*keyring);
    *keyring = NULL;
}

/** The id of the key, 16 hex digits; no secret. Lent until close. */
const char *keyring_borrow_id(const struct keyring *keyring);

/** Draws a new data key for agent `name`: `out_wrapped` is what goes into its record. */
void keyring_wrap_new(const struct keyring *keyring, const char *name,
                      uint8_t out_wrapped[KEYRING_WRAPPED_BYTES]);

/** The id of the key that wrapped it, as it stands there; nothing is checked. */
void keyring_wrapped_id(const uint8_t wrapped[KEYRING_WRAPPED_BYTES], char out[KEYRING_ID_TEXT]);

/** The keys of agent `name` from its wrapped data key. Errors: CORRUPT: wrapped by another key
 *  (the message names both key ids and the file), or cut, changed or another agent's. */
MUST_USE bool keyring_unwrap(const struct keyring *keyring, const char *name, struct view wrapped,
                             struct agent_keys **out, struct err *err);
