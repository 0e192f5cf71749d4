/* error.h - an error as the API says it: `{"error":{"kind":"CONFLICT","message":"..."}}`.
 *
 * Private to this room. Both directions, so that the command line fails with the same kind. */
#pragma once
#include "common/base/buf.h"

/** Appends the JSON. */
void error_put(struct buf *out, const struct err *err);
/** The status that goes with a kind; 503 says that another try may succeed. */
int error_status(enum err_kind kind);

/** Reads what error_put wrote into `err` and returns false; text that is something else becomes
 *  CORRUPT with the status in the message. */
bool error_take(struct view json, int status, struct err *err);
