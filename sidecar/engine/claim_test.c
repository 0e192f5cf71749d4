#include "sidecar/engine/claim.h"

#include "common/base/file.h"
#include "common/base/own.h"
#include "sidecar/checkpoint/checkpoint.h"

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

static void on_open_looked(void *arg, const struct err *err)
{
    (void)err;
    loop_quit(arg);
}

static char message[240]; /* of the last failure of open_with */
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
    const struct claim_lease spec = { .loop = loop,
                                      .clock = &clock_system,
                                      .config = config,
                                      .node = "n",
                                      .shim = { arm, fence, NULL } };
    bool ok = claim_open(&claim, config, &err);
    if (ok) {
        claim_look(&claim, loop, config->name, on_open_looked, loop);
        loop_run(loop);
        ok = claim.look.is_ok;
        err = claim.look.err;
    }
    ok = ok && claim_make_lease(&claim, &spec, &err);
    cr_assert_eq(ok, claim.lease != NULL);
    (void)snprintf(message, sizeof message, "%s", ok ? "" : err.msg);
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

/* It stands in START_REFUSED, far from the file that is wrong. */
Test(claim, key_that_is_wrong_is_named)
{
    (void)open_with("a//b", "mem:", "mem:");
    cr_assert_eq(strncmp(message, "name: ", 6), 0, "%s", message);
    (void)open_with("a", "gopher://x", "mem:");
    cr_assert_eq(strncmp(message, "lease.store: open store ", 24), 0, "%s", message);
    (void)open_with("a", "mem:", "/srv/a");
    cr_assert_eq(strncmp(message, "state.store: open store ", 24), 0, "%s", message);
    (void)open_with("a", "/srv/a", "/srv/a");
    cr_assert_eq(strncmp(message, "state.store: ", 13), 0, "the lease has none: %s", message);
}

Test(claim, key_file_that_others_can_read_is_denied)
{
    CLEANUP(str_freep) char *key = str_format("%s/key", root);
    cr_assert_eq(open_with("a", "mem:", "mem:"), ERR_NONE);
    cr_assert_eq(chmod(key, 0644), 0);
    cr_assert_eq(open_with("a", "mem:", "mem:"), ERR_DENIED);
}

static void put_pack(struct store *store, const char *name)
{
    struct pack_writer *writer = NULL;
    struct err err;
    struct deadline until = deadline_after(boot_now(), 5000, 0);
    cr_assert(store_pack_create(store, "a", name, until, &writer, &err) &&
                  pack_put(writer, view_str("x"), until, &err) && pack_commit(&writer, until, &err),
              "%s", err.msg);
}

struct looking {
    struct loop *loop;
    struct claim claim;
    enum err_kind kind;
};
static void on_looked(void *arg, const struct err *err)
{
    struct looking *l = arg;
    l->kind = err != NULL ? err->kind : ERR_NONE;
    loop_quit(l->loop);
}
static int64_t look(struct looking *l)
{
    l->loop = loop_new();
    claim_look(&l->claim, l->loop, "a", on_looked, l);
    loop_run(l->loop);
    loop_free(l->loop);
    return l->claim.look.min_sequence;
}

Test(claim, highest_pack_is_found_and_foreign_names_say_nothing)
{
    struct looking l = { 0 };
    struct err err;
    cr_assert(look(&l) == 0 && l.kind == ERR_NONE, "no packs at all");
    cr_assert(store_open("mem:", NULL, &l.claim.packs, &err));
    cr_assert(look(&l) == 0 && l.kind == ERR_NONE);
    put_pack(l.claim.packs, "00000003-0123456789abcdef");
    put_pack(l.claim.packs, "00000012-0123456789abcdef");
    put_pack(l.claim.packs, "99999999-notours");
    cr_assert(look(&l) == 12 && l.kind == ERR_NONE);
    claim_close(&l.claim);
}

Test(claim, store_that_does_not_answer_is_unavailable)
{
    struct looking l = { 0 };
    struct err err;
    cr_assert(store_open("file:///no/where", NULL, &l.claim.packs, &err));
    (void)look(&l);
    cr_assert_eq(l.kind, ERR_UNAVAILABLE);
    claim_close(&l.claim);
}

/* One life of the agent's sidecar on this node, as far as the look; the kind of its failure. */
static enum err_kind look_in_a_new_process(const char *store)
{
    struct looking l = { 0 };
    struct err err;
    CLEANUP(config_freep) struct sidecar_config *config = NULL;
    CLEANUP(str_freep)
    char *text = str_format("name = \"a\"\nlease {\n}\nstate {\n  path = \"x\"\n"
                            "  store = \"%s\"\n  key_file = \"%s/key\"\n}\n",
                            store, root);
    cr_assert(config_load("test", view_str(text), NULL, &config, &err), "%s", err.msg);
    cr_assert(claim_open(&l.claim, config, &err), "%s", err.msg);
    (void)look(&l);
    claim_close(&l.claim);
    return l.kind;
}

