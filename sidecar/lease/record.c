#include "sidecar/lease/record.h"

#include "common/base/own.h"
#include "common/base/text.h"
#include "common/json/json.h"
#include "common/json/out.h"
#include "sidecar/crypto/keys.h"

#include <assert.h>

#define MAC_PREFIX     ",\"mac\":\""
#define MAC_TAIL_BYTES (sizeof(MAC_PREFIX) - 1 + (size_t)2 * RECORD_MAC_BYTES + 2)
_Static_assert(MAC_TAIL_BYTES == 74, "as written in proto/lease.md");

/* The record and what only its bytes have. */
struct wire {
    struct record record;
    int64_t format;
    bool has_holder;
    uint8_t mac[RECORD_MAC_BYTES];
};

static const struct json_field holder_rows[] = {
    JSON_HEX_ROW(struct record_holder, "instance", instance, JSON_REQUIRED),
    JSON_TEXT_ROW(struct record_holder, "alloc_id", alloc_id, JSON_REQUIRED, 0),
    JSON_TEXT_ROW(struct record_holder, "node", node, JSON_REQUIRED, 0),
    JSON_TEXT_ROW(struct record_holder, "region", region, JSON_REQUIRED, 0),
    JSON_TEXT_ROW(struct record_holder, "address", address, JSON_REQUIRED, 0),
};
static const struct json_table holder_table = JSON_TABLE(holder_rows);

static const struct json_field head_rows[] = {
    JSON_TEXT_ROW(struct record_head, "id", id, JSON_REQUIRED, 1),
    JSON_INT_ROW(struct record_head, "sequence", sequence, JSON_REQUIRED, 1, RECORD_NUMBER_MAX),
    JSON_INT_ROW(struct record_head, "epoch", epoch, JSON_REQUIRED, 1, RECORD_NUMBER_MAX),
    JSON_INT_ROW(struct record_head, "wall_ms", wall_ms, JSON_REQUIRED, 0, RECORD_NUMBER_MAX),
};
static const struct json_table head_table = JSON_TABLE(head_rows);

static const struct json_field record_rows[] = {
    JSON_INT_ROW(struct wire, "format", format, JSON_REQUIRED, RECORD_FORMAT, RECORD_FORMAT),
    JSON_TEXT_ROW(struct wire, "name", record.name, JSON_REQUIRED, 1),
    JSON_INT_ROW(struct wire, "epoch", record.epoch, JSON_REQUIRED, 1, RECORD_NUMBER_MAX),
    JSON_INT_ROW(struct wire, "renewals", record.renewals, JSON_REQUIRED, 0, RECORD_NUMBER_MAX),
    JSON_INT_ROW(struct wire, "ttl_ms", record.ttl_ms, JSON_REQUIRED, RECORD_TTL_MIN_MS,
                 RECORD_TTL_MAX_MS),
    JSON_BOOL_ROW(struct wire, "released", record.released, JSON_REQUIRED),
    JSON_HEX_ROW(struct wire, "nonce", record.nonce, JSON_REQUIRED),
    JSON_OBJECT_ROW(struct wire, "holder", record.holder, JSON_REQUIRED, &holder_table, has_holder),
    JSON_OBJECT_ROW(struct wire, "head", record.head, 0, &head_table, record.has_head),
    JSON_HEX_ROW(struct wire, "data_key", record.wrapped_key, JSON_REQUIRED),
    JSON_TEXT_ROW(struct wire, "config_digest", record.config_digest, 0, 1),
    JSON_TEXT_ROW(struct wire, "artifact_digest", record.artifact_digest, 0, 1),
    JSON_TEXT_ROW(struct wire, "accessor", record.accessor, 0, 1),
    JSON_HEX_ROW(struct wire, "mac", mac, JSON_REQUIRED),
};
static const struct json_table record_table = JSON_TABLE(record_rows);

static void put_holder(struct json_out *o, const struct record_holder *h)
{
    json_out_object(o, "holder");
    json_out_hex(o, "instance", view_of(h->instance, sizeof(h->instance)));
    json_out_text(o, "alloc_id", h->alloc_id);
    json_out_text(o, "node", h->node);
    json_out_text(o, "region", h->region);
    json_out_text(o, "address", h->address);
    json_out_close(o);
}

