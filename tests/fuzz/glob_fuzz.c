// rooms: sidecar/image
/* A pattern, a line end, a path: any pair ends; one without wildcards matches what it says. */
#include "sidecar/image/glob.h"

#include "common/base/own.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size == 0 ? NULL : memchr(data, '\n', size);
    struct err err = { 0 };
    if (end == NULL)
        return 0;
    CLEANUP(str_freep) char *pattern = str_copy_n((const char *)data, (size_t)(end - data));
    struct view path = view_of(end + 1, size - (size_t)(end + 1 - data));
    if (!glob_check(pattern, &err)) {
        assert(err.kind == ERR_INVALID);
        return 0;
    }
    assert(strlen(pattern) <= GLOB_PATTERN_MAX);
    bool is_match = glob_is_match(pattern, path);
    if (strpbrk(pattern, "*?") != NULL)
        return 0;
    struct view what = path;
    const uint8_t *slash = path.len == 0 ? NULL : memrchr(path.data, '/', path.len);
    if (strchr(pattern, '/') == NULL && slash != NULL)
        what = view_of(slash + 1, path.len - (size_t)(slash + 1 - path.data));
    assert(is_match == view_is_equal(what, view_str(pattern)));
    return 0;
}