Test(claim, path_that_is_not_mounted_is_no_new_store_for_the_next_process)
{
    CLEANUP(str_freep) char *path = str_format("%s/store", root);
    CLEANUP(str_freep) char *away = str_format("%s/away", root);
    CLEANUP(str_freep) char *url = str_format("file://%s?create=true", path);
    cr_assert_eq(look_in_a_new_process(url), ERR_NONE);
    cr_assert(rename(path, away) == 0 && mkdir(path, 0700) == 0);
    cr_assert_eq(look_in_a_new_process(url), ERR_UNAVAILABLE);
    cr_assert(rmdir(path) == 0 && rename(away, path) == 0);
    cr_assert_eq(look_in_a_new_process(url), ERR_NONE);
}

/* A checkpoint of epoch 9, as its holder leaves it in the packs. */
static void put_checkpoint(const struct claim *claim)
{
    struct err err = { 0 };
    struct checkpoint_result result;
    uint8_t wrapped[KEYRING_WRAPPED_BYTES];
    CLEANUP(agent_keys_freep) struct agent_keys *keys = NULL;
    CLEANUP(checkpoint_freep) struct checkpoint *cp = NULL;
    CLEANUP(str_freep) char *tree = str_format("%s/tree", root);
    keyring_wrap_new(claim->keyring, "a", wrapped);
    cr_assert(keyring_unwrap(claim->keyring, "a", view_of(wrapped, sizeof wrapped), &keys, &err));
    const struct checkpoint_spec spec = { .source = { claim->packs, "a", keys, 1, wrapped },
                                          .root = tree,
                                          .epoch = 9 };
    const struct checkpoint_request request = { .reason = "test",
                                                .until = deadline_after(boot_now(), 5000, 0) };
    cr_assert(dir_make(tree, 0700, &err) && checkpoint_new(&spec, &cp, &err) &&
                  checkpoint_take(cp, &request, &result, &err),
              "%s", err.msg);
    checkpoint_committed(cp);
}

Test(claim, epoch_of_the_newest_manifest_is_the_floor_of_epochs)
{
    struct looking l = { 0 };
    struct err err;
    CLEANUP(str_freep) char *key = str_format("%s/key", root);
    CLEANUP(str_freep) char *other = str_format("%s/other", root);
    cr_assert(store_open("mem:", NULL, &l.claim.packs, &err) &&
              keyring_open(key, true, &l.claim.keyring, &err));
    put_checkpoint(&l.claim);
    cr_assert_eq(look(&l), 1);
    cr_assert(l.claim.look.min_epoch == 9 && l.kind == ERR_NONE);
    keyring_close(l.claim.keyring); /* of what does not open nothing is believed */
    cr_assert(keyring_open(other, true, &l.claim.keyring, &err));
    cr_assert_eq(look(&l), 1);
    cr_assert(l.claim.look.min_epoch == 0 && l.kind == ERR_NONE);
    claim_close(&l.claim);
}

/* Where there is something for another key, no new key is left for whoever copies "if absent". */
Test(claim, absent_key_file_is_made_only_where_there_is_nothing)
{
    struct err err;
    CLEANUP(str_freep) char *key = str_format("%s/key", root);
    CLEANUP(str_freep) char *away = str_format("%s/away", root);
    CLEANUP(str_freep) char *url = str_format("file://%s/store?create=true", root);
    CLEANUP(store_closep) struct store *store = NULL;
    const struct deadline until = deadline_after(boot_now(), 5000, 0);
    struct store_version version;
    cr_assert_eq(open_with("a", url, url), ERR_NONE);
    cr_assert_eq(rename(key, away), 0);
    cr_assert_eq(open_with("a", url, url), ERR_NONE, "a store without state of this agent");
    cr_assert(unlink(key) == 0 && store_open(url, NULL, &store, &err));
    put_pack(store, "00000003-0123456789abcdef");
    cr_assert_eq(open_with("a", url, url), ERR_DENIED);
    cr_assert_not_null(strstr(message, key), "%s", message);
    cr_assert_neq(access(key, F_OK), 0);
    cr_assert_eq(open_with("b", url, url), ERR_NONE, "another agent");
    cr_assert_eq(unlink(key), 0);
    cr_assert(store_create(store, "b", view_str("of any content"), until, &version, &err));
    cr_assert_eq(open_with("b", url, url), ERR_DENIED);
    cr_assert_neq(access(key, F_OK), 0);
}
