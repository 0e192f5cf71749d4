/* url.h - a store's URL taken apart: scheme, place, parameters.
 *
 * Private to this room. "scheme://place?key=value&key=value"; place and values are percent-decoded
 * once. A parameter that no backend asks for is an error, so that a misspelt one is not ignored. */
#pragma once
#include "common/base/buf.h"
#include "sidecar/store/store.h"

#define STORE_URL_PARAMS_MAX 8

struct store_url {
    char text[STORE_URL_MAX];  /* as given */
    char scheme[16];           /* lower case */
    char place[STORE_URL_MAX]; /* between "//" and "?"; for file: the path */
    struct {
        char key[32], value[256];
    } params[STORE_URL_PARAMS_MAX];
    size_t param_count;
};

/** Errors: INVALID, naming the part. */
MUST_USE bool store_url_parse(const char *text, struct store_url *out, struct err *err);

/** Checks that every parameter is one of `known` (ends with NULL). Errors: INVALID. */
MUST_USE bool store_url_check(const struct store_url *url, const char *const *known,
                              struct err *err);

/** "true" or "false" of `key`; absent is false. Errors: INVALID. */
MUST_USE bool store_url_flag(const struct store_url *url, const char *key, bool *out,
                             struct err *err);

/** The value of `key`, lent; NULL when it is absent. */
const char *store_url_value(const struct store_url *url, const char *key);
