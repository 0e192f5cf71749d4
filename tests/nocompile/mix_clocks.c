/* A deadline is boot time: comparing it with another clock must not compile. */
#include "common/base/deadline.h"

bool late(struct deadline d);

bool late(struct deadline d)
{
#ifdef GOOD
    return deadline_is_past(d, boot_now());
#else
    return deadline_is_past(d, mono_now());
#endif
}
