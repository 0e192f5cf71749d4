#include "sidecar/cmd/launch.h"

#include "sidecar/cmd/made_test.h"

#include "common/shimwire/spec.h"

#include <signal.h>

static struct made made;
static void setup(void)
{
    made_make(&made, false);
    cr_assert_eq(chdir(made.root), 0);
}
static void teardown(void) { made_remove(&made); }
TestSuite(launch, .init = setup, .fini = teardown);

static struct sidecar_config *config_of(const char *more)
{
    struct sidecar_config *config = NULL;
    struct err err;
    CLEANUP(str_freep)
    char *text = str_format(
        "name = \"a/b\"\nstate {\n  path = \"./state\"\n  store = \"%s\"\n}\n%s", made.url, more);
    cr_assert(config_load("test", view_str(text), NULL, &config, &err), "%s", err.msg);
    return config;
}

static bool spec_of(struct sidecar_config *config, struct shim_spec_store *store,
                    struct shim_spec *out, struct buf *bytes, struct err *err)
{
    char *const command[] = { "sh", "-c", "true", NULL };
    CLEANUP(fd_closep) struct fd spec = FD_NONE;
    size_t len;
    if (!launch_settle(config, err) || !launch_spec(config, command, 0, "info", &spec, err))
        return false;
    bytes->len = 65536;
    cr_assert(fd_is_sealed(spec.raw));
    cr_assert(fd_read_full(spec.raw, bytes->data, bytes->len, &len, err));
    return shim_spec_decode(view_of(bytes->data, len), store, out, err);
}

static const char *find(const char *const *list, const char *start)
{
    for (; *list != NULL; list++)
        if (strncmp(*list, start, strlen(start)) == 0)
            return *list + strlen(start);
    return NULL;
}

Test(launch, spec_holds_agent_sidecar_and_environment)
{
    static struct shim_spec_store store;
    struct shim_spec spec;
    struct err err;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(config_freep)
    struct sidecar_config *config = config_of("stop {\n  signal = \"SIGINT\"\n}\n");
    (void)buf_reserve(&bytes, 65536);
    cr_assert_eq(setenv("AGENT_EPOCH", "99", 1), 0);
    cr_assert_eq(setenv("AGENT_SIDECAR_NODE", "n", 1), 0);
    cr_assert_eq(setenv("KEPT", "yes", 1), 0);
    cr_assert(spec_of(config, &store, &spec, &bytes, &err), "%s", err.msg);
    cr_assert_eq(spec.agent.argv[0][0], '/');
    cr_assert_str_eq(spec.agent.argv[2], "true");
    cr_assert_str_eq(find(spec.agent.envp, "AGENT_NAME="), "a/b");
    cr_assert_str_eq(find(spec.agent.envp, "KEPT="), "yes");
    cr_assert_null(find(spec.agent.envp, "AGENT_EPOCH="));
    cr_assert_null(find(spec.agent.envp, "AGENT_SIDECAR_"));
    cr_assert_str_eq(find(spec.agent.envp, "AGENT_STATE_DIR="), config->state.path);
    cr_assert_eq(config->state.path[0], '/');
    cr_assert_str_eq(find(spec.agent.envp, "AGENT_API="), config->api.path);
    cr_assert_str_eq(spec.api_path, "", "not the shim's to remove");
    cr_assert_str_eq(spec.sidecar.argv[1], "attach");
    cr_assert_null(find(spec.sidecar.envp, "KEPT="), "nothing of ours goes to the sidecar");
    cr_assert(spec.flags & SHIM_STANDALONE);
    cr_assert_eq(spec.stop_signal, SIGINT);
    cr_assert_geq(spec.config_fd, 10);
}

Test(launch, agent_without_state_and_lease_has_no_sidecar)
{
    static struct shim_spec_store store;
    struct shim_spec spec;
    struct err err;
    CLEANUP(buf_fini) struct buf bytes = { 0 };
    CLEANUP(config_freep) struct sidecar_config *config = NULL;
    (void)buf_reserve(&bytes, 65536);
    cr_assert(config_load("test", view_str("name = \"a\"\n"), NULL, &config, &err), "%s", err.msg);
    cr_assert(spec_of(config, &store, &spec, &bytes, &err), "%s", err.msg);
    cr_assert_null(spec.sidecar.argv);
    cr_assert_null(find(spec.agent.envp, "AGENT_API="));
}

Test(launch, api_path_follows_from_name_and_directory_unless_given)
{
    char a[LAUNCH_API_BYTES], b[LAUNCH_API_BYTES], long_path[128];
    struct err err;
    CLEANUP(config_freep) struct sidecar_config *config = config_of("");
    cr_assert(launch_api_path(config, a, &err));
    cr_assert(launch_settle(config, &err), "%s", err.msg);
    cr_assert(launch_api_path(config, b, &err));
    cr_assert_str_eq(a, b, "the same before and after the paths are made absolute");
    cr_assert(config->api.is_present, "handed over to the sidecar");
    free(config->api.path);
    config->api.path = str_copy("api");
    cr_assert(launch_api_path(config, a, &err));
    cr_assert_str_neq(a, b);
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[0] = '/';
    long_path[sizeof long_path - 1] = '\0';
    free(config->api.path);
    config->api.path = str_copy(long_path);
    cr_assert_not(launch_api_path(config, a, &err));
    cr_assert(err.kind == ERR_INVALID && strstr(err.msg, "107") != NULL);
}

Test(launch, programs_are_found_along_path_or_where_they_are)
{
    struct err err = { 0 };
    CLEANUP(str_freep) char *sh = NULL;
    CLEANUP(str_freep) char *given = NULL;
    char *none = NULL;
    cr_assert(launch_find("sh", &sh, &err));
    cr_assert(launch_find_shim("/bin/true", &given, &err));
    cr_assert_str_eq(given, "/bin/true");
    cr_assert_not(launch_find("no-such-program", &none, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
    cr_assert_not(launch_find("/etc/passwd", &none, &err));
    cr_assert_eq(err.kind, ERR_DENIED);
    cr_assert_not(launch_find_shim("/no/shim", &none, &err));
    cr_assert_eq(err.kind, ERR_NOT_FOUND);
}
