#include "sidecar/cmd/source.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "common/hcl/hcl.h"

#include <stdio.h>

#define TIMEOUT_MS 3600000 /* a large checkpoint from a slow store */

extern char **environ;

bool source_config(const char *path, struct sidecar_config **out, struct err *err)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    if (!file_read_named(path, HCL_BYTES_MAX, &text, err))
        return err->kind == ERR_CORRUPT
                   ? err_set(err, ERR_INVALID, "read \"%s\": larger than %u bytes", path,
                             HCL_BYTES_MAX)
                   : false;
    return config_load(path, buf_view(&text), (const char *const *)environ, out, err);
}

static bool one_of(const char *what, const char *option, const char *text, const char *configured,
                   const char **out, struct err *err)
{
    *out = text != NULL ? text : configured;
    if (*out != NULL && **out != '\0')
        return true;
    return err_set(err, ERR_INVALID, "which %s? give -%s, or -config with it", what, option);
}

#define ADVICE "; -without-record goes by the packs alone"

static bool note_pack(void *arg, const struct pack_info *info, struct err *err)
{
    (void)info, (void)err;
    *(bool *)arg = true;
    return true;
}

/* Lost, or never there? The packs tell. */
static bool no_record(const struct source *s, struct err *err)
{
    bool has_packs = false;
    struct err ignored;
    (void)!store_pack_list(s->packs, s->name, s->until, note_pack, &has_packs, &ignored);
    return err_set(err, ERR_NOT_FOUND, "find agent \"%.100s\": no record in this store%s", s->name,
                   has_packs ? ", but there are packs" ADVICE : "");
}

static bool decode_record(struct source *s, struct view bytes, struct err *err)
{
    struct record_auth auth = record_keys_auth(&s->record_keys);
    struct err why = { 0 };
    if (record_decode(bytes, s->name, &auth, &s->record, &why))
        return true;
    return err_set(err, why.kind, why.kind == ERR_CORRUPT ? "%.180s" ADVICE : "%s", why.msg);
}

static bool read_record(struct source *s, struct err *err)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct store_version version;
    if (!store_read(s->records, s->name, s->until, &bytes, &version, err))
        return err->kind == ERR_NOT_FOUND ? no_record(s, err) : false;
    if (!decode_record(s, buf_view(&bytes), err))
        return false;
    s->checkpoints.keys = s->record_keys.keys;
    return true;
}

/* Loud, because what the record named may have been another checkpoint. */
static bool go_without_record(struct source *s, struct err *err)
{
    if (!salvage_find(&s->checkpoints, s->keyring, 0, s->until, &s->salvaged, err))
        return err_wrap(err, "go without record");
    s->record.has_head = true;
    s->record.head.sequence = s->salvaged.sequence;
    (void)snprintf(s->record.head.id, sizeof s->record.head.id, "%s", s->salvaged.head);
    s->checkpoints.keys = s->salvaged.keys;
    (void)fprintf(
        stderr,
        "WARNING: the record of \"%s\" was not read. The newest whole checkpoint among the "
        "packs is %s (epoch %lld); it may never have been committed.\n",
        s->name, s->salvaged.head, (long long)s->salvaged.epoch);
    if (s->salvaged.damaged > 0)
        (void)fprintf(stderr, "WARNING: %u newer packs are damaged and were left out.\n",
                      s->salvaged.damaged);
    return true;
}

bool source_open(struct source *s, const struct args *args, struct err *err)
{
    int64_t timeout_ms;
    const char *name, *store, *key_file, *lease_store = NULL;
    const struct boot now = boot_now();
    if (!args_timeout_ms(args, TIMEOUT_MS, &timeout_ms, err) ||
        (args->config != NULL && !source_config(args->config, &s->config, err)))
        return false;
    const struct sidecar_config *c = s->config;
    if (!one_of("agent", "name", args->name, c ? c->name : NULL, &name, err) ||
        !one_of("store", "store", args->store, c ? c->state.store : NULL, &store, err) ||
        !one_of("key", "key-file", args->key_file, c ? c->state.key_file : NULL, &key_file, err))
        return false;
    if (c != NULL && args->store == NULL)
        lease_store = c->lease.store;
    s->until = deadline_after(now, timeout_ms, 0);
    s->name = str_copy(name);
    CLEANUP(str_freep) char *notes = store_memory_beside(key_file);
    const struct store_memory memory = { .dir = notes, .is_fixed = true };
    if (!store_name_check(name, err) || !store_open(store, &memory, &s->packs, err) ||
        !store_open(lease_store != NULL ? lease_store : store, &memory, &s->records, err) ||
        !keyring_open(key_file, false, &s->keyring, err))
        return false;
    s->record_keys = record_keys_of(s->keyring);
    s->checkpoints = (struct checkpoint_source){ .store = s->packs, .name = s->name };
    return args->without_record != NULL ? go_without_record(s, err) : read_record(s, err);
}

void source_close(struct source *s)
{
    record_keys_fini(&s->record_keys);
    salvage_fini(&s->salvaged);
    keyring_close(s->keyring);
    store_close(s->records);
    store_close(s->packs);
    str_freep(&s->name);
    config_free(s->config);
    *s = (struct source){ 0 };
}

bool source_pick(const struct source *s, const struct args *args, const char **out, struct err *err)
{
    *out = args->at != NULL ? args->at : s->record.head.id;
    if (args->at != NULL || s->record.has_head)
        return true;
    return err_set(err, ERR_NOT_FOUND, "find agent \"%.120s\": it has no checkpoint yet", s->name);
}
