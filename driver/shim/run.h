/* run.h - the shim's life against the kernel: one poll loop over at most eight descriptors.
 *
 * Turns what the kernel and the peers say into events for the core (core.h) and carries out its
 * actions. After shim_run_setup nothing is allocated; nothing here blocks but the exit record's
 * sync, when everything of the agent is gone already.
 * Tested by tests/scenario/shim_life_test.c. */
#pragma once
#include "common/base/buf.h"
#include "driver/shim/core.h"
#include "driver/shim/launch.h"
#include "driver/shim/logs.h"
#include "driver/shim/oom.h"
#include "driver/shim/peers.h"
#include "driver/shim/record.h"
#include "driver/shim/tree.h"

#define SHIM_PENDING_MAX 4

struct shim_run { /* large and mostly untouched: comes from the kernel as zeroes (main.c) */
    struct shim_core core;
    struct shim_tree tree;
    struct shim_oom oom;
    struct shim_peers peers;
    struct shim_record record;
    struct shim_logs logs;
    struct shim_fds fds;
    struct shim_launch launch;
    struct proc agent, sidecar; /* pid 0: none, or reaped */
    struct fd signals, timer;
    struct view spec_bytes; /* the mapped memfd; empty once the agent runs */
    bool is_standalone, finished;
    uint32_t pid;
    uint64_t start_ticks;
    uint64_t bad_said;                           /* bad datagrams already reported */
    struct shim_input pending[SHIM_PENDING_MAX]; /* events that an action caused */
    size_t pending_count;
    char last_text[SHIM_TEXT_MAX + 1]; /* what an input's text points to */
    char api_path[SHIM_SOCKET_PATH_MAX + 1];
    struct shim_spec spec;
    struct shim_spec_store store;
    struct shim_env env;
};

/** Reads the spec at descriptor 3 and takes all the descriptors; signals must be blocked. Errors:
 *  INVALID not sealed; CORRUPT; SYSTEM. After an error nothing was started; say it on stderr. */
MUST_USE bool shim_run_take_spec(struct shim_run *run, struct err *err);

/** Lives until the task has ended; returns the process's exit code. */
int shim_run_live(struct shim_run *run);
