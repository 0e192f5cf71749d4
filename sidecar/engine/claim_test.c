#include "sidecar/engine/claim.h"

#include "common/base/file.h"
#include "common/base/own.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[32];
static void setup(void)
{
    (void)snprintf(root, sizeof root, "/tmp/claim-test-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}
static void teardown(void)
{
    struct err err;
    cr_assert(dir_remove_tree(root, &err), "%s", err.msg);
}
TestSuite(claim, .init = setup, .fini = teardown);

static void arm(void *arg, uint64_t seq, int64_t epoch, struct deadline deadline)
{
    (void)arg, (void)seq, (void)epoch, (void)deadline;
}
static void fence(void *arg, const char *why) { (void)arg, (void)why; }

/* Opens with the stores' URLs and the name; the kind of the failure, or ERR_NONE. */
static enum err_kind open_with(const char *name, const char *lease, const char *state)
{
    struct claim claim = { 0 };
    struct err err = { 0 };
    struct loop *loop = loop_new();
    CLEANUP(config_freep) struct sidecar_config *config = NULL;
    CLEANUP(str_freep)
    char *text = str_format("name = \"%s\"\nlease {\n  store = \"%s\"\n}\nstate {\n  path = \"x\"\n"
                            "  store = \"%s\"\n  key_file = \"%s/key\"\n}\n",
                            name, lease, state, root);
    cr_assert(config_load("test", view_str(text), NULL, &config, &err), "%s", err.msg);
    const struct claim_spec spec = { .loop = loop,
                                     .clock = &clock_system,
                                     .config = config,
                                     .node = "n",
                                     .shim = { arm, fence, NULL } };
    bool ok = claim_open(&claim, &spec, &err);
    cr_assert_eq(ok, claim.lease != NULL);
    if (ok)
        cr_assert(claim.packs != NULL && strlen(claim.config_digest) == 64);
    claim_close(&claim);
    loop_free(loop);
    return ok ? ERR_NONE : err.kind;
}

Test(claim, good_configuration_opens_everything_and_makes_the_key_file)
{
    CLEANUP(str_freep) char *key = str_format("%s/key", root);
    cr_assert_eq(open_with("a/b", "mem:", "mem:"), ERR_NONE);
    cr_assert_eq(access(key, F_OK), 0);
}

Test(claim, what_a_person_got_wrong_is_invalid)
{
    cr_assert_eq(open_with("a//b", "mem:", "mem:"), ERR_INVALID);
    cr_assert_eq(open_with("a", "gopher://x", "mem:"), ERR_INVALID);
    cr_assert_eq(open_with("a", "mem:", "gopher://x"), ERR_INVALID);
    cr_assert_eq(open_with("a", "mem:", "file:///x?colour=red"), ERR_INVALID);
}

Test(claim, key_file_that_others_can_read_is_denied)
{
    CLEANUP(str_freep) char *key = str_format("%s/key", root);
    cr_assert_eq(open_with("a", "mem:", "mem:"), ERR_NONE);
    cr_assert_eq(chmod(key, 0644), 0);
    cr_assert_eq(open_with("a", "mem:", "mem:"), ERR_DENIED);
}
