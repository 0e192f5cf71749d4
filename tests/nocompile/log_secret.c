/* A secret in a log line. */
#include "common/log/log.h"
#include "common/secret/secret.h"

void log_secret(const struct secret *token);
void log_secret(const struct secret *token)
{
#ifdef GOOD
    LOG(LOG_INFO, "token read", F(len, (int64_t)secret_len(token)));
#else
    LOG(LOG_INFO, "token read", F(token, token));
#endif
}
