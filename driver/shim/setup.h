/* setup.h - what the shim does once, before its loop: become a supervisor and open what it needs.
 * Tested by tests/scenario/shim_life_test.c. */
#pragma once
#include "driver/shim/run.h"

/** Everything between the spec and the loop: session, subreaper, priority, keeper, cgroup, record,
 *  sockets, signals, timer, core. Errors: whatever could not be had; the shim then reports
 *  SHIM_ERROR instead of starting anything. */
MUST_USE bool shim_setup(struct shim_run *run, struct err *err);
