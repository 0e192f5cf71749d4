/* setup.h - the calls between a plugin's handshake and its first task, in Nomad's order.
 *
 * PluginInfo, ConfigSchema, SetConfig with the node's config, Init (absent in older drivers),
 * TaskConfigSchema, Capabilities. The first failure ends it. Loop thread. */
#pragma once
#include <stddef.h>

#include "common/base/buf.h"
#include "driver/dev/wire.h"

struct plugin;
struct spec;

struct setup {             /* owns; zeroed is empty; must not move while under way */
    struct plugin *plugin; /* borrowed */
    struct buf config;     /* the plugin's config block as HCL text */
    /** `err` NULL: all members below are filled; else `doing` says what failed. Once. */
    void (*on_done)(void *arg, const char *doing, const struct err *err);
    void *arg;

    char version[WIRE_TEXT_BYTES]; /* of the driver */
    struct spec *plugin_schema, *task_schema;
    bool is_image; /* the driver makes the task's file system */
    size_t step;
};

/** Adds a text to the plugin's config block; nothing when `value` is NULL. Errors: INVALID not
 * UTF-8.
 */
MUST_USE bool setup_configure(struct setup *setup, const char *key, const char *value,
                              struct err *err);

/** Begins; when the plugin goes away on_done comes with UNAVAILABLE, or not at all once it is gone.
 */
void setup_begin(struct setup *setup);
/** Releases what it holds; zeroed memory is fine. */
void setup_fini(struct setup *setup);
