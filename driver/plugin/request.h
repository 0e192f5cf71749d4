/* request.h - the bytes of each task call as one plain struct.
 *
 * Every byte is the agent's: ids and signal names must be UTF-8 without NUL and within their
 * limits, durations are brought into range. Pure; fuzzed. Wire: proto/driver.proto. */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "driver/nomad/task_spec.h"

/* Real names have at most 12 characters. In a stop a longer one, or one that is not text, becomes
 * REQUEST_SIGNAL_BAD, which no signal is called: the default is sent (protocol 8.1). */
#define REQUEST_SIGNAL_MAX 64
#define REQUEST_SIGNAL_BAD "unreadable"
/* What a stop may take, and what a sample may be apart: a week is "for ever" here. */
#define REQUEST_DURATION_MAX_MS INT64_C(604800000)
#define REQUEST_STOP_DEFAULT_MS 5000 /* Nomad's kill_timeout */

/* Words of a command, and their bytes, at most: what the kernel takes is about as much. */
#define REQUEST_WORDS_MAX      4096
#define REQUEST_WORD_BYTES_MAX ((size_t)1 << 20)

struct words {   /* owns; zeroed is empty */
    char **list; /* NULL-terminated */
    size_t count;
};

enum request_kind {
    REQUEST_RECOVER,
    REQUEST_START,
    REQUEST_WAIT,
    REQUEST_STOP,
    REQUEST_DESTROY,
    REQUEST_INSPECT,
    REQUEST_STATS,
    REQUEST_SIGNAL,
    REQUEST_EXEC,
    REQUEST_KIND_COUNT
};

struct request {                         /* owns; zeroed is empty */
    char task_id[TASK_ID_MAX + 1];       /* all but START */
    char signal[REQUEST_SIGNAL_MAX + 1]; /* STOP, SIGNAL; may be "" */
    int64_t timeout_ms;                  /* STOP; EXEC: 0 as long as it takes */
    int64_t interval_ms;                 /* STATS; 0: not given */
    bool force;                          /* DESTROY */
    int32_t version;                     /* RECOVER: of driver_state */
    struct buf driver_state;             /* RECOVER */
    struct buf config;    /* START, RECOVER: an encoded TaskConfig, not looked at here */
    struct words command; /* EXEC; at least one */
};

/** Errors: INVALID malformed message, or a field that is missing or out of bounds, by name. */
MUST_USE bool request_decode(enum request_kind kind, struct view bytes, struct request *out,
                             struct err *err);
/** Releases; zeroed memory is fine. */
void request_fini(struct request *request);

struct exec_input_request { /* one message of ExecTaskStreaming; owns; zeroed is empty */
    bool has_setup;         /* then the next three are set */
    char task_id[TASK_ID_MAX + 1];
    struct words command;
    bool is_tty;
    bool has_size;
    uint16_t rows, columns;
    struct buf input;
    bool ends_input; /* after `input` */
};
/** Errors: INVALID malformed message, or a setup with a field missing or out of bounds, by name. */
MUST_USE bool exec_input_decode(struct view bytes, struct exec_input_request *out, struct err *err);
/** Releases; zeroed memory is fine. */
void exec_input_fini(struct exec_input_request *request);

struct config_request { /* SetConfig; owns */
    struct buf msgpack;
    bool is_final;    /* the agent will use this process, not only ask whether the config is good */
    int64_t core_mhz; /* mean of the usable cores by the agent's count; 0: not told */
};
/** Errors: INVALID malformed message, an API version that is not ours. */
MUST_USE bool config_request_decode(struct view bytes, struct config_request *out, struct err *err);
/** Releases; zeroed memory is fine. */
void config_request_fini(struct config_request *request);

/** True when Health/Check asks for this plugin ("" or "plugin"). Errors: INVALID malformed;
 *  NOT_FOUND another service. */
MUST_USE bool health_request_decode(struct view bytes, struct err *err);
