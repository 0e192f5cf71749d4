/* options.h - the command line of agent-dev.
 *
 * One table row a flag: parser, usage text and tests come from it. `-x v`, `-x=v`, `--x v` and
 * `--x=v` are the same. Pure: looks at nothing but the words. */
#pragma once
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

#define OPTIONS_NODES_MAX  9 /* one digit in paths and names; more prove nothing more */
#define OPTIONS_FAULTS_MAX 8
#define OPTIONS_PAIRS_MAX  64

enum dev_command { DEV_RUN, DEV_VALIDATE, DEV_HELP, DEV_VERSION };
enum dev_fault_kind { DEV_KILL, DEV_PARTITION };

struct dev_fault {
    enum dev_fault_kind kind;
    unsigned node;    /* from 1; 0: the one whose agent runs at that moment */
    int64_t after_ms; /* after the start of agent-dev */
};

struct dev_options { /* lends the words of the command line */
    enum dev_command command;
    const char *job;
    unsigned nodes;
    struct dev_fault faults[OPTIONS_FAULTS_MAX];
    size_t fault_count;
    int64_t stop_after_ms, timeout_ms;                            /* -1: never */
    const char *store, *data_dir, *plugin, *shim, *sidecar;       /* NULL: default */
    const char *meta[OPTIONS_PAIRS_MAX], *env[OPTIONS_PAIRS_MAX]; /* "K=V", end with NULL */
    size_t meta_count, env_count;
    bool json;
};

/** Reads the words after the program's name; they end with NULL. Errors: INVALID, naming the word.
 */
MUST_USE bool options_parse(const char *const *words, struct dev_options *out, struct err *err);

/** Appends the usage text. */
void options_put_usage(struct buf *out);
