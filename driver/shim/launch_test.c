#include "driver/shim/launch.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "driver/isolation/apply.h"

Test(launch, without_a_gate_the_environment_is_untouched)
{
    static struct shim_env env;
    const char *const given[] = { "A=1", "AGENT_EPOCH=mine", NULL };
    shim_env_build(&env, given, NULL);
    cr_expect_str_eq(env.list[0], "A=1");
    cr_expect_str_eq(env.list[1], "AGENT_EPOCH=mine");
    cr_expect_null(env.list[2]);
}

Test(launch, a_gate_adds_epoch_and_checkpoint_in_place_of_old_ones)
{
    static struct shim_env env;
    const char *const given[] = { "AGENT_EPOCH=1", "A=1", "AGENT_RESTORED=x", "AGENT_EPOCHS=2",
                                  NULL };
    struct shim_msg gate = { .type = SHIM_GATE_OPEN };
    gate.arm.epoch = UINT64_MAX;
    memset(gate.arm.restored, 'r', SHIM_ID_MAX);
    shim_env_build(&env, given, &gate);
    cr_expect_str_eq(env.list[0], "A=1");
    cr_expect_str_eq(env.list[1], "AGENT_EPOCHS=2");
    cr_expect_str_eq(env.list[2], "AGENT_EPOCH=18446744073709551615");
    cr_expect_eq(strlen(env.list[3]), strlen("AGENT_RESTORED=") + SHIM_ID_MAX);
    cr_expect_null(env.list[4]);
}

Test(launch, a_failure_names_step_object_and_reason)
{
    static const char *const argv[] = { "/opt/agent", NULL };
    static const struct {
        struct proc_failure why;
        const char *text;
    } rows[] = {
        { { PROC_STAGE_EXEC, ENOENT, -1 }, "execute \"/opt/agent\": No such file or directory" },
        { { ISOLATION_STAGE_DIRECTORY, EACCES, -1 },
          "enter the working directory \"/srv\": Permission denied" },
        { { ISOLATION_STAGE_USER, EPERM, -1 }, "set user \"/opt/agent\": Operation not permitted" },
        { { ISOLATION_STAGE_MOUNTS, EPERM, -1 },
          "make a mount namespace \"/opt/agent\": Operation not permitted" },
        { { ISOLATION_STAGE_MOUNTS, EINVAL, -1 },
          "make a mount namespace \"/opt/agent\": the root directory is no mount point (before a "
          "chroot, bind it onto itself)" },
        { { ISOLATION_STAGE_MOUNT, ELOOP, 0 },
          "mount \"/srv/data\": Too many levels of symbolic links" },
    };
    struct shim_spec spec;
    shim_spec_init(&spec);
    spec.agent.argv = argv;
    spec.cwd = "/srv";
    static struct shim_launch launch;
    launch.spec = &spec;
    isolation_default(&launch.plan);
    launch.plan.mount[0] = (struct isolation_mount){ ISOLATION_BIND, 0, "/x", "/srv", "data" };
    launch.plan.mount_count = 1;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[SHIM_TEXT_MAX + 1];
        shim_launch_explain(&launch, &rows[i].why, text);
        cr_expect_str_eq(text, rows[i].text);
    }
}

Test(launch, a_script_that_is_there_lacks_its_interpreter)
{
    static const char *const argv[] = { "/proc/self/exe", NULL };
    const struct proc_failure why = { PROC_STAGE_EXEC, ENOENT, -1 };
    char text[SHIM_TEXT_MAX + 1];
    struct shim_spec spec;
    shim_spec_init(&spec);
    spec.agent.argv = argv;
    static struct shim_launch launch;
    launch.spec = &spec;
    isolation_default(&launch.plan);
    shim_launch_explain(&launch, &why, text);
    cr_expect_str_eq(text, "execute \"/proc/self/exe\": its interpreter is not there");
}

Test(launch, cores_are_read_as_the_kernel_writes_them)
{
    static const struct {
        const char *text;
        uint64_t bits;
    } rows[] = { { "0", 1 }, { "0,2-3", 0xd }, { "1-1", 2 }, { "63", UINT64_C(1) << 63 } };
    static const char *const bad[] = { "3-2", "", ",", "0,", "a", "0-", "1024", "-1", "0 ", "0-x" };
    cpu_set_t got;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t bits = 0;
        cr_assert(shim_cores_parse(rows[i].text, &got), "%s", rows[i].text);
        for (size_t core = 0; core < 64; core++)
            bits |= (uint64_t)(CPU_ISSET(core, &got) != 0) << core;
        cr_expect_eq(bits, rows[i].bits, "%s", rows[i].text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(shim_cores_parse(bad[i], &got), "%s", bad[i]);
}
