// rooms: common/cgroup
#include <assert.h>
#include <string.h>

#include "common/cgroup/mount.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cgroup_mount_point found;
    if (cgroup_mount_parse(view_of(data, size), &found))
        assert(strlen(found.path) < CGROUP_PATH_MAX && strlen(found.root) < CGROUP_PATH_MAX);
    return 0;
}
