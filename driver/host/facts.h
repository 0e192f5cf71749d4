/* facts.h - what this machine offers, as the fingerprint attributes Nomad shows for a node.
 *
 * Read from /proc and /sys below a root directory, so that a test owns the machine; only the cgroup
 * and the kernel's protections are always the real ones. Fast enough for the loop (a few small
 * files). */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "driver/host/attributes.def"

#define HOST_ATTR_ID(id, key, doc) HOST_ATTR_##id,
enum host_attr_id { HOST_ATTRS(HOST_ATTR_ID) HOST_ATTR_COUNT };

struct buf;

struct host_attr {
    const char *key; /* static, "driver.agent..." */
    char value[96];  /* "" takes the attribute back */
};

struct host_facts {
    struct host_attr attrs[HOST_ATTR_COUNT]; /* by enum host_attr_id */
    int64_t cores;
    int64_t core_mhz;     /* of one core; 0 when unknown */
    char cgroup_dir[256]; /* of this process in the v2 hierarchy, absolute; "" without one */
};

/** Measures all but LOG_COLLECTION, which is "". driver.agent.cgroup.<controller> is "v2" or "v1",
 * where tasks can be limited by it. `root` is "" in production. Cannot fail: what cannot be read is
 * absent. */
void host_facts_read(const char *root, struct host_facts *out);

/** Sets the value of an attribute that is not measured; too long a value is cut. */
void host_facts_tell(struct host_facts *facts, enum host_attr_id id, const char *value);
/** Appends the table of attributes as a section of documentation. */
void host_facts_put_doc(struct buf *out);
