// rooms: driver/dev
/* Any text is a job, or INVALID with a place; a job that was read can be checked. */
#include "driver/dev/alloc.h"
#include "driver/dev/job.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *const none[] = { NULL };
    struct job *job = NULL;
    struct err err = { 0 };
    if (!job_read("f", view_of(data, size), &job, &err)) {
        assert(err.kind == ERR_INVALID && strncmp(err.msg, "f:", 2) == 0);
        return 0;
    }
    if (!alloc_check(job, none, none, &err))
        assert(err.kind == ERR_INVALID && strncmp(err.msg, "f:", 2) == 0);
    job_free(job);
    return 0;
}
