/* A log field has one of the types of log.h; a float must not compile. */
#include "common/log/log.h"

void note(void);

void note(void)
{
#ifdef GOOD
    LOG(LOG_INFO, "note", F(value, 1));
#else
    LOG(LOG_INFO, "note", F(value, 1.5));
#endif
}
