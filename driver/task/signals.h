/* signals.h - signal names as Nomad writes them. Pure. */
#pragma once
#include <stdbool.h>

/** "SIGHUP" or "HUP", in any case, to its number; false when there is no such signal. */
bool signal_parse(const char *name, int *out);
