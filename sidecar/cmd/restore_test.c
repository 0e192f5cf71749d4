#include "sidecar/cmd/restore.h"

#include "sidecar/cmd/made_test.h"

static struct made made;
static void teardown(void) { made_remove(&made); }
TestSuite(restore_command, .fini = teardown);

static void check_restored(void)
{
    struct err err;
    CLEANUP(buf_fini) struct buf text = { 0 };
    CLEANUP(str_freep) char *file = str_format("%s/notes.txt", made.out);
    cr_assert(file_read(AT_FDCWD, file, 100, &text, &err), "%s", err.msg);
    cr_assert_str_eq(buf_borrow_str(&text), "kept words");
}

Test(restore_command, absent_or_empty_directory_gets_the_tree)
{
    struct err err;
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    args.to = made.out;
    cr_assert(made_run(&made, cmd_restore, &args, text, &err), "%s", err.msg);
    check_restored();
    cr_assert_not_null(strstr(text, made.id));
    cr_assert(dir_remove_tree(made.out, &err) && dir_make(made.out, 0700, &err));
    args.json = "true";
    cr_assert(made_run(&made, cmd_restore, &args, text, &err), "%s", err.msg);
    check_restored();
    cr_assert_not_null(strstr(text, "\"files\":1"));
}

Test(restore_command, directory_with_content_is_a_conflict_and_kept)
{
    struct err err = { 0 };
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    CLEANUP(str_freep) char *mine = str_format("%s/mine", made.out);
    cr_assert(dir_make(made.out, 0700, &err) &&
              file_publish(AT_FDCWD, mine, view_str("x"), 0600, FILE_REPLACE, &err));
    args.to = made.out;
    cr_assert_not(made_run(&made, cmd_restore, &args, text, &err));
    cr_assert(err.kind == ERR_CONFLICT && access(mine, F_OK) == 0);
    args.to = mine;
    cr_assert_not(made_run(&made, cmd_restore, &args, text, &err));
    cr_assert_eq(err.kind, ERR_CONFLICT);
    args.to = NULL;
    cr_assert_not(made_run(&made, cmd_restore, &args, text, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(restore_command, damaged_checkpoint_leaves_nothing)
{
    struct err err = { 0 };
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    made_damage(&made, made.root);
    args.to = made.out;
    cr_assert_not(made_run(&made, cmd_restore, &args, text, &err));
    cr_assert(err.kind == ERR_CORRUPT && access(made.out, F_OK) != 0);
}

Test(restore_command, packs_and_key_file_are_enough_when_the_record_is_gone)
{
    struct err err = { 0 };
    char text[8192];
    made_make(&made, true);
    struct args args = made_args(&made);
    args.to = made.out;
    made_forget_record(&made);
    cr_assert_not(made_run(&made, cmd_restore, &args, text, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND, "%s", err.msg);
    args.without_record = "true";
    cr_assert(made_run(&made, cmd_restore, &args, text, &err), "%s", err.msg);
    check_restored();
}
