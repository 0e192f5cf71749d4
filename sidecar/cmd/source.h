/* source.h - what the reading commands need: stores, key file, the agent's record, opened.
 *
 * From -config, or from -store, -name and -key-file; an option wins over the file. Reads only:
 * nothing is made, not even a key file. Blocking. */
#pragma once
#include "common/base/deadline.h"
#include "sidecar/checkpoint/history.h"
#include "sidecar/cmd/args.h"
#include "sidecar/config/config.h"
#include "sidecar/crypto/keyring.h"
#include "sidecar/lease/record_keys.h"
#include "sidecar/store/store.h"

#define SOURCE_OPTIONS                                                                         \
    (ARG_BIT(config) | ARG_BIT(store) | ARG_BIT(name) | ARG_BIT(key_file) | ARG_BIT(timeout) | \
     ARG_BIT(without_record))

struct source {                    /* zeroed is closed */
    struct sidecar_config *config; /* NULL without -config */
    char *name;
    struct store *records, *packs;
    struct keyring *keyring;
    struct record_keys record_keys;
    struct record record;    /* with -without-record: of the head only, which the packs name */
    struct salvage salvaged; /* with -without-record */
    struct checkpoint_source checkpoints;
    struct deadline until;
};

/** Opens and reads the record; with -without-record it finds key and newest checkpoint in the packs
 *  instead, and says so on stderr. After a failure source_close is still due. Errors: INVALID an
 *  option; NOT_FOUND no record of this name (or no packs), or no key file; CORRUPT; UNAVAILABLE;
 * DENIED. */
MUST_USE bool source_open(struct source *source, const struct args *args, struct err *err);
/** Closes. */
void source_close(struct source *source);

/** The checkpoint meant by -at, or the newest one. Lent by args or source. Errors: NOT_FOUND there
 *  is none yet. */
MUST_USE bool source_pick(const struct source *source, const struct args *args, const char **out,
                          struct err *err);

/** Loads the file of -config under the environment of this process. Errors: INVALID, NOT_FOUND. */
MUST_USE bool source_config(const char *path, struct sidecar_config **out, struct err *err);
