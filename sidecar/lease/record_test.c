#include "sidecar/lease/record.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "sidecar/crypto/keys.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>

/* The tag of the example in proto/lease.md, section 3. The real one: record_keys_test.c. */
static bool example_mac(void *arg, const struct record *record, struct view bytes,
                        uint8_t out[RECORD_MAC_BYTES], struct err *err)
{
    (void)arg, (void)record, (void)err;
    CLEANUP(buf_fini) struct buf keyed = { 0 };
    for (uint8_t i = 0; i < 32; i++)
        buf_put_u8(&keyed, i);
    buf_put(&keyed, bytes);
    crypto_digest(buf_view(&keyed), out);
    return true;
}

static const struct record_auth auth = { example_mac, NULL };

static struct record example(void)
{
    struct record r = { .name = "eu/planner/agents/planner/0",
                        .epoch = 7,
                        .renewals = 41,
                        .ttl_ms = 15000,
                        .has_head = true };
    for (uint8_t i = 0; i < sizeof(r.nonce); i++) {
        r.nonce[i] = (uint8_t)(0xa0 + i);
        r.holder.instance[i] = (uint8_t)(0x10 + i);
    }
    for (uint8_t i = 0; i < sizeof(r.wrapped_key); i++)
        r.wrapped_key[i] = i;
    (void)snprintf(r.holder.alloc_id, sizeof(r.holder.alloc_id), "%s",
                   "5f1c7d2a-0000-4000-8000-0123456789ab");
    (void)snprintf(r.holder.node, sizeof(r.holder.node), "client-\"3\"");
    (void)snprintf(r.holder.region, sizeof(r.holder.region), "eu");
    (void)snprintf(r.head.id, sizeof(r.head.id), "0007-0000000000000012");
    r.head.sequence = 18;
    r.head.epoch = 6;
    r.head.wall_ms = 1764072000123;
    (void)snprintf(r.config_digest, sizeof(r.config_digest), "c0ffee");
    return r;
}

static void encode(const struct record *r, struct buf *out)
{
    struct err err = { 0 };
    cr_assert(record_encode(r, &auth, out, &err), "%s", err.msg);
}

static void expect_corrupt(struct view bytes, const char *name)
{
    struct record r;
    struct err err = { 0 };
    cr_assert_not(record_decode(bytes, name, &auth, &r, &err));
    cr_assert_eq(err.kind, ERR_CORRUPT, "%s", err.msg);
}

/* The one line of the fenced block below "## 3." in the document. */
static void golden(struct buf *line)
{
    CLEANUP(buf_fini) struct buf text = { 0 };
    struct err err = { 0 };
    const char *root = strstr(__FILE__, "sidecar/lease/");
    CLEANUP(str_freep)
    char *path = str_format("%.*sproto/lease.md", (int)(root - __FILE__), __FILE__);
    cr_assert(file_read(AT_FDCWD, path, 65536, &text, &err), "%s", err.msg);
    const char *at = strstr(buf_borrow_str(&text), "\n{\"format\"");
    cr_assert_not_null(at, "no example in %s", path);
    buf_put(line, view_of(at + 1, strcspn(at + 1, "\n")));
}

Test(record, golden_bytes_are_those_of_the_document)
{
    CLEANUP(buf_fini) struct buf want = { 0 };
    CLEANUP(buf_fini) struct buf got = { 0 };
    struct record r = example();
    encode(&r, &got);
    golden(&want);
    cr_assert_str_eq(buf_borrow_str(&got), buf_borrow_str(&want));
}

Test(record, every_field_survives)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct record r = example(), again;
    struct err err = { 0 };
    r.released = true;
    (void)snprintf(r.holder.address, sizeof(r.holder.address), "10.0.0.1:\xc3\xa9");
    (void)snprintf(r.artifact_digest, sizeof(r.artifact_digest), "aa");
    (void)snprintf(r.accessor, sizeof(r.accessor), "sealed");
    encode(&r, &bytes);
    cr_assert(record_decode(buf_view(&bytes), r.name, &auth, &again, &err), "%s", err.msg);
    cr_assert_eq(memcmp(&r, &again, sizeof(r)), 0);
}

Test(record, absent_head_stays_absent)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct record r = example(), again;
    struct err err = { 0 };
    r.has_head = false;
    encode(&r, &bytes);
    cr_assert(record_decode(buf_view(&bytes), r.name, &auth, &again, &err), "%s", err.msg);
    cr_assert_not(again.has_head);
}

Test(record, every_truncation_is_corrupt)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct record r = example();
    encode(&r, &bytes);
    for (size_t len = 0; len < bytes.len; len++)
        expect_corrupt(view_of(bytes.data, len), r.name);
    buf_put_str(&bytes, "\n");
    expect_corrupt(buf_view(&bytes), r.name);
}

