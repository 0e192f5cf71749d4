#include "sidecar/simulate/defect.h"

#define DEFECT_NAME(id, name) name,
static const char *const names[] = { DEFECTS(DEFECT_NAME) };

bool defect_parse(const char *name, enum defect *out, struct err *err)
{
    for (int i = 0; i < DEFECT_COUNT; i++)
        if (strcmp(name, names[i]) == 0) {
            *out = (enum defect)i;
            return true;
        }
    return err_set(err, ERR_INVALID, "defect \"%.40s\": must be none, margin, nonce or epoch",
                   name);
}

const char *defect_name(enum defect defect) { return names[defect]; }

static void claim(const struct machine *m, struct record *record)
{
    memcpy(record->holder.instance, m->spec.who.instance, sizeof(record->holder.instance));
    record->epoch = m->write.record.epoch;
}

void defect_bend(enum defect defect, struct machine *m, const struct store_version *version,
                 struct record *record)
{
    if (!m->write.is_open)
        return;
    switch (defect) {
    case DEFECT_NONE:
    case DEFECT_MARGIN:
        break;
    case DEFECT_NONCE:
        claim(m, record);
        memcpy(record->nonce, m->write.record.nonce, sizeof(record->nonce));
        break;
    case DEFECT_EPOCH:
        if (!machine_is_holder(m) || record->epoch == m->own.epoch)
            break;
        claim(m, record);
        m->version = *version;
        m->write.expected = *version;
        break;
    case DEFECT_COUNT:
        break;
    }
}
