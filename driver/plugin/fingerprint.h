/* fingerprint.h - the Fingerprint streams: this machine's attributes and the driver's health.
 *
 * A new stream gets its first message at once; all get one at each change and each refresh. A
 * stream that is busy gets the newest one when it is ready. */
#pragma once
#include "driver/plugin/reply.h"
#include "driver/rpc/server.h"

struct fingerprint;

/** Health texts are static and constant: the agent makes an event of each change. */
struct fingerprint *fingerprint_new(enum reply_health health, const char *description);
/** All calls must have ended (asserted). NULL is fine. */
void fingerprint_free(struct fingerprint *fingerprint);
/** Keeps `call` (inside its handler). */
void fingerprint_hold(struct fingerprint *fingerprint, struct rpc_call *call);
/** Sets the health; a change is sent at once. */
void fingerprint_set(struct fingerprint *fingerprint, enum reply_health health,
                     const char *description);
/** Who writes log files here ("nomad", "shim"; static): an attribute from the next message on. */
void fingerprint_tell_logs(struct fingerprint *fingerprint, const char *log_collection);
/** Measures the machine anew and sends. */
void fingerprint_refresh(struct fingerprint *fingerprint);
/** MHz of one core as last measured; 0 when unknown. */
int64_t fingerprint_core_mhz(const struct fingerprint *fingerprint);
