/* run.h - a job on several simulated nodes: start, faults, stop, and one exit code.
 *
 * Owns the order of things; a node's own life is in node.h. All nodes run the same task, so that
 * the second becomes a standby of the first. */
#pragma once
#include "common/base/err.h"

struct dev_options;
struct job;

#define RUN_TIMEOUT_CODE 124 /* as timeout(1) */

/** Runs the job to its end. The exit code is that of the agent that was running when the job was
 *  stopped, or of the first task that ended by itself (0 preferred), else the largest of the
 * stopped ones; 137 when every node was killed; RUN_TIMEOUT_CODE after -timeout. Call before any
 * thread exists; blocks SIGINT, SIGTERM and SIGHUP for good. Errors: INVALID faults that this job
 * or machine cannot have; NOT_FOUND the plugin; CONFLICT the data directory is in use; SYSTEM. */
MUST_USE bool run_job(const struct dev_options *options, const struct job *job, int *exit_code,
                      struct err *err);
