#include "sidecar/cmd/source.h"

#include "sidecar/cmd/made_test.h"

static struct made made;
static void teardown(void) { made_remove(&made); }
TestSuite(source, .fini = teardown);

static char *config_of(const char *name, const char *store)
{
    struct err err;
    char *path = str_format("%s/agent.hcl", made.root);
    CLEANUP(str_freep)
    char *text = str_format("name = \"%s\"\nstate {\n  path = \"x\"\n  store = \"%s\"\n"
                            "  key_file = \"%s\"\n}\n",
                            name, store, made.key);
    cr_assert(file_publish(AT_FDCWD, path, view_str(text), 0600, FILE_REPLACE, &err));
    return path;
}

Test(source, options_and_configuration_lead_to_the_same_agent)
{
    struct err err;
    struct source a = { 0 }, b = { 0 };
    made_make(&made, true);
    CLEANUP(str_freep) char *config = config_of(MADE_NAME, made.url);
    struct args options = made_args(&made), file = { .config = config };
    cr_assert(source_open(&a, &options, &err), "%s", err.msg);
    cr_assert(source_open(&b, &file, &err), "%s", err.msg);
    const char *id;
    cr_assert(source_pick(&a, &options, &id, &err));
    cr_assert_str_eq(id, made.id);
    cr_assert_str_eq(a.record.holder.node, b.record.holder.node);
    source_close(&a);
    source_close(&b);
}

Test(source, option_wins_over_the_configuration)
{
    struct err err;
    struct source s = { 0 };
    made_make(&made, true);
    CLEANUP(str_freep) char *config = config_of("test/other", "file:///no/where");
    struct args args = made_args(&made);
    args.config = config;
    cr_assert(source_open(&s, &args, &err), "%s", err.msg);
    cr_assert_str_eq(s.name, MADE_NAME);
    source_close(&s);
}

Test(source, configuration_may_be_a_link)
{
    struct err err;
    struct source s = { 0 };
    made_make(&made, true);
    CLEANUP(str_freep) char *config = config_of("test/other", "file:///no/where");
    CLEANUP(str_freep) char *link = str_format("%s/link.hcl", made.root);
    struct args args = made_args(&made);
    cr_assert_eq(symlink(config, link), 0);
    args.config = link;
    cr_assert(source_open(&s, &args, &err), "%s", err.msg);
    source_close(&s);
}

static void fails(struct args args, enum err_kind kind)
{
    struct err err = { 0 };
    struct source s = { 0 };
    cr_assert_not(source_open(&s, &args, &err));
    cr_assert_eq(err.kind, kind, "%s", err.msg);
    source_close(&s);
}

Test(source, each_thing_that_is_missing_has_its_kind)
{
    made_make(&made, true);
    struct args args = made_args(&made);
    args.store = NULL;
    fails(args, ERR_INVALID);
    args = made_args(&made);
    args.name = "a//b";
    fails(args, ERR_INVALID);
    args = made_args(&made);
    args.key_file = "/no/key";
    fails(args, ERR_NOT_FOUND);
    args = made_args(&made);
    args.store = "file:///no/where";
    fails(args, ERR_UNAVAILABLE);
    args = made_args(&made);
    args.config = "/no/agent.hcl";
    fails(args, ERR_NOT_FOUND);
}

Test(source, foreign_key_is_corrupt_and_no_key_file_is_made)
{
    struct err err;
    struct args args;
    made_make(&made, true);
    CLEANUP(str_freep) char *other = str_format("%s/other.key", made.root);
    CLEANUP(keyring_closep) struct keyring *keyring = NULL;
    args = made_args(&made);
    args.key_file = other;
    fails(args, ERR_NOT_FOUND);
    cr_assert_neq(access(other, F_OK), 0);
    cr_assert(keyring_open(other, true, &keyring, &err));
    fails(args, ERR_CORRUPT);
}

Test(source, agent_without_checkpoint_has_none_to_pick)
{
    struct err err = { 0 };
    struct source s = { 0 };
    const char *id;
    made_make(&made, false);
    struct args args = made_args(&made);
    cr_assert(source_open(&s, &args, &err), "%s", err.msg);
    cr_assert_not(source_pick(&s, &args, &id, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    args.at = "00000001-0000000000000000";
    cr_assert(source_pick(&s, &args, &id, &err));
    cr_assert_str_eq(id, args.at);
    source_close(&s);
}

Test(source, lost_record_is_told_and_the_packs_go_without_it_when_asked)
{
    struct err err = { 0 };
    struct source s = { 0 };
    const char *id;
    made_make(&made, true);
    struct args args = made_args(&made);
    made_forget_record(&made);
    cr_assert_not(source_open(&s, &args, &err));
    cr_assert(err.kind == ERR_NOT_FOUND && strstr(err.msg, "-without-record"), "%s", err.msg);
    source_close(&s);
    args.without_record = "true";
    cr_assert(source_open(&s, &args, &err), "%s", err.msg);
    cr_assert(source_pick(&s, &args, &id, &err));
    cr_assert_str_eq(id, made.id);
    cr_assert_not_null(s.checkpoints.keys);
    source_close(&s);
}

Test(source, damaged_record_is_corrupt_and_the_way_out_is_told)
{
    struct err err = { 0 };
    struct source s = { 0 };
    made_make(&made, true);
    struct args args = made_args(&made);
    made_damage_record(&made);
    cr_assert_not(source_open(&s, &args, &err));
    cr_assert(err.kind == ERR_CORRUPT && strstr(err.msg, "-without-record"), "%s", err.msg);
    source_close(&s);
    args.without_record = "true";
    cr_assert(source_open(&s, &args, &err), "%s", err.msg);
    source_close(&s);
}

Test(source, without_record_and_packs_there_is_nothing)
{
    made_make(&made, false);
    struct args args = made_args(&made);
    args.without_record = "true";
    fails(args, ERR_NOT_FOUND);
    args.name = "test/typo";
    args.without_record = NULL;
    struct err err = { 0 };
    struct source s = { 0 };
    cr_assert_not(source_open(&s, &args, &err));
    cr_assert_null(strstr(err.msg, "-without-record"), "no packs: no advice: %s", err.msg);
    source_close(&s);
}

Test(source, reading_makes_no_store)
{
    struct err err;
    made_make(&made, true);
    CLEANUP(str_freep) char *store = str_format("%s/store", made.root);
    cr_assert(dir_remove_tree(store, &err));
    fails(made_args(&made), ERR_UNAVAILABLE);
    cr_assert_neq(access(store, F_OK), 0);
}
