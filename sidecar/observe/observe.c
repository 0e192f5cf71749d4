#include "sidecar/observe/observe.h"

#include <assert.h>

#define OBSERVE_ROW(member, type, name, help) \
    { name, help, OBSERVE_##type, offsetof(struct observe, member) },
static const struct {
    const char *name, *help;
    enum observe_type type;
    size_t offset;
} rows[] = { OBSERVE_METRICS(OBSERVE_ROW) };

size_t observe_count(void) { return sizeof(rows) / sizeof(rows[0]); }

struct observe_row observe_row(const struct observe *o, size_t index)
{
    assert(index < observe_count());
    const int64_t *value = (const void *)((const char *)o + rows[index].offset);
    return (struct observe_row){ rows[index].name, rows[index].help, rows[index].type, *value };
}