Test(record, every_changed_byte_is_corrupt)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct record r = example();
    encode(&r, &bytes);
    for (size_t i = 0; i < bytes.len; i++) {
        for (uint8_t flip = 1; flip != 0; flip = (uint8_t)(flip << 1)) {
            bytes.data[i] ^= flip;
            expect_corrupt(buf_view(&bytes), r.name);
            bytes.data[i] ^= flip;
        }
    }
}

Test(record, record_of_another_agent_is_corrupt)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct record r = example();
    encode(&r, &bytes);
    expect_corrupt(buf_view(&bytes), "eu/planner/agents/planner/1");
}

/* A well-formed text with a right tag: only the field is wrong. */
static void expect_refused(const char *from, const char *to)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(buf_fini) struct buf other = { 0 };
    uint8_t mac[RECORD_MAC_BYTES];
    struct record r = example();
    struct err err = { 0 };
    encode(&r, &bytes);
    const char *text = buf_borrow_str(&bytes);
    const char *at = strstr(text, from);
    cr_assert_not_null(at, "%s", from);
    size_t body_len = bytes.len - 74;
    buf_put(&other, view_of(text, (size_t)(at - text)));
    buf_put_str(&other, to);
    buf_put(&other, view_of(at + strlen(from), body_len - (size_t)(at - text) - strlen(from)));
    (void)example_mac(NULL, NULL, buf_view(&other), mac, &err);
    buf_put_str(&other, ",\"mac\":\"");
    for (size_t i = 0; i < sizeof(mac); i++)
        buf_put_fmt(&other, "%02x", mac[i]);
    buf_put_str(&other, "\"}");
    expect_corrupt(buf_view(&other), r.name);
}

Test(record, fields_out_of_their_limits_are_corrupt_even_with_a_right_tag)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        { "\"format\":1", "\"format\":2" },
        { "\"epoch\":7,\"ren", "\"epoch\":0,\"ren" },
        { "\"epoch\":7,\"ren", "\"epoch\":9007199254740992,\"ren" },
        { "\"epoch\":7,\"ren", "\"epoch\":7.5,\"ren" },
        { "\"epoch\":7,\"ren", "\"epoch\":\"7\",\"ren" },
        { "\"epoch\":7,\"ren", "\"epoch\":7,\"epoch\":8,\"ren" },
        { "\"ttl_ms\":15000", "\"ttl_ms\":999" },
        { "\"ttl_ms\":15000", "\"ttl_ms\":86400001" },
        { "\"released\":false", "\"released\":0" },
        { "\"nonce\":\"a0", "\"nonce\":\"A0" },
        { "\"nonce\":\"a0", "\"nonce\":\"" },
        { "\"renewals\":41,", "" },
        { "\"renewals\":41,", "\"renewals\":41,\"extra\":1," },
        { "\"sequence\":18", "\"sequence\":0" },
        { "\"region\":\"eu\",", "" },
        { "\"config_digest\":\"c0ffee\"", "\"config_digest\":\"\"" },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        expect_refused(rows[i].from, rows[i].to);
}

Test(record, what_could_not_be_read_is_not_written)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct record r = example();
    struct err err = { 0 };
    r.epoch = 0;
    cr_assert_not(record_encode(&r, &auth, &bytes, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_eq(bytes.len, 0);
}

Test(record, largest_record_fits)
{
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    struct record r = example();
    memset(r.name, '"', sizeof(r.name) - 1);
    memset(r.holder.node, '\x01', sizeof(r.holder.node) - 1);
    memset(r.holder.alloc_id, '\x01', sizeof(r.holder.alloc_id) - 1);
    memset(r.holder.region, '\x01', sizeof(r.holder.region) - 1);
    memset(r.holder.address, '\x01', sizeof(r.holder.address) - 1);
    memset(r.head.id, '\x01', sizeof(r.head.id) - 1);
    memset(r.config_digest, '\x01', sizeof(r.config_digest) - 1);
    memset(r.artifact_digest, '\x01', sizeof(r.artifact_digest) - 1);
    memset(r.accessor, '\x01', sizeof(r.accessor) - 1);
    r.epoch = r.renewals = r.head.sequence = r.head.epoch = r.head.wall_ms = RECORD_NUMBER_MAX;
    encode(&r, &bytes);
    cr_assert_leq(bytes.len, RECORD_MAX_BYTES);
}

Test(record, holder_is_known_by_its_instance_alone)
{
    struct record r = example();
    uint8_t instance[RECORD_INSTANCE_BYTES];
    memcpy(instance, r.holder.instance, sizeof(instance));
    cr_assert(record_is_held_by(&r, instance));
    instance[15] ^= 1;
    cr_assert_not(record_is_held_by(&r, instance));
}
