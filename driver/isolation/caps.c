#include "driver/isolation/caps.h"

#include <strings.h>

#include "common/base/own.h"
#include "driver/isolation/plan.h"

#define PREFIX "cap_"

struct cap_row {
    unsigned number;
    const char *name;
    bool is_default;
};
#define CAP_ROW(number, name, is_default) { number, #name, is_default },
static const struct cap_row rows[] = { ISOLATION_CAPABILITIES(CAP_ROW) };

uint64_t isolation_caps_default(void)
{
    uint64_t caps = 0;
    for (size_t i = 0; i < COUNT(rows); i++)
        caps |= rows[i].is_default ? 1ULL << rows[i].number : 0;
    return caps;
}

static bool is_name(struct view text, const char *name)
{
    return text.len == strlen(name) && strncasecmp((const char *)text.data, name, text.len) == 0;
}

bool isolation_cap_parse(struct view name, uint64_t *out, struct err *err)
{
    const size_t prefix = sizeof(PREFIX) - 1;
    struct view rest = name;
    if (name.len > prefix && strncasecmp((const char *)name.data, PREFIX, prefix) == 0)
        rest = view_of(name.data + prefix, name.len - prefix);
    if (is_name(name, "all")) {
        *out = ISOLATION_CAPS_ALL;
        return true;
    }
    for (size_t i = 0; i < COUNT(rows); i++) {
        if (!is_name(rest, rows[i].name))
            continue;
        *out = 1ULL << rows[i].number;
        return true;
    }
    return err_set(err, ERR_INVALID, "\"%.*s\" is not a capability",
                   name.len > 32 ? 32 : (int)name.len, (const char *)name.data);
}

const char *isolation_cap_name(uint64_t caps)
{
    for (size_t i = 0; i < COUNT(rows); i++)
        if ((caps >> rows[i].number & 1) != 0)
            return rows[i].name;
    return "none";
}
