/* creds.h - who the child becomes: bounding set, groups, user, capabilities. In the child only.
 *
 * By raw system call: libc's wrappers try to change every thread of the process that was cloned,
 * and those do not exist here. Each returns 0 or an errno; in the order below. */
#pragma once

struct isolation_subject;

/** Drops what is not in caps_bound, for ever; nothing when the plan has no ISOLATION_CAPS. */
int isolation_drop_bound(const struct isolation_subject *s);

/** Supplementary groups and group. Who stays who it is needs no privilege. */
int isolation_set_groups(const struct isolation_subject *s);

/** The user; capabilities that are to be given survive it. */
int isolation_set_user(const struct isolation_subject *s);

/** Root gets caps_bound, anybody else caps_given, ambient too; nothing without ISOLATION_CAPS. */
int isolation_set_caps(const struct isolation_subject *s);
