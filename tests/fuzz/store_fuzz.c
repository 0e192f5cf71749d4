// rooms: sidecar/store
/* What the store reads from outside as text: URLs, agent names, directory names. */
#include "sidecar/store/name.h"
#include "sidecar/store/url.h"

#include "common/base/own.h"

#include <assert.h>

static void names(const char *text)
{
    struct err err = { 0 };
    struct buf back = { 0 };
    bool more = false;
    if (name_decode_part(text, &back, &more, &err) && !more) {
        const char *name = buf_borrow_str(&back);
        if (strlen(name) == back.len && store_name_check(name, &err)) {
            char path[NAME_PATH_BYTES];
            name_encode(name, path);
            assert(strlen(text) > NAME_PART_BYTES || strcmp(path, text) == 0);
        }
    }
    if (store_name_check(text, &err)) {
        char path[NAME_PATH_BYTES];
        name_encode(text, path);
        assert(strlen(path) < sizeof(path) && strstr(path, "..") == NULL);
    }
    (void)!pack_name_check(text, &err);
    buf_fini(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(str_freep) char *text = str_copy_n((const char *)data, size);
    struct store_url url;
    struct err err = { 0 };
    bool flag;
    if (store_url_parse(text, &url, &err)) {
        assert(url.param_count <= STORE_URL_PARAMS_MAX);
        (void)!store_url_flag(&url, "create", &flag, &err);
        (void)!store_url_check(&url, (const char *const[]){ "create", NULL }, &err);
    }
    names(text);
    return 0;
}
