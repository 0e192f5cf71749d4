/* record.h - the record: who runs an agent, in which epoch, and the head of its checkpoints.
 *
 * One JSON object of at most 16 KiB in one register, authenticated with a key that is derived from
 * the agent's data key, which travels inside the record, wrapped. Pure: bytes to struct and back.
 * Format with golden bytes: proto/lease.md. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

#define RECORD_FORMAT         1
#define RECORD_MAX_BYTES      ((size_t)16384)
#define RECORD_NAME_MAX       512
#define RECORD_INSTANCE_BYTES 16
#define RECORD_NONCE_BYTES    16
#define RECORD_WRAPPED_BYTES  84 /* the wrapped data key (KEYRING_WRAPPED_BYTES) */
#define RECORD_MAC_BYTES      32
#define RECORD_TTL_MIN_MS     1000
#define RECORD_TTL_MAX_MS     86400000
#define RECORD_NUMBER_MAX     ((INT64_C(1) << 53) - 1) /* what every JSON reader keeps exact */

/* Who holds the lease. Only `instance` decides anything: it is random for each process. */
struct record_holder {
    uint8_t instance[RECORD_INSTANCE_BYTES];
    char alloc_id[64]; /* empty outside Nomad */
    char node[256];
    char region[128];
    char address[256];
};

/* The newest committed checkpoint. */
struct record_head {
    char id[129];     /* its manifest, as sidecar/checkpoint names it */
    int64_t sequence; /* 1, 2, 3, ... over all epochs */
    int64_t epoch;    /* that committed it */
    int64_t wall_ms;  /* for people only (Unix time) */
};

struct record {
    char name[RECORD_NAME_MAX + 1];
    int64_t epoch;    /* 1, 2, 3, ...: grows with each holder */
    int64_t renewals; /* writes within this epoch */
    int64_t ttl_ms;   /* what the holder promised: a successor waits this long */
    bool released;
    bool has_head;
    struct record_head head;
    struct record_holder holder;
    uint8_t nonce[RECORD_NONCE_BYTES];         /* of this write: recognises it after a lost reply */
    uint8_t wrapped_key[RECORD_WRAPPED_BYTES]; /* drawn with the first record, then kept */
    char config_digest[129];   /* hex or empty: the holder's effective configuration */
    char artifact_digest[129]; /* hex or empty: what was verified before the start */
    char accessor[513];        /* sealed by the holder, or empty: its Vault token's accessor */
};

/* Computes the 32-byte tag of `bytes` with the key that belongs to `record` (its wrapped data key
 * is unwrapped for that). Errors: CORRUPT when the key cannot be unwrapped. */
typedef bool record_mac_fn(void *arg, const struct record *record, struct view bytes,
                           uint8_t out[RECORD_MAC_BYTES], struct err *err);
struct record_auth {
    record_mac_fn *mac;
    void *arg;
};

/** Appends the bytes of `record` with its tag. Errors: INVALID a field is out of its limits or
 *  the whole is larger than RECORD_MAX_BYTES; those of `auth`. */
MUST_USE bool record_encode(const struct record *record, const struct record_auth *auth,
                            struct buf *out, struct err *err);

/** Reads, checks the tag in constant time and that the record is the one of agent `name`. Errors:
 *  CORRUPT for anything else (truncated, foreign, another format, another key): such a record is
 *  never overwritten. */
MUST_USE bool record_decode(struct view bytes, const char *name, const struct record_auth *auth,
                            struct record *out, struct err *err);

/** True when both name the same process. */
bool record_is_held_by(const struct record *record, const uint8_t instance[RECORD_INSTANCE_BYTES]);
