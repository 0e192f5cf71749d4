// rooms: sidecar/config common/hcl
/* Any text loads or is INVALID; what loads is written and loads again. The part before the first
 * NUL is the text, the rest one environment variable's value. */
#include "sidecar/config/config.h"

#include <assert.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    const size_t len = nul ? (size_t)(nul - data) : size;
    char variable[128] = "";
    if (nul)
        (void)snprintf(variable, sizeof variable, "AGENT_SIDECAR_STATE_EXCLUDE=%.*s",
                       (int)(size - len - 1 > 80 ? 80 : size - len - 1), (const char *)nul + 1);
    const char *const env[] = { nul ? variable : NULL, NULL };
    struct sidecar_config *config = NULL, *again = NULL;
    struct err err = { 0 };
    if (config_load("f", view_of(data, len), env, &config, &err)) {
        struct buf text = { 0 };
        assert(config_put_hcl(&text, config, &err));
        assert(config_load("f", buf_view(&text), NULL, &again, &err));
        assert(again->lease.margin_ms == config->lease.margin_ms);
        buf_fini(&text);
        config_free(again);
        config_free(config);
    } else {
        assert(err.kind == ERR_INVALID);
    }
    return 0;
}
