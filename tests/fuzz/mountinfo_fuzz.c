// rooms: common/cgroup
#include <assert.h>
#include <string.h>

#include "common/cgroup/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cgroup_mount_point found;
    if (cgroup_mount_parse(view_of(data, size), &found))
        assert(strlen(found.path) < CGROUP_PATH_MAX && strlen(found.root) < CGROUP_PATH_MAX);
    static struct cgroup_layout layout;
    layout = (struct cgroup_layout){ 0 };
    cgroup_layout_add(&layout, view_of(data, size));
    for (unsigned i = 0; i < CGROUP_CONTROLLER_COUNT; i++)
        assert(strlen(layout.v1[i]) < CGROUP_PATH_MAX);
    return 0;
}
