/* glob.h - patterns of paths that are not part of the state.
 *
 * "*" is any run of bytes but '/', "?" one of them, "**" any run at all. A pattern with a '/' is
 * compared with the whole path below the root, one without with the last part: "*.tmp" leaves out
 * such files everywhere, "cache/" + "**" what is below cache but not cache itself. Pure; any bytes.
 */
#pragma once
#include "common/base/buf.h"

#define GLOB_PATTERN_MAX 256 /* bytes: what a person writes in a job file */

/** Errors: INVALID: empty, too long, absolute, with a "." or ".." part or an empty one. */
MUST_USE bool glob_check(const char *pattern, struct err *err);

/** True when the pattern (checked) matches the path. Time is at most the product of the lengths. */
bool glob_is_match(const char *pattern, struct view path);