static void put_head(struct json_out *o, const struct record_head *h)
{
    json_out_object(o, "head");
    json_out_text(o, "id", h->id);
    json_out_int(o, "sequence", h->sequence);
    json_out_int(o, "epoch", h->epoch);
    json_out_int(o, "wall_ms", h->wall_ms);
    json_out_close(o);
}

static void put_optional(struct json_out *o, const char *key, const char *text)
{
    if (text[0] != '\0')
        json_out_text(o, key, text);
}

/* Everything but the tag, without the last brace. */
static void put_body(const struct record *r, struct buf *out)
{
    struct json_out o = json_out_to(out);
    json_out_object(&o, NULL);
    json_out_int(&o, "format", RECORD_FORMAT);
    json_out_text(&o, "name", r->name);
    json_out_int(&o, "epoch", r->epoch);
    json_out_int(&o, "renewals", r->renewals);
    json_out_int(&o, "ttl_ms", r->ttl_ms);
    json_out_bool(&o, "released", r->released);
    json_out_hex(&o, "nonce", view_of(r->nonce, sizeof(r->nonce)));
    put_holder(&o, &r->holder);
    if (r->has_head)
        put_head(&o, &r->head);
    json_out_hex(&o, "data_key", view_of(r->wrapped_key, sizeof(r->wrapped_key)));
    put_optional(&o, "config_digest", r->config_digest);
    put_optional(&o, "artifact_digest", r->artifact_digest);
    put_optional(&o, "accessor", r->accessor);
    json_out_close(&o);
    out->len--;
}

bool record_encode(const struct record *record, const struct record_auth *auth, struct buf *out,
                   struct err *err)
{
    uint8_t mac[RECORD_MAC_BYTES];
    char hex[2 * RECORD_MAC_BYTES + 1];
    CLEANUP(buf_fini) struct buf body = { 0 };
    put_body(record, &body);
    if (!auth->mac(auth->arg, record, buf_view(&body), mac, err))
        return err_wrap(err, "write record \"%.80s\"", record->name);
    hex_encode(view_of(mac, sizeof(mac)), hex);
    buf_put_fmt(&body, MAC_PREFIX "%s\"}", hex);
    struct record again; /* a record that would not be read is not written */
    if (!record_decode(buf_view(&body), record->name, auth, &again, err)) {
        err->kind = ERR_INVALID;
        return false;
    }
    buf_put(out, buf_view(&body));
    return true;
}

static bool corrupt(struct err *err, const char *name)
{
    err->kind = ERR_CORRUPT;
    return err_wrap(err, "record \"%.80s\"", name);
}

bool record_decode(struct view bytes, const char *name, const struct record_auth *auth,
                   struct record *out, struct err *err)
{
    struct wire wire = { .format = 0 };
    uint8_t mac[RECORD_MAC_BYTES];
    size_t body_len = bytes.len - MAC_TAIL_BYTES;
    if (bytes.len <= MAC_TAIL_BYTES ||
        memcmp(bytes.data + body_len, MAC_PREFIX, sizeof(MAC_PREFIX) - 1) != 0) {
        (void)err_set(err, ERR_CORRUPT, "does not end in a tag: cut, or not a record");
        return corrupt(err, name);
    }
    if (!json_read(bytes, "it", RECORD_MAX_BYTES, &record_table, &wire, err))
        return corrupt(err, name);
    if (strcmp(wire.record.name, name) != 0) {
        (void)err_set(err, ERR_CORRUPT, "is of agent \"%.80s\"", wire.record.name);
        return corrupt(err, name);
    }
    if (!auth->mac(auth->arg, &wire.record, view_of(bytes.data, body_len), mac, err))
        return corrupt(err, name);
    if (!crypto_is_equal(mac, wire.mac, sizeof(mac))) {
        (void)err_set(err, ERR_CORRUPT, "its tag does not fit: changed by someone without the key");
        return corrupt(err, name);
    }
    *out = wire.record;
    return true;
}

bool record_is_held_by(const struct record *record, const uint8_t instance[RECORD_INSTANCE_BYTES])
{
    return memcmp(record->holder.instance, instance, RECORD_INSTANCE_BYTES) == 0;
}
