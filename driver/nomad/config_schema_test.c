#include "driver/nomad/config_schema.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/own.h"
#include "common/base/text.h"
#include "driver/nomad/config_table.h"
#include "driver/nomad/plugin_config.h"
#include "driver/nomad/task_config.h"

static void expect(const struct config_table *table, const char *hex)
{
    CLEANUP(buf_fini) struct buf spec = { 0 };
    config_put_spec(table, &spec);
    char *text = mem_array(spec.len * 2 + 1, 1);
    hex_encode(buf_view(&spec), text);
    cr_assert_str_eq(text, hex);
    free(text);
}

/* The schema of the protocol reference, section 3.5; bytes by protoc --encode. */
Test(config_schema, packs_the_schema_of_the_reference)
{
    static const struct config_row rows[] = {
        { NULL, "command", CONFIG_STRING, true, false, NULL, 1, 8, 0, "", false },
        { NULL, "nice", CONFIG_NUMBER, false, false, "0", 0, 8, 0, "", false },
    };
    expect(&(struct config_table){ "t", rows, 2 },
           "0a470a200a07636f6d6d616e6412151a130a07636f6d6d616e641206737472696e6718010a230a046e69"
           "6365121b4a190a101a0e0a046e69636512066e756d626572120552030a0130");
}

Test(config_schema, nests_blocks_with_their_own_keys)
{
    static const struct config_row rows[] = {
        { NULL, "a", CONFIG_BLOCK, false, false, NULL, 0, 0, 0, "", false },
        { "a", "l", CONFIG_LIST, false, false, NULL, 0, 8, 0, "", false },
        { "a", "t", CONFIG_DURATION, false, false, "1s", 0, 8, 0, "", false },
    };
    expect(&(struct config_table){ "t", rows, 3 },
           "0a4c0a4a0a0161124522430a01611a3e0a3c0a180a016c12131a110a016c120c6c69737428737472696e"
           "67290a200a0174121b4a190a0d1a0b0a01741206737472696e67120852060a0422317322");
}

Test(config_schema, documents_every_key_of_both_tables)
{
    const struct config_table *const tables[] = { &task_config_table, &plugin_config_table };
    for (size_t t = 0; t < 2; t++) {
        CLEANUP(buf_fini) struct buf doc = { 0 };
        config_put_doc(tables[t], &doc);
        const char *text = buf_borrow_str(&doc);
        for (size_t i = 0; i < tables[t]->count; i++) {
            cr_assert(strstr(text, tables[t]->rows[i].name));
            cr_assert(strlen(tables[t]->rows[i].doc) > 0);
        }
    }
}

Test(config_schema, values_come_out_as_hcl_with_their_defaults)
{
    struct err err = { 0 };
    CLEANUP(task_config_fini) struct task_config config = { 0 };
    CLEANUP(buf_fini) struct buf out = { 0 };
    /* { command: "x", args: ["a\"b"], state: { path: "s" }, mount: [{ source: "/s", target: "t" }],
         ulimit: { core: "0" } } */
    const char bytes[] = "\x85\xa7"
                         "command\xa1x\xa4"
                         "args\x91\xa3"
                         "a\"b\xa5"
                         "state\x81\xa4"
                         "path\xa1s\xa5"
                         "mount\x91\x82\xa6"
                         "source\xa2/s\xa6"
                         "target\xa1t\xa6"
                         "ulimit\x81\xa4"
                         "core\xa1"
                         "0";
    cr_assert(task_config_decode(view_of(bytes, sizeof(bytes) - 1), &config, &err), "%s", err.msg);
    cr_assert(config_put_values(&task_config_table, &config, &out, &err), "%s", err.msg);
    buf_put_u8(&out, 0);
    const char *text = (const char *)out.data;
    cr_expect_not_null(strstr(text, "command = \"x\"\nargs = [\"a\\\"b\"]\n"), "%s", text);
    cr_expect_not_null(strstr(text, "state {\n  path = \"s\"\n  interval = \"1000ms\"\n"), "%s",
                       text);
    cr_expect_not_null(strstr(text, "mount {\n  source = \"/s\"\n  target = \"t\"\n"), "%s", text);
    cr_expect_not_null(strstr(text, "ulimit {\n  core = \"0\"\n}\n"), "%s", text);
    cr_expect_null(strstr(text, "lease {"), "an absent block");
    cr_expect_null(strstr(text, "store"), "an absent text");
}

Test(config_schema, no_key_stands_twice_in_a_block)
{
    const struct config_table *const tables[] = { &task_config_table, &plugin_config_table };
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < tables[t]->count; i++)
            for (size_t j = 0; j < i; j++) {
                const struct config_row *a = &tables[t]->rows[i], *b = &tables[t]->rows[j];
                const bool is_same_block = a->block && b->block ? strcmp(a->block, b->block) == 0
                                                                : a->block == b->block;
                cr_assert_not(is_same_block && strcmp(a->name, b->name) == 0, "%s", a->name);
            }
}
