/* enter.h - one exec into a running task, from its spec to its one answer.
 *
 * The life of the helper that the driver starts for each exec: the shim's program in its second
 * role. Nothing is allocated: all state is one zeroed mapping made in `main`. See DESIGN.md. */
#pragma once
#include "common/base/buf.h"
#include "common/proc/spawn.h"
#include "common/shimwire/exec_spec.h"
#include "driver/enter/child.h"
#include "driver/enter/tree.h"

struct enter { /* large and mostly untouched: comes from the kernel as zeroes (main.c) */
    struct exec_spec spec;
    struct shim_spec_store store;
    struct view spec_bytes; /* the mapped memfd; empty once the command runs */
    struct enter_child child;
    struct enter_tree tree;
    struct proc command;
    bool is_again;    /* the second try, after a kill at birth */
    bool is_executed; /* the command's program runs */
    bool is_killed;   /* the driver has hung up */
};

/** Reads the spec at EXEC_FD_SPEC; signals must be blocked. Errors: INVALID not sealed; CORRUPT;
 *  SYSTEM. After an error nothing was started. */
MUST_USE bool enter_take_spec(struct enter *enter, struct err *err);

/** Runs the command to its end and tells the driver; returns the process's exit code: 0 when the
 *  answer was given, whatever it was. */
int enter_live(struct enter *enter);
