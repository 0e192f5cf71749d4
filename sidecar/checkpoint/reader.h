/* reader.h - reads the content of files into chunks.
 *
 * Opens without blocking and without following links, takes regular files only, reads as far as
 * the size seen at the start. Where the fingerprints of the catalog before still hold, its chunks
 * are reused; the others go to a sink: the sealer, or memory while the agent is frozen. */
#pragma once
#include "common/base/deadline.h"
#include "sidecar/checkpoint/scan.h"

/* Takes a copy of one chunk whose ref belongs at position `at` of the catalog's refs. */
typedef bool reader_put_fn(void *arg, struct view plain, size_t at, struct err *err);

struct reader {
    int root_fd;                  /* borrowed */
    struct catalog *catalog;      /* whose entries are filled */
    const struct catalog *before; /* where known chunks come from */
    const struct pack_set *leave; /* chunks in these packs are not reused; or NULL */
    const struct quick_seed *seed;
    struct deadline until;
    bool may_trust_growth; /* logs that grew: their old part is sampled, not read */
    bool is_still;         /* nobody writes now: equal times are enough to sample as well */
    int64_t doubt_ns;      /* see scan_facts: READER_FLIGHT_NS while somebody may be writing */
    reader_put_fn *put;
    void *put_arg;
    int64_t now_ns;      /* when the file at hand was looked at */
    uint64_t read_bytes; /* counted */
    uint8_t *buffer;     /* READER_BUFFER bytes, borrowed */
};
#define READER_BUFFER (2 * CHUNK_MAX)

/* A write sets the times first and may then take this long to bring its bytes: a file that changed
 * this recently is read again when nobody can be in the middle of a write any more. */
#define READER_FLIGHT_NS (INT64_C(10) * 1000 * 1000 * 1000)

/* A log is read whole at the latest after so many samples. */
#define READER_TRUST_MAX 32

enum reader_outcome {
    READER_STEADY, /* it did not change meanwhile */
    READER_MOVED,  /* it did: the chunks are whole, but may be of different instants */
    READER_GONE    /* it is not there any more, or not a file: the entry is as it was */
};

/** Reads file `at` of the catalog and replaces its entry by what was seen. Errors: SYSTEM it
 *  cannot be read, naming it; INVALID beyond a limit of the format; UNAVAILABLE the deadline;
 *  those of the sink. */
MUST_USE bool reader_read(struct reader *r, size_t at, enum reader_outcome *out, struct err *err);
