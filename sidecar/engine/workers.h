/* workers.h - what of one life may block, each of it once at a time.
 *
 * A call lasts as long as its store hangs (a dead server of a network file system), and none may
 * keep another one from a worker, least of all the lease. So the process has one for each. */
#pragma once

enum engine_worker {
    ENGINE_LEASE,      /* lease: a call to the register */
    ENGINE_CLAIM,      /* claim: the look at the packs before */
    ENGINE_OPEN,       /* state: restore */
    ENGINE_NOTE,       /* state: the mark beside the directory */
    ENGINE_SAVE,       /* saver: a checkpoint */
    ENGINE_LOOK_STATE, /* watch: the directory */
    ENGINE_LOOK_PACKS, /* watch: the store of the packs */
    ENGINE_WORKERS
};
