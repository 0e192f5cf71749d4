// rooms: driver/shim
/* A list of cores from any text: refused, or a set that written out and read again is the same. */
#include "driver/shim/launch.h"

#include "common/base/buf.h"
#include "common/base/own.h"

#include <assert.h>
#include <string.h>

static void write_out(const cpu_set_t *cores, struct buf *out)
{
    for (size_t core = 0; core < CPU_SETSIZE; core++) {
        const size_t first = core;
        if (!CPU_ISSET(core, cores))
            continue;
        while (core + 1 < CPU_SETSIZE && CPU_ISSET(core + 1, cores))
            core++;
        buf_put_fmt(out, "%s%zu", out->len > 0 ? "," : "", first);
        if (core > first)
            buf_put_fmt(out, "-%zu", core);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_fini) struct buf again = { 0 };
    CLEANUP(str_freep) char *text = str_copy_n((const char *)data, size);
    cpu_set_t cores, same;
    if (!shim_cores_parse(text, &cores))
        return 0;
    assert(strspn(text, "0123456789,-") == strlen(text) && text[0] != '\0');
    write_out(&cores, &again);
    if (again.len > 0) { /* "3-2" names none */
        assert(shim_cores_parse(buf_borrow_str(&again), &same) && CPU_EQUAL(&cores, &same));
    }
    return 0;
}
