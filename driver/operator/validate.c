#include "driver/operator/validate.h"

#include <string.h>

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/hcl/hcl.h"
#include "common/hcl/read.h"
#include "driver/hclspec/encode.h"
#include "driver/hclspec/spec.h"
#include "driver/nomad/config_schema.h"
#include "driver/nomad/plugin_config.h"
#include "driver/surround/resolve.h"

#define FILE_MAX ((size_t)1 << 20)
#define LABEL    "nomad-driver-agent" /* the plugin's file name, by which Nomad finds the block */
#define LIBEXEC  "/usr/libexec/nomad-driver-agent"

static bool is_ours(const struct hcl_node *block)
{
    return block->label_count == 1 && strcmp(block->labels[0], LABEL) == 0;
}

/* The one block of ours. */
static bool find_block(const char *path, const struct hcl *tree, const struct hcl_node **out,
                       struct err *err)
{
    const struct hcl_node *block = hcl_block(hcl_root(tree), "plugin");
    for (*out = NULL; block; block = hcl_block_next(block)) {
        if (!is_ours(block))
            continue;
        if (*out)
            return hcl_fail_key(tree, block, err, "plugin \"" LABEL "\": is there twice");
        *out = block;
    }
    return *out || err_set(err, ERR_NOT_FOUND,
                           "%.100s: has no block plugin \"" LABEL "\", without which Nomad from "
                           "1.10 on does not load the driver",
                           path);
}

static bool encode(const struct hcl *tree, const struct hcl_node *config, struct buf *out,
                   struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(spec_freep) struct spec *spec = NULL;
    config_put_spec(&plugin_config_table, &bytes);
    return spec_decode(buf_view(&bytes), &spec, err) &&
           config_encode(spec, tree, config, NULL, out, err);
}

/* What the driver would look for at each start. */
static bool find_programs(const struct plugin_config *config, struct err *err)
{
    CLEANUP(str_freep) char *shim = NULL;
    CLEANUP(str_freep) char *sidecar = NULL;
    return helper_find(config->shim, "agent-shim", LIBEXEC, &shim, err) &&
           helper_find(config->sidecar, "agent-sidecar", LIBEXEC, &sidecar, err);
}

static bool check_text(const char *path, struct view text, struct buf *out, struct err *err)
{
    CLEANUP(hcl_freep) struct hcl *tree = NULL;
    CLEANUP(buf_fini) struct buf msgpack = { 0 };
    CLEANUP(plugin_config_fini) struct plugin_config config = { 0 };
    const struct hcl_node *block = NULL;
    if (!hcl_parse(path, text, &tree, err) || !find_block(path, tree, &block, err))
        return false;
    const struct hcl_node *body = hcl_block(block, "config");
    struct err found = { 0 };
    if (!encode(tree, body, &msgpack, err))
        return false;
    if (!plugin_config_decode(buf_view(&msgpack), &config, NULL, &found))
        return config_fail_at(tree, body, &found, err);
    return find_programs(&config, err) &&
           config_put_values(&plugin_config_table, &config, out, err);
}

bool operator_validate(const char *path, struct buf *out, struct err *err)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    if (!file_read_named(path, FILE_MAX, &text, err))
        return false;
    return check_text(path, buf_view(&text), out, err);
}
