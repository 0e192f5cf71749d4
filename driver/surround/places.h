/* places.h - the paths a job names for mounts, devices, reading and writing, checked and canonical.
 *
 * Sources are canonical (no symbolic link is left in them: one that appears later fails the start);
 * targets stay in the task's own directories, but for those of Nomad's volumes. Blocking: on
 * workers only. */
#pragma once
#include "driver/isolation/draft.h"
#include "driver/nomad/task_spec.h"

struct plugin_config;

struct places {                  /* owns; zeroed is empty */
    char *task_dir, *shared_dir; /* canonical */
    struct isolation_wish_path *paths;
    size_t path_count;
    struct isolation_wish_mount *mounts; /* sorted: parents first */
    size_t mount_count;
    struct isolation_wish_device *devices;
    size_t device_count;
    char **made;
    size_t made_count;
};

/** All that `spec` and `config` name. `task_dir` as the job sees it; `state_path` (or NULL) becomes
 *  writable. Errors: INVALID, NOT_FOUND, DENIED, naming the key and the path; SYSTEM. */
MUST_USE bool places_find(const struct task_spec *spec, const struct plugin_config *config,
                          const char *task_dir, const char *state_path, struct places *out,
                          struct err *err);
/** Zeroed memory is fine. */
void places_fini(struct places *places);
