/* args.h - options of the command line, read by one table: -name=value, --name value, -switch.
 *
 * A row of ARG_OPTIONS is everything there is to an option; a command names those it takes. An
 * unknown or repeated option, a missing value, a word too many are INVALID, with the nearest name.
 * Help is generated. Pure. */
#pragma once
#include <stdbool.h>

#include "common/base/buf.h"

#define ARG_OPTIONS(X) /* member, option, value (NULL: a switch), what it is for */             \
    X(config, "config", "FILE", "configuration of the agent (agent.hcl)")                       \
    X(store, "store", "URL", "where the record and the checkpoints are (file:///srv/agents)")   \
    X(name, "name", "NAME", "the agent's name")                                                 \
    X(key_file, "key-file", "FILE", "key file that wraps the agent's data key")                 \
    X(api, "api", "PATH", "unix socket of the running sidecar's API")                           \
    X(at, "at", "ID", "the checkpoint; by default the newest committed one")                    \
    X(to, "to", "DIR", "where to restore to: an empty or absent directory")                     \
    X(shim, "shim", "PATH", "the agent-shim program; by default the one beside this program")   \
    X(log_level, "log-level", "LEVEL", "lowest level that is logged: debug, info, warn, error") \
    X(timeout, "timeout", "DURATION", "give up after this time (30s, 1h)")                      \
    X(without_record, "without-record", NULL,                                                   \
      "the record is lost or damaged: go by the packs and the key file alone")                  \
    X(files, "files", NULL, "with every entry of the tree")                                     \
    X(seed, "seed", "N", "number of the first history; with nothing else, of the only one")     \
    X(seeds, "seeds", "COUNT", "how many histories, one seed after the other")                  \
    X(trace, "trace", NULL, "print what happens in the history, also when all holds")           \
    X(defect, "defect", "RULE",                                                                 \
      "leave out a rule on purpose: margin, nonce, epoch; the checker must notice")             \
    X(json, "json", NULL, "print JSON")

#define ARG_ENUM(member, option, value, doc) ARG_##member,
enum arg_option { ARG_OPTIONS(ARG_ENUM) ARG_COUNT };
#define ARG_BIT(member) (1U << ARG_##member)

struct args {
#define ARG_MEMBER(member, option, value, doc) const char *member;
    ARG_OPTIONS(ARG_MEMBER) /* NULL: not given; a switch that is given is "true" */
#undef ARG_MEMBER
    char *const *rest; /* behind the options, or behind "--"; ends with NULL */
    int rest_count;
    bool is_help; /* -h, -help: nothing else was checked */
};

struct command {
    const char *name, *rest; /* rest: what stands behind the options, for the help; NULL nothing */
    const char *summary;     /* one line, imperative */
    unsigned options;        /* ARG_BITs */
    bool is_hidden;          /* called by other programs; tells its own errors */
    bool (*run)(const struct args *args, struct err *err);
};

/** Reads `argv` (behind the command's name; ends with NULL) for `command`. Texts are lent by argv.
 *  Errors: INVALID. */
MUST_USE bool args_read(const struct command *command, char *const *argv, struct args *out,
                        struct err *err);

/** Appends how `program command` is used. */
void args_put_help(struct buf *out, const char *program, const struct command *command);

/** The duration of -timeout in ms, `otherwise` when it is not given. Errors: INVALID. */
MUST_USE bool args_timeout_ms(const struct args *args, int64_t otherwise, int64_t *out_ms,
                              struct err *err);
