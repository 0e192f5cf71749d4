#include "driver/task/signals.h"

#include <signal.h>
#include <string.h>

bool signal_parse(const char *name, int *out)
{
    const char *bare = strncasecmp(name, "SIG", 3) == 0 ? name + 3 : name;
    for (int signo = 1; signo < NSIG; signo++) {
        const char *abbrev = sigabbrev_np(signo);
        if (abbrev && strcasecmp(bare, abbrev) == 0) {
            *out = signo;
            return true;
        }
    }
    return false;
}
