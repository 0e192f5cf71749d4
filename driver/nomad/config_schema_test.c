#include "driver/nomad/config_schema.h"

#include <criterion/criterion.h>
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
        { NULL, "command", CONFIG_STRING, true, false, NULL, 1, 8, 0, "" },
        { NULL, "nice", CONFIG_NUMBER, false, false, "0", 0, 8, 0, "" },
    };
    expect(&(struct config_table){ "t", rows, 2 },
           "0a470a200a07636f6d6d616e6412151a130a07636f6d6d616e641206737472696e6718010a230a046e69"
           "6365121b4a190a101a0e0a046e69636512066e756d626572120552030a0130");
}

Test(config_schema, nests_blocks_with_their_own_keys)
{
    static const struct config_row rows[] = {
        { NULL, "a", CONFIG_BLOCK, false, false, NULL, 0, 0, 0, "" },
        { "a", "l", CONFIG_LIST, false, false, NULL, 0, 8, 0, "" },
        { "a", "t", CONFIG_DURATION, false, false, "1s", 0, 8, 0, "" },
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
