/* seccomp.h - the table of refused system calls (seccomp_rules.def) as a filter of the kernel's.
 *
 * Pure and small: the calls are cut into ranges and a binary search is written out, so that the
 * filter costs 8 comparisons a call where the kernel does not cache its answer. Why it is not
 * libseccomp: docs/decisions/004. Kernel doc: seccomp(2), userspace-api/seccomp_filter.rst. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"

/** Appends the instructions for an agent that has the capabilities `caps`: at most
 *  ISOLATION_FILTER_MAX of 8 bytes. */
void isolation_filter_put(uint64_t caps, struct buf *out);

/** Appends the table as Markdown. */
void isolation_filter_put_doc(struct buf *out);

/** True when this kernel loads filters; changes nothing. */
bool isolation_can_filter(void);
