/* analyser.h - what clang's analyser cannot see: these are defined elsewhere and always false.
 * Put before each file but err.c by scripts/analyse; no build includes it. */
#pragma once
#include "common/base/err.h"

#define err_set(...)  ((void)(err_set)(__VA_ARGS__), false)
#define err_sys(...)  ((void)(err_sys)(__VA_ARGS__), false)
#define err_wrap(...) ((void)(err_wrap)(__VA_ARGS__), false)
