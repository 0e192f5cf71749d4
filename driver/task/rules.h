/* rules.h - the plugin's configuration that a task was started under, shared by all such tasks.
 *
 * Never changed: another configuration is another object, and a start that is under way keeps the
 * one it began with, as do the workers that read it. Held and dropped on the loop thread only. */
#pragma once
#include "driver/nomad/plugin_config.h"

struct rules {
    struct plugin_config config;
    size_t holders;
};

/** A copy of `config`, held once. */
struct rules *rules_new(const struct plugin_config *config);
/** One holder more. Returns `rules`. */
struct rules *rules_hold(struct rules *rules);
/** One holder less, `*rules` is NULL afterwards; the last one releases it. NULL is fine. */
void rules_drop(struct rules **rules);
