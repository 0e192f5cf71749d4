/* seeking.h - what the machine does before it holds: SEEKING and TAKING.
 *
 * Private to machine.c: one handler a cell of its table. Rules: DESIGN.md, "States". */
#pragma once
#include "sidecar/lease/steps.h"

/** Start: read the record for the first time. */
handler seek_start;
/** Results of reads and instants while nothing of ours is out. */
handler seek_found, seek_absent, seek_failed, seek_timer;
/** Our record of the next epoch has been sent: its result, and what a read tells of its fate. */
handler take_won, take_failed, take_found, take_absent;
/** Stop while its fate is open. */
handler take_stop;
