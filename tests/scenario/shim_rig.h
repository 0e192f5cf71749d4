/* shim_rig.h - a real agent-shim under a scripted driver and a scripted sidecar.
 *
 * Every wait is for an event and has a deadline; a wait that fails fails the test. The agent is a
 * shell script; what it prints is the timeline, and the end of its output is the proof that all of
 * it is dead. */
#pragma once
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stddef.h>

#include "common/base/fd.h"
#include "common/base/time.h"
#include "common/proc/spawn.h"
#include "common/shimwire/spec.h"

#define RIG_WAIT_MS 10000

struct rig {
    char dir[64], record[96], sock[96], cgroup[1200], puppet_at[96];
    struct shim_spec spec;
    const char *agent_argv[4], *sidecar_argv[3];
    const char *agent_envp[8];
    struct proc shim;
    struct fd driver;   /* the scripted driver's end */
    struct fd output;   /* what the agent prints */
    struct fd sidecar;  /* the scripted sidecar's end */
    struct fd strings;  /* puppet's own socket: a byte is its exit code */
    struct fd puppets;  /* listener */
    struct fd shim_err; /* the shim's own stderr, in standalone mode */
    struct fd log_dir;  /* with rig_add_logs */
    int32_t sidecar_pid;
    uint32_t shim_uid; /* 0: our own; else the shim runs as this user, without privileges */
    int (*body)(void); /* NULL: the built agent-shim; else what a fork runs in its place */
    char line[256];
    size_t line_len;
};

/** A directory, pipes, and a spec that runs `script` with /bin/sh; nothing is started. */
void rig_init(struct rig *rig, const char *script);
/** The spec gets a scripted sidecar and a gate. */
void rig_add_sidecar(struct rig *rig);
/** The shim collects the logs itself, in rig->dir as "web.stdout.0" and so on; `output` stays
 * empty. */
void rig_add_logs(struct rig *rig);
/** The spec gets a cgroup; the test is skipped where there is none. */
void rig_add_cgroup(struct rig *rig);
/** Starts the shim; with a sidecar, waits for it and its HELLO. */
void rig_start(struct rig *rig);
/** The same, as far as starting the shim's process. */
void rig_spawn(struct rig *rig);
/** Kills what is left and removes the directory. */
void rig_fini(struct rig *rig);

/** Sends a message on one of the two connections. */
void rig_tell(int fd, struct shim_msg msg);
/** The next message of `type` on the sidecar's or the driver's side; others are skipped. */
struct shim_msg rig_from_shim(struct rig *rig, int fd, enum shim_msg_type type);
/** The next STATE with this phase. */
struct shim_msg rig_phase(struct rig *rig, enum shim_phase phase);
/** GATE_OPEN with epoch 7 and a deadline `ms` from now; answers whether it was accepted. */
bool rig_open_gate(struct rig *rig, int64_t ms);
/** ARM; answers whether it was accepted. */
bool rig_arm(struct rig *rig, uint64_t epoch, int64_t ms);
/** The sidecar says DONE{kind} and exits with `code`. */
void rig_sidecar_leaves(struct rig *rig, uint8_t kind, uint8_t code);
/** The next line that the agent prints, without its newline. */
const char *rig_line(struct rig *rig);
/** True when the agent has printed nothing by now. */
bool rig_is_silent(struct rig *rig);
/** Waits for the end of the agent's output within `ms`: nobody holds the pipe any more. */
bool rig_output_ends(struct rig *rig, int64_t ms);
/** EXITED on the driver's side, then the shim's own exit code. */
struct exit_record rig_exited(struct rig *rig, bool *out_recorded);
/** The shim's exit code. */
int rig_shim_status(struct rig *rig);
/** A second driver connection by path. */
struct fd rig_connect(struct rig *rig);
/** The exit record on disk; false when there is none. */
bool rig_record(struct rig *rig, struct exit_record *out);
