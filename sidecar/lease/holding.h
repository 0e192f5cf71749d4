/* holding.h - what the machine does once a record of ours has won: ARMING, HELD and RELEASING.
 *
 * Private to machine.c: one handler a cell of its table. Rules: DESIGN.md, "States". */
#pragma once
#include "sidecar/lease/steps.h"

/** The shim's answer to the newest ARM. */
handler hold_ack, hold_nack;
/** Results of writes, and what a read tells of the fate of one. */
handler hold_won, hold_failed, hold_bad, hold_found, hold_absent;
/** Wishes of the owner. */
handler hold_release, arming_stop;
