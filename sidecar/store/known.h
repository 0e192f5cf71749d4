/* known.h - which store this node met behind a URL, remembered across processes and reboots.
 *
 * Private to this room. One small file per store in the directory of `struct store_memory`; it is
 * written once, whole or not at all, and never changed by us. Reasons: docs/decisions/004. */
#pragma once
#include "sidecar/store/store.h"

#define STORE_ID_BYTES 16

#define KNOWN_DIR        "known-stores" /* of the notes, beside the key file */
#define KNOWN_NAME_BYTES 8 /* of the digest: stores of one node never meet by accident */

struct known {  /* zeroed remembers nothing */
    char *path; /* of the note; NULL: nothing is remembered */
    char *dir;
    char name[2 * KNOWN_NAME_BYTES + 1]; /* of the note in `dir` */
    bool is_fixed;
};

/** The note about `url`, whose store is at `place`; parameters and doubled slashes are no part of
 *  the identity. `memory` may be NULL. Touches nothing yet. */
void known_init(struct known *known, const struct store_memory *memory, const char *place);
/** Releases; zeroed memory is fine. */
void known_fini(struct known *known);

/** The id of the store that was met, when there is a note. Errors: CORRUPT the note is damaged, and
 *  says which file; DENIED, UNAVAILABLE it cannot be read. */
MUST_USE bool known_read(const struct known *known, bool *out_is_noted, uint8_t id[STORE_ID_BYTES],
                         struct err *err);
/** Writes the note, durable on return; one that is there already stays, and must name the same
 *  store. Does nothing where nothing is remembered or the memory is fixed. Errors: UNAVAILABLE
 *  another store was noted meanwhile, or no space; DENIED; INVALID a file is in the way; as
 *  known_read. */
MUST_USE bool known_note(const struct known *known, const char *url,
                         const uint8_t id[STORE_ID_BYTES], struct err *err);
