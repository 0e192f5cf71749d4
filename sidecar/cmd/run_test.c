#include "sidecar/cmd/run.h"

#include "sidecar/cmd/made_test.h"

#include <sys/wait.h>

static struct made made;
static void setup(void) { made_make(&made, false); }
static void teardown(void) { made_remove(&made); }
TestSuite(run, .init = setup, .fini = teardown);

static char *config(const char *text)
{
    struct err err;
    char *path = str_format("%s/agent.hcl", made.root);
    cr_assert(file_publish(AT_FDCWD, path, view_str(text), 0600, FILE_REPLACE, &err));
    return path;
}

Test(run, what_is_missing_is_said_before_anything_starts)
{
    char *const command[] = { "true", NULL };
    char *const none[] = { NULL };
    struct err err = { 0 };
    CLEANUP(str_freep) char *path = config("name = \"a\"\n");
    cr_assert_not(cmd_run(&(struct args){ .rest = command, .rest_count = 1 }, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    cr_assert_not(cmd_run(&(struct args){ .config = path, .rest = none }, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
    struct args args = { .config = path, .rest = command, .rest_count = 1, .shim = "/no/shim" };
    cr_assert_not(cmd_run(&args, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    args.log_level = "loud";
    cr_assert_not(cmd_run(&args, &err));
    cr_assert_eq(err.kind, ERR_INVALID);
}

Test(run, broken_configuration_names_its_place)
{
    char *const command[] = { "true", NULL };
    struct err err = { 0 };
    CLEANUP(str_freep) char *path = config("name = \"a\"\nnonsense = 1\n");
    struct args args = { .config = path, .rest = command, .rest_count = 1 };
    cr_assert_not(cmd_run(&args, &err));
    cr_assert(err.kind == ERR_INVALID && strstr(err.msg, ":2:") != NULL, "%s", err.msg);
}

/* The process becomes the shim, with the spec as descriptor 3; here the shim is a shell. */
Test(run, becomes_the_shim_with_the_spec_in_its_place)
{
    CLEANUP(str_freep) char *path = config("name = \"a\"\n");
    CLEANUP(str_freep) char *shim = str_format("%s/shim", made.root);
    struct err err;
    int status;
    cr_assert(file_publish(AT_FDCWD, shim,
                           view_str("#!/bin/sh\ntest -s /proc/self/fd/3 && exit 42\n"), 0700,
                           FILE_REPLACE, &err));
    pid_t child = fork();
    if (child == 0) {
        char *const command[] = { "true", NULL };
        struct args args = { .config = path, .rest = command, .rest_count = 1, .shim = shim };
        (void)!cmd_run(&args, &err);
        _exit(1);
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 42, "%d", status);
}
